"""The host stage of training: tf.data batches with augmentation."""
