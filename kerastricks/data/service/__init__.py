"""Training batches made by other machines, over TensorFlow's tf.data service: see docs/data_service.md.

A dispatcher hands out the numbers of training steps, one at a time, to whichever worker asks next; a worker makes
the batch of a step and the trainer fetches it. What a batch holds depends on (seed, epoch, step) only, so it does not
matter who makes it.
"""
