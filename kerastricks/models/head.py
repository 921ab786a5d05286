"""Parts that several networks share: the classifier's head, dense layers, residual additions, adapted pixels."""

from collections.abc import Collection, Sequence
from numbers import Real
from typing import Any

import keras
from keras import ops

from kerastricks.errors import ConfigError
from kerastricks.layers.stochastic_depth import StochasticDepth
from kerastricks.models.options import ModelOptions, check_dropout


def put_head(
    features: Any, classes: int, hidden: Sequence[int] = (), dropout: float = 0.0, taken: Collection[str] = ()
) -> Any:
    """Puts a head on features: (batch, D) to probabilities (batch, classes), symbolic.

    Args:
        features: symbolic.
        classes: 2 or more.
        hidden: units of dense layers with ReLU before the last one, He's initialization.
        dropout: rate before each dense layer.
        taken: names that layers of the network have already.

    Returns:
        Probabilities; the layer before the softmax is called "logits", or "logits_2" where that is taken.

    Raises:
        ValueError: for fewer than two classes, a layer without units, or a rate outside [0, 1).
    """
    if classes < 2 or any(units < 1 for units in hidden):
        raise ValueError(f"classes must be 2 or more, units 1 or more. Received: {classes} classes, hidden={hidden}")
    x, rate = features, check_dropout(dropout)
    for number, units in enumerate(hidden, start=1):
        if rate:
            x = keras.layers.Dropout(rate, name=free_name(f"head{number}_dropout", taken))(x)
        name = free_name(f"head{number}", taken)
        x = keras.layers.Dense(units, activation="relu", kernel_initializer="he_normal", name=name)(x)
    if rate:
        x = keras.layers.Dropout(rate, name=free_name("head_dropout", taken))(x)
    logits = keras.layers.Dense(classes, dtype="float32", name=free_name("logits", taken))(x)
    return keras.layers.Softmax(dtype="float32", name=free_name("probabilities", taken))(logits)


def put_cosines(features: Any, classes: int, scale: float) -> Any:
    """Puts a head of cosines on features: scale * cos(features, weights of a class), (batch, classes), symbolic.

    The constraint keeps each class's weights at norm 1 after every step. Layers of Keras only, so that a saved model
    loads without kerastricks.
    """
    x = keras.layers.UnitNormalization(dtype="float32", name="unit_features")(features)
    x = keras.layers.Rescaling(scale, dtype="float32", name="cosine_scale")(x)
    unit = keras.constraints.UnitNorm(axis=0)
    dense = keras.layers.Dense(classes, use_bias=False, kernel_constraint=unit, dtype="float32", name="logits")
    logits = dense(x)
    dense.kernel.assign(unit(dense.kernel.value))  # the constraint comes after the first step only
    return logits


def has_cosines(layer: Any) -> bool:
    """Whether a last layer is one that `put_cosines` made."""
    return isinstance(layer, keras.layers.Dense) and isinstance(layer.kernel_constraint, keras.constraints.UnitNorm)


def free_name(name: str, taken: Collection[str]) -> str:
    """The name, or with the first number from 2 that makes it another than those that are taken."""
    found, number = name, 2
    while found in taken:
        found, number = f"{name}_{number}", number + 1
    return found


def adapt_pixels(inputs: Any, wanted: tuple[int, int, int], taken: Collection[str] = ()) -> Any:
    """Adapts symbolic images to a network: grey is repeated, colour averaged to luma, the size changed.

    Args:
        inputs: symbolic, (batch, height, width, channels).
        wanted: (height, width, channels) that the network takes.
        taken: names of layers that are not used again.

    Returns:
        Symbolic, (batch, *wanted).

    Raises:
        ConfigError: for numbers of channels other than 1 and 3 that differ.
    """
    height, width, channels = inputs.shape[1:]
    x = inputs
    if (channels, wanted[2]) == (1, 3):
        x = keras.layers.Concatenate(name=free_name("to_rgb", taken))([x, x, x])
    elif (channels, wanted[2]) == (3, 1):
        x = ops.image.rgb_to_grayscale(x)
    elif channels != wanted[2]:
        raise ConfigError(f"images have {channels} channels and the backbone takes {wanted[2]}")
    if (height, width) != wanted[:2]:
        # float32: bfloat16 has no room for 256 values.
        name = free_name("resizing", taken)
        x = keras.layers.Resizing(*wanted[:2], antialias=True, crop_to_aspect_ratio=True, dtype="float32", name=name)(x)
    return x


def dense_layers(x: Any, widths: Sequence[int], options: ModelOptions) -> Any:
    """Dense layers with activation, and dropout between them; the dropout after the last of them is `create`'s.

    Args:
        x: features (batch, D), symbolic.
        widths: units of each; none changes nothing.
        options: of the model.

    Returns:
        Features (batch, widths[-1]).

    Raises:
        ValueError: for a width below 1.
    """
    widths = tuple(widths)
    if any(isinstance(width, bool) or not isinstance(width, int) or width < 1 for width in widths):
        raise ValueError(f"dense must be numbers of units, 1 or more each. Received: dense={widths}")
    for number, width in enumerate(widths, start=1):
        if number > 1 and options.dropout:
            x = keras.layers.Dropout(options.dropout, name=f"dense{number - 1}_dropout")(x)
        x = options.dense(x, width, f"dense{number}")
        x = options.activate(x, f"dense{number}_activation")
    return x


def drop_rates(blocks: int, stochastic_depth: float) -> tuple[float, ...]:
    """The drop rate of each block: block / blocks * stochastic_depth, counted from 1.

    Args:
        blocks: residual blocks of the network.
        stochastic_depth: rate of the last block, in [0, 1).

    Returns:
        As many rates as there are blocks.

    Raises:
        ValueError: for a rate that is no number in [0, 1).
    """
    if isinstance(stochastic_depth, bool) or not isinstance(stochastic_depth, Real) or not 0 <= stochastic_depth < 1:
        raise ValueError(
            f"stochastic_depth must be a number in [0, 1). Received: stochastic_depth={stochastic_depth!r}"
        )
    return tuple(StochasticDepth.linear_decay(block, blocks, float(stochastic_depth)) for block in range(1, blocks + 1))


def add_branch(shortcut: Any, branch: Any, drop_rate: float, name: str) -> Any:
    """`shortcut` + `branch`; the branch is left out at `drop_rate` in training. No layer is put in for a rate of 0."""
    if drop_rate:
        branch = StochasticDepth(drop_rate, name=f"{name}_depth")(branch)
    return keras.layers.Add(name=f"{name}_add")([branch, shortcut])
