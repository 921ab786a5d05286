"""Weights that are exempt from weight decay: biases, gains, offsets, slopes."""

from typing import Any

import keras

from kerastricks.keras_graph import all_layers, own_trainable_variables

# Layers whose weights scale or shift and are no directions: decay only weakens them.
_SCALES = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
    keras.layers.PReLU,
)


def undecayed(model: keras.Model) -> list[Any]:
    """Lists the weights to exempt from weight decay: biases, normalisation's gains and offsets, PReLU slopes.

    Decay pulls towards 0, which is a prior about directions (kernels); a gain, an offset or a slope has no
    reason to be near 0, and PReLU's becomes a ReLU. Keras's optimizers decay every weight unless told which to
    leave out, and must be told before they are built.

    On the list are weights of `BatchNormalization`, `GroupNormalization`, `LayerNormalization`,
    `RMSNormalization` and `PReLU`, weights called "bias" or "..._bias" whatever their rank (those of attention
    and recurrent layers are matrices), and all others of rank 0 or 1, such as the gains of a weight
    normalization. Embeddings are matrices as kernels are, and are decayed. Weights of frozen layers are on the
    list too, so that they stay undecayed once the layers are unfrozen. Nested models are looked into; a
    shared layer's weights are listed once.

    Args:
        model: built, of any kind: functional, `Sequential` or subclassed.

    Returns:
        A list of Keras variables, for `optimizer.exclude_from_weight_decay(var_list=...)`.

    Raises:
        ValueError: for a model that is not built, which has no weights yet.

    Example:
        >>> import keras, kerastricks
        >>> model = kerastricks.models.create("plain_cnn(widths=(8,))", (8, 8, 1), 3)
        >>> optimizer = keras.optimizers.SGD(0.1, weight_decay=5e-4)
        >>> optimizer.exclude_from_weight_decay(var_list=kerastricks.regularizers.undecayed(model))
        >>> model.compile(optimizer, "sparse_categorical_crossentropy")

    Reference:
        He et al.: Delving Deep into Rectifiers, ICCV 2015, section 2.1 (no decay of PReLU slopes); He et al.:
        Bag of Tricks for Image Classification, CVPR 2019, section 3.1 (no decay of biases, gains, offsets).
    """
    if not model.built:
        raise ValueError(
            f"undecayed needs a model that is built: call {model.name!r} on a batch, or model.build(input_shape), first"
        )
    found: dict[int, Any] = {}
    for layer in all_layers(model):
        for weight in own_trainable_variables(layer):
            if isinstance(layer, _SCALES) or len(weight.shape) < 2 or _is_bias(weight.name):
                found[id(weight)] = weight
    return list(found.values())


def _is_bias(name: str) -> bool:
    return name == "bias" or name.endswith("_bias")
