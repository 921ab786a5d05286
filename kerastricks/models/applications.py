"""The classifiers of `keras.applications`, by the same names and with the same head as the zoo's own.

`create("applications/EfficientNetV2B0", ...)`: pixels 0 to 255 in, whatever the network wants to see; that is done
inside the model, so that it cannot be forgotten or done twice.
"""

import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras

from kerastricks.errors import WeightsError
from kerastricks.models.catalog import APPLICATIONS, PREFIX
from kerastricks.models.options import ModelOptions
from kerastricks.spec import Spec

# What is decided here, or is of the head that is left out.
_DECIDED = {
    "include_top", "weights", "input_tensor", "input_shape", "pooling", "classes", "classifier_activation",
    "include_preprocessing", "dropout", "dropout_rate", "name",
}  # fmt: skip
# Of ImageNet, RGB, pixels 0 to 255.
_TORCH_MEAN, _TORCH_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
_CAFFE_MEAN = (123.68, 116.779, 103.939)


def create_application(
    parsed: Spec,
    input_shape: tuple[int, int, int],
    classes: int,
    weights: str | Path | None,
    options: Mapping[str, Any],
) -> keras.Model:
    """Builds a classifier of `keras.applications` with the zoo's input and head.

    Args:
        parsed: the spec, "applications/MobileNetV2(alpha=0.5)".
        input_shape: (height, width, channels); 1 channel is repeated to 3.
        classes: number of classes.
        weights: None, "imagenet", which Keras downloads, or the path of a file with the weights of the network
            without its last layer.
        options: `dropout`, `pooling` ("avg" or "max") and what the application has of its own.

    Returns:
        A flat functional model, "pixels" to "probabilities".

    Raises:
        SpecError: for options it does not have, or an image that is too small for it.
        WeightsError: for weights that cannot be downloaded or read.
    """
    name = parsed.name.removeprefix(PREFIX)
    inputs = keras.Input(input_shape, dtype="float32", name="pixels")
    given = {key: value for key, value in options.items() if key not in parsed.kwargs}
    features, model_options = parsed.call(application(name), x=inputs, weights=weights, **given)
    if model_options.dropout:
        features = keras.layers.Dropout(model_options.dropout, name="dropout")(features)
    logits = model_options.dense(features, classes, "logits", "glorot_uniform", dtype="float32")
    return keras.Model(inputs, keras.layers.Softmax(dtype="float32", name="probabilities")(logits), name=name)


def application(name: str) -> Callable[..., tuple[Any, ModelOptions]]:
    """The function from pixels to features of one application, with the arguments it has.

    Args:
        name: as in `keras.applications`, of `APPLICATIONS`.

    Returns:
        A function of `x`, `weights`, `pooling`, `dropout` and the application's own arguments, such as `alpha`.
    """
    function = getattr(keras.applications, name)
    theirs = inspect.signature(function).parameters
    more = {"include_preprocessing": True} if "include_preprocessing" in theirs else {}

    def build(
        x: Any, weights: Any = None, pooling: str = "avg", dropout: float = 0.0, **own: Any
    ) -> tuple[Any, ModelOptions]:
        if pooling not in ("avg", "max"):
            raise ValueError(f'pooling must be "avg" or "max". Received: pooling={pooling!r}')
        model_options = ModelOptions("relu", dropout=dropout)
        prepared = preprocess(x, APPLICATIONS[name])
        weights = str(weights) if weights is not None else None
        if weights not in (None, "imagenet") and not Path(os.path.expanduser(weights)).is_file():
            raise WeightsError(
                f'weights of {PREFIX}{name} must be "imagenet", a file of its weights without the last layer, or None. '
                f"Received: weights={weights!r}"
            )
        try:
            base = function(
                include_top=False,
                weights=weights,
                input_tensor=prepared,
                input_shape=tuple(prepared.shape[1:]),
                pooling=pooling,
                **more,
                **own,
            )
        except Exception as error:
            if "URL fetch failure" not in str(error):
                raise
            raise WeightsError(
                f"{PREFIX}{name}: its weights cannot be downloaded: with a network once, or give weights= the path of "
                f"a file ({' '.join(str(error).split())})"
            ) from None
        return base.output, model_options

    own = [p.replace(kind=p.KEYWORD_ONLY) for p in theirs.values() if p.name not in _DECIDED]
    common = [p for p in inspect.signature(build).parameters.values() if p.kind is not p.VAR_KEYWORD]
    build.__signature__ = inspect.Signature([*common, *own])  # type: ignore[attr-defined]
    return build


def preprocess(x: Any, mode: str) -> Any:
    """Converts pixels 0 to 255, RGB or grey, to the inputs that a network was trained on.

    Args:
        x: symbolic (batch, height, width, channels).
        mode: "tf", "torch", "caffe" or "inside": see `APPLICATIONS`.

    Returns:
        Symbolic, with 3 channels.
    """
    if x.shape[-1] == 1:
        x = keras.layers.Concatenate(name="grey_to_rgb")([x, x, x])
    if mode == "tf":
        return keras.layers.Rescaling(1 / 127.5, offset=-1, dtype="float32", name="pixels_scaled")(x)
    if mode == "torch":
        variance = [std**2 for std in _TORCH_STD]
        return keras.layers.Normalization(
            mean=list(_TORCH_MEAN), variance=variance, dtype="float32", name="pixels_normalized"
        )(x)
    if mode == "caffe":
        x = keras.layers.Normalization(
            mean=list(_CAFFE_MEAN), variance=[1.0] * 3, dtype="float32", name="pixels_centred"
        )(x)
        return keras.ops.flip(x, axis=-1)  # RGB to BGR
    return x


def __getattr__(name: str) -> Any:
    """`applications.ResNet50` is the function that builds it: what the registry of models looks for."""
    if name in APPLICATIONS:
        return application(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
