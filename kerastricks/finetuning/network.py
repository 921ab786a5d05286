"""Classifiers on a backbone: images of any size and channels in, a head after it, which is trained first."""

from collections.abc import Sequence

import keras
import numpy as np

from kerastricks.finetuning.backbone import Backbone, graft
from kerastricks.models.head import adapt_pixels, put_head
from kerastricks.probes.linear import LinearProbe

_EPOCHS, _PATIENCE, _BATCH = 200, 10, 128  # of a head with hidden layers


def build_network(
    backbone: Backbone,
    image_shape: tuple[int, int, int],
    classes: int,
    *,
    head: Sequence[int] = (),
    dropout: float = 0.0,
    end: str | None = None,
    pretrained: bool = True,
) -> keras.Model:
    """A classifier from pixels 0-255 to probabilities, with its own weights, flat: no nested model.

    Args:
        backbone: its layers keep their names.
        image_shape: (height, width, channels) of the images; where they are not the backbone's, they are resized and
            grey is repeated (or colour averaged to luma) inside the network.
        classes: 2 or more.
        head: units of dense layers with ReLU before the last one.
        dropout: rate before each dense layer.
        end: the layer after which the backbone is cut, its maps averaged; None for all of it.
        pretrained: whether it starts from the backbone's weights or from random ones.

    Returns:
        A functional `keras.Model`; the layer before the softmax is "logits".
    """
    source = backbone.model if end is None or end == backbone.top else cut(backbone.model, end)
    inputs = keras.Input(image_shape, dtype="float32", name="pixels")
    taken = {operation.name for operation in source.operations}
    body = graft(source, inputs, adapt_pixels(inputs, backbone.image_shape, taken), copy_weights=pretrained)
    if not body.trainable_weights:  # of a model that was saved frozen
        for layer in body.layers:
            layer.trainable = not isinstance(layer, keras.layers.Normalization)
    probabilities = put_head(body.outputs[0], classes, hidden=head, dropout=dropout, taken=taken)
    return keras.Model(inputs, probabilities, name=source.name)


def head_layers(network: keras.Model, backbone: Backbone) -> list[keras.layers.Dense]:
    """The dense layers that `build_network` put after the backbone; the last gives the logits."""
    body = {operation.name for operation in backbone.model.operations}
    return [layer for layer in network.layers if isinstance(layer, keras.layers.Dense) and layer.name not in body]


def cut(model: keras.Model, end: str) -> keras.Model:
    """The network up to a layer, whose maps are averaged: (batch, D)."""
    features = model.get_layer(end).output
    if len(features.shape) == 4:
        features = keras.layers.GlobalAveragePooling2D(name="features")(features)
    return keras.Model(model.inputs[0], features, name=model.name)


def set_linear_head(layers: Sequence[keras.layers.Dense], probe: LinearProbe) -> None:
    """Puts a probe's weights into the last dense layer, which is the whole head.

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
    class_weights: np.ndarray | None = None,
    learning_rate: float = 1e-3,
    sample_weight: np.ndarray | None = None,
) -> tuple[int, float]:
    """Trains a head with hidden layers on features, to its lowest validation loss, and puts it into the network.

    Args:
        layers: dense, of the network that gets the head; the last gives logits.
        features: (N, D).
        labels: (N,).
        validation_features: (M, D).
        validation_labels: (M,).
        dropout: rate before each layer.
        class_weights: (K,) of the classes in the loss, on training and on validation; None for equal ones.
        learning_rate: Adam's.
        sample_weight: (N,) of the images in the loss, divided by their mean; None for equal ones.

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
    weights = np.ones(len(labels)) if class_weights is None else class_weights[labels]
    if sample_weight is not None:
        weights = weights * sample_weight / sample_weight.mean()
    # Keras's class_weight would leave the validation loss unweighted, which decides when it stops.
    others = () if class_weights is None else (class_weights[validation_labels],)
    history = model.fit(
        (np.asarray(features) - mean) / scale,
        labels,
        sample_weight=None if class_weights is None and sample_weight is None else weights,
        batch_size=min(_BATCH, len(labels)),
        epochs=_EPOCHS,
        validation_data=(validation, validation_labels, *others),
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
