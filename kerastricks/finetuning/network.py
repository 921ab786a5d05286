"""Networks on top of a backbone: images of any size and channels in front of it, a head behind it."""

from collections.abc import Sequence

import keras

from kerastricks.finetuning.backbone import Backbone
from kerastricks.finetuning.graft import graft
from kerastricks.models.adapt_pixels import adapt_pixels
from kerastricks.models.head import put_head


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
    """A classifier from pixels 0-255 to probabilities, with weights of its own, flat: no model inside it.

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
    """The dense layers that `build_network` put behind the backbone; the last gives the logits."""
    body = {operation.name for operation in backbone.model.operations}
    return [layer for layer in network.layers if isinstance(layer, keras.layers.Dense) and layer.name not in body]


def cut(model: keras.Model, end: str) -> keras.Model:
    """The network up to a layer, whose maps are averaged: (batch, D)."""
    features = model.get_layer(end).output
    if len(features.shape) == 4:
        features = keras.layers.GlobalAveragePooling2D(name="features")(features)
    return keras.Model(model.inputs[0], features, name=model.name)
