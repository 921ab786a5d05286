"""A model of the zoo by name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastricks import keras_hook, spec
from kerastricks.errors import ConfigError
from kerastricks.models.applications import create_application
from kerastricks.models.catalog import CATALOG, MODELS, PREFIX
from kerastricks.models.head import put_cosines
from kerastricks.weights.catalog import Pretrained
from kerastricks.weights.files import find as find_weights
from kerastricks.weights.loading import load_weights, statistics_for


def create(
    name: str,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    *,
    weights: str | Path | None = None,
    mean: Sequence[float] | np.ndarray | float | None = None,
    std: Sequence[float] | np.ndarray | float | None = None,
    cosine_scale: float | None = None,
    **options: Any,
) -> keras.Model:
    """Builds a classifier: pixels 0-255 in, normalised inside, probabilities out.

    Args:
        name: of the zoo, "resnet_20", or a spec with options, "resnet_20(dropout=0.1, activation='prelu')"; or of
            `keras.applications`, "applications/EfficientNetV2B0".
        input_shape: (height, width, channels) in pixels; 1 or 3 channels.
        classes: number of classes, 2 or more.
        weights: None for random ones; "imagenet" for those the zoo has (`kerastricks models`); or the path of a
            `.pth`, `.weights.h5` or `.keras` file of the same network, or of a folder with one. The head is loaded
            too where it has as many classes, and starts at random where not.
        mean: subtracted from the pixels; one number or one per channel (`data.mean`). None means that of the
            weights; without weights, 127.5, which with `std` 127.5 scales to [-1, 1]. Networks of `keras.applications`
            prepare pixels in their own way, whatever is given here.
        std: the pixels are divided by it; the same forms (`data.std`). Networks of `keras.applications` bring their
            own preparation of the pixels and use neither.
        cosine_scale: None for a last layer as usual; a number for one that gives this times the cosine between the
            features and the weights of a class, without bias, as `LDAMLoss` and other losses with margins want it:
            layers of Keras only. Not for `keras.applications`.
        **options: those of every model (`activation`, `initializer`, `regularizer`, `dropout`) and what the family has
            of its own, such as `widths` of `plain_cnn`. The spec's own options win over these.

    Returns:
        A functional `keras.Model`: (batch, height, width, channels) float32, 0 to 255, to (batch, classes)
        float32 probabilities. The layer before the softmax is called "logits". Random weights: set
        `keras.utils.set_random_seed` before for repeatable ones. Layers whose
        initializer is `PatchWhitening` or `LSUV` get their weights from images by
        `kerastricks.initializers.start_from_data`, which `kerastricks train` calls.

    Raises:
        UnknownNameError: for a name that the zoo does not have.
        SpecError: for options that the model does not have, or values that its layers refuse.
        WeightsError: for weights that are missing, damaged or of another network, or a `mean` or `std` other than
            theirs.
        ValueError: for fewer than two classes.
        ConfigError: where Keras is set to channels first or another precision than float32.

    Example:
        >>> import kerastricks
        >>> model = kerastricks.models.create("plain_cnn(widths=(8, 8))", (8, 8, 1), classes=3)
        >>> model.output_shape
        (None, 3)
    """
    keras_hook.check_settings()
    if classes < 2:
        raise ValueError(f"classes must be 2 or more. Received: classes={classes}")
    parsed = spec.parse(name)
    family = MODELS[parsed.name]
    if cosine_scale is not None and not cosine_scale > 0:
        raise ValueError(f"cosine_scale must be above 0, or None. Received: cosine_scale={cosine_scale}")
    if parsed.name.startswith(PREFIX):
        if cosine_scale is not None:
            raise ConfigError(
                f"{parsed.name}: has its own last layer, and takes no cosine_scale: take a model of the zoo"
            )
        return create_application(parsed, input_shape, classes, weights, options)
    config = dict(CATALOG[parsed.name].config) if parsed.name in CATALOG else {}

    source = find_weights(weights, parsed.name) if weights is not None else None
    channels = input_shape[-1]
    mean, std = statistics_for(source, parsed.name, channels, mean, std)
    inputs = keras.Input(input_shape, dtype="float32", name="pixels")
    normalized = keras.layers.Normalization(
        mean=np.broadcast_to(mean, channels).tolist(),
        variance=np.square(np.broadcast_to(std, channels)).tolist(),
        dtype="float32",  # 0-255 in bfloat16 leaves no room for fractions
        name="normalization",
    )(inputs)
    given = {name: value for name, value in {**config, **options}.items() if name not in parsed.kwargs}
    features, model_options = parsed.call(family, x=normalized, **given)
    if model_options.dropout:
        features = keras.layers.Dropout(model_options.dropout, name="dropout")(features)
    # The last layer starts as Keras does, whatever the others do: its outputs are no signal for further layers.
    if cosine_scale is None:
        logits = model_options.dense(features, classes, "logits", "glorot_uniform", dtype="float32")
    else:
        logits = put_cosines(features, classes, cosine_scale)
    probabilities = keras.layers.Softmax(dtype="float32", name="probabilities")(logits)
    model = keras.Model(inputs, probabilities, name=parsed.name)
    if source is not None:
        load_weights(model, source, _network_of)
    return model


def _network_of(known: Pretrained) -> keras.Model:
    """The network that published weights are of."""
    return create(known.model, (known.image_size, known.image_size, 3), known.classes)
