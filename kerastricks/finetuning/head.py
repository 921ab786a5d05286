"""The first stage: a head on features that stay as they are, trained on the features alone."""

from collections.abc import Sequence

import keras
import numpy as np

from kerastricks.probes.linear import LinearProbe

_EPOCHS, _PATIENCE, _BATCH = 200, 10, 128


def set_linear_head(layers: Sequence[keras.layers.Dense], probe: LinearProbe) -> None:
    """Puts a probe's weights into the last dense layer, which is all the head there is.

    Kumar et al.: Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution, ICLR 2022, begin
    fine-tuning from this point.
    """
    [layer] = layers
    layer.set_weights([probe.kernel, probe.bias])


def fit_head(
    layers: Sequence[keras.layers.Dense],
    features: np.ndarray,
    labels: np.ndarray,
    validation_features: np.ndarray,
    validation_labels: np.ndarray,
    dropout: float = 0.0,
    learning_rate: float = 1e-3,
) -> tuple[int, float]:
    """Trains a head with hidden layers on features, to its lowest validation loss, and puts it into the network.

    Args:
        layers: dense, of the network that gets the head; the last gives logits.
        features: (N, D).
        labels: (N,).
        validation_features: (M, D).
        validation_labels: (M,).
        dropout: rate before each layer.
        learning_rate: Adam's.

    Returns:
        The epochs it took, and its accuracy on validation.
    """
    inputs = keras.Input((features.shape[1],))
    # Features are of any scale: a head that is trained from random weights wants them alike.
    scale = np.maximum(features.std(axis=0), 1e-6 + 1e-3 * features.std())
    mean = features.mean(axis=0)
    x, copies = inputs, []
    for layer in layers:
        copies.append(keras.layers.Dense.from_config({**layer.get_config(), "dtype": "float32"}))
        x = copies[-1](keras.layers.Dropout(dropout)(x))
    model = keras.Model(inputs, x)
    model.compile(
        keras.optimizers.AdamW(learning_rate, weight_decay=1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    validation = (np.asarray(validation_features) - mean) / scale
    history = model.fit(
        (np.asarray(features) - mean) / scale,
        labels,
        batch_size=min(_BATCH, len(labels)),
        epochs=_EPOCHS,
        validation_data=(validation, validation_labels),
        callbacks=[keras.callbacks.EarlyStopping("val_loss", patience=_PATIENCE, restore_best_weights=True)],
        verbose=0,
    )
    for place, (layer, copy) in enumerate(zip(layers, copies, strict=True)):
        kernel, bias = (np.array(weight) for weight in copy.get_weights())
        if place == 0:
            kernel = kernel / scale[:, None]
            bias = bias - mean @ kernel
        layer.set_weights([kernel, bias])
    probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(model.predict(validation, verbose=0)))
    accuracy = float(np.mean(probabilities.argmax(axis=1) == validation_labels))
    return len(history.history["loss"]), accuracy
