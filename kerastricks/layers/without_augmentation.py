"""Models for inference, without the layers that only draw in training."""

from collections.abc import Callable
from typing import Any

import keras

from kerastricks.layers.fancy_pca import FancyPCA
from kerastricks.layers.random_hsv import RandomHSV

# Each is the identity with training=False (tests/layers/test_without_augmentation.py holds all of them to it).
_DRAW_ONLY = (
    "AugMix",
    "CutMix",
    "Equalization",
    "GaussianNoise",
    "MixUp",
    "RandAugment",
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomElasticTransform",
    "RandomErasing",
    "RandomFlip",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHue",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterization",
    "RandomRotation",
    "RandomSaturation",
    "RandomSharpness",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
    "Solarization",
)
# A recipe may be read with an older Keras, which has fewer.
DRAW_ONLY = (FancyPCA, RandomHSV, *(getattr(keras.layers, name) for name in _DRAW_ONLY if hasattr(keras.layers, name)))


class CropThenFit(keras.layers.RandomCrop):
    """Keras's `RandomCrop` in training; in inference the largest centred window, as Keras documents it.

    Keras 3.15 returns the whole image in inference, of another size than it says.
    """

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        if training:
            return super().transform_images(images, transformation, training)
        return self.for_inference()(images)

    def for_inference(self) -> keras.layers.Layer:
        """The deterministic layer that takes its place."""
        return fitted(self)


def fitted(crop: keras.layers.RandomCrop) -> keras.layers.Resizing:
    """The largest centred window of the crop's shape, resized to it."""
    return keras.layers.Resizing(
        crop.height, crop.width, crop_to_aspect_ratio=True, data_format=crop.data_format, name=crop.name
    )


def without_augmentation(model: keras.Model) -> keras.Model:
    """A model for inference, without layers that only draw; it shares all weights.

    Left out are Keras's random image layers, `MixUp`, `CutMix`, `AugMix`, `RandAugment`, `Solarization`, `Equalization`
    and `GaussianNoise`, and `RandomHSV` and `FancyPCA` of kerastricks, which do nothing in inference, wherever they
    are: in models inside the model and in a `Pipeline`, too. Keras's `RandomCrop` becomes the largest centred window,
    resized. Dropout stays, and so do layers of one's own.

    Args:
        model: functional or Sequential. Any other, and one without such layers, is returned as it is.

    Returns:
        A functional model with the same inputs and names of layers.

    Example:
        >>> import keras
        >>> from kerastricks.layers.without_augmentation import without_augmentation
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.RandomFlip(), keras.layers.Flatten()])
        >>> [type(layer).__name__ for layer in without_augmentation(model).layers]
        ['InputLayer', 'Flatten']
    """

    def change(operation: Any) -> Any:
        if type(operation) in DRAW_ONLY:
            return None
        return fitted(operation) if type(operation) in (keras.layers.RandomCrop, CropThenFit) else operation

    return with_layers(model, change)


def with_layers(model: keras.Model, change: Callable[[Any], Any]) -> keras.Model:
    """A model with some of its layers exchanged or left out; the others, and so their weights, are shared.

    Args:
        model: functional or Sequential; any other is returned as it is.
        change: gets a layer and gives what takes its place: itself, another one, or None for nothing.
    """
    changed, _ = _changed(model, change, {})
    return model if changed is None else changed


def _changed(operation: Any, change: Callable[[Any], Any], known: dict[int, tuple[Any, Any]]) -> tuple[Any, Any]:
    """Replacement of a layer, or None; and the layer itself, so that its id is not reused."""
    if id(operation) not in known:
        known[id(operation)] = _change(operation, change, known), operation
    return known[id(operation)]


def _change(operation: Any, change: Callable[[Any], Any], known: dict[int, tuple[Any, Any]]) -> Any:
    if isinstance(operation, keras.layers.Pipeline):
        kept = [found for found in (_changed(one, change, known)[0] for one in operation.layers) if found is not None]
        if len(kept) == len(operation.layers) and all(a is b for a, b in zip(kept, operation.layers, strict=True)):
            return operation
        return keras.layers.Pipeline(kept, name=operation.name) if kept else None
    if not isinstance(operation, keras.Model):
        return change(operation)
    if not (len(getattr(operation, "inputs", None) or ()) == 1 and len(operation.outputs) == 1):
        return operation  # a subclass, whose insides only it knows
    functional = keras.Model(operation.inputs[0], operation.outputs[0], name=operation.name)  # of a Sequential, too
    inside = [one for one in functional.operations if not isinstance(one, keras.layers.InputLayer)]
    if all(_changed(one, change, known)[0] is one for one in inside):
        return operation

    def call(one: Any, *args: Any, **kwargs: Any) -> Any:
        found = _changed(one, change, known)[0]
        return args[0] if found is None else found(*args, **kwargs)

    made = keras.models.clone_model(functional, clone_function=lambda one: one, call_function=call)
    return None if made.outputs[0] is made.inputs[0] else made
