"""Backbones: networks without their head, from the zoo, `keras.applications`, a run or a file; and flat copies."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import keras

from kerastricks import spec
from kerastricks.classifier_file import load_model_file
from kerastricks.errors import ConfigError, RunFolderError, first_line
from kerastricks.files import read_json
from kerastricks.finetuning.levels import Level, find_levels
from kerastricks.keras_graph import producer
from kerastricks.layers.adapting import finish_adapting
from kerastricks.models.catalog import CATALOG
from kerastricks.models.creation import create


def graft(model: keras.Model, inputs: Any, pixels: Any, copy_weights: bool = True) -> keras.Model:
    """A copy of a network on `pixels`, a function of `inputs`, which become its inputs.

    Models inside the model are laid open: a transfer model of the usual form, Sequential([base, Dense]), becomes the
    layers of both.

    Args:
        model: functional or Sequential, one input, one output.
        inputs: symbolic, of a `keras.Input`.
        pixels: symbolic.
        copy_weights: whether the copy starts with the same weights, or with those of the initializers.

    Returns:
        A functional model from `inputs`; layers keep their names.

    Raises:
        ConfigError: where the weights do not fit images of this size, or two layers have one name.
    """
    pairs: list[tuple[Any, Any]] = []
    try:
        copied = _graft(model, inputs, pixels, pairs)
        if copy_weights:
            for original, copy in pairs:
                copy.set_weights(original.get_weights())
                finish_adapting(copy)
    except ValueError as error:
        have, wanted = tuple(model.inputs[0].shape[1:]), tuple(pixels.shape[1:])
        raise ConfigError(
            f"backbone {model.name}: made for images of {have}, cannot be used for {wanted} ({first_line(error)})"
        ) from None
    return copied


def _graft(model: keras.Model, inputs: Any, pixels: Any, pairs: list[tuple[Any, Any]]) -> keras.Model:
    functional = keras.Model(model.inputs[0], model.outputs[0], name=model.name)  # of a Sequential too
    inner: dict[int, tuple[Any, keras.Model]] = {}

    def clone(operation: Any) -> Any:
        if isinstance(operation, keras.Model) and getattr(operation, "inputs", None):  # others have no graph
            placeholder = keras.layers.Identity()
            inner[id(placeholder)] = placeholder, operation
            return placeholder
        copy = operation.__class__.from_config(operation.get_config())
        if isinstance(operation, keras.layers.Layer) and operation.weights:
            pairs.append((operation, copy))
        return copy

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        args = keras.tree.map_structure(lambda tensor: pixels if tensor is inputs else tensor, args)
        if id(operation) in inner:
            return _graft(inner[id(operation)][1], inputs, args[0], pairs).outputs[0]
        return operation(*args, **kwargs)

    return keras.models.clone_model(functional, input_tensors=inputs, clone_function=clone, call_function=call)


_APPLICATIONS = "applications/"


@dataclass(frozen=True)
class Backbone:
    """A network without its head.

    Args:
        name: short: "efficientnet_lite0", a run's name.
        model: functional, (batch, height, width, channels) pixels 0 to 255 to features (batch, D).
        weights: where its weights are from: "imagenet", the path of a run or file.
        crop_fraction: of the centre of an image it is used to, see `kerastricks.data.load`.
        interpolation: that its images were resized with.
    """

    name: str
    model: keras.Model
    weights: str
    crop_fraction: float = 1.0
    interpolation: str = "bilinear"

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """The levels, from pixels to features."""
        return find_levels(self.model)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers whose features are taken: the end of each level, from early to late."""
        return tuple(level.end for level in self.levels)

    @property
    def top(self) -> str:
        """The last of these layers."""
        return self.layers[-1]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Input shape (height, width, channels)."""
        return tuple(self.model.inputs[0].shape[1:])

    @property
    def image_size(self) -> int:
        """Height in pixels."""
        return self.image_shape[0]


def open_backbone(
    source: str | Path | keras.Model, image_size: int | None = None, weights: str = "imagenet"
) -> Backbone:
    """Finds a pretrained network and takes its head off.

    Args:
        source: a run folder or a `.keras` file; a model of the zoo that has weights, "efficientnet_lite0", also as a
            spec; "applications/NAME"; or a functional Keras model from pixels 0-255 to classes or to features.
        image_size: side in pixels of the images it will get; None for the size it was made for.
        weights: of a model of the zoo or of Keras: a name ("imagenet") or a path.

    Returns:
        A `Backbone` whose model shares no weights with anything.

    Raises:
        ConfigError: for a model of the zoo without weights, or a size the network cannot take.
        RunFolderError: for a folder or file that holds no model.
        UnknownNameError: for a name that is none of these.
    """
    if isinstance(source, keras.Model):
        return _of_model(source, source.name, image_size, "given")
    path = Path(os.path.expanduser(source))
    if os.path.exists(path):  # false also for a spec that is too long for a path
        return _of_run(path, image_size)
    name = spec.parse(str(source)).name
    if name in CATALOG and not CATALOG[name].weights and weights == "imagenet":
        have = ", ".join(other for other, entry in CATALOG.items() if entry.weights)
        raise ConfigError(
            f"backbone {name}: the zoo has no weights for it: take one of {have}, {_APPLICATIONS}NAME, or a "
            "run of yours (--from saved_models/RUN)"
        )
    return _of_zoo(str(source), name, image_size, weights)


def _of_zoo(text: str, name: str, image_size: int | None, weights: str) -> Backbone:
    from kerastricks.weights.catalog import PRETRAINED

    known = PRETRAINED.get(f"{name}.{weights}")
    side = image_size or (known.image_size if known else CATALOG[name].input_size if name in CATALOG else 224)
    model = create(text, (side, side, 3), classes=2, weights=weights)
    features = without_head(model)
    # Whole images, not their centres as ImageNet is scored: what is cut away is not seen (docs/finetuning.md).
    return _checked(Backbone(name, features, weights, interpolation="bicubic"))


def _of_run(path: Path, image_size: int | None) -> Backbone:
    file = path / "model.keras" if path.is_dir() else path
    if not file.is_file():
        raise RunFolderError(f"{path}: no model.keras inside: give a finished run or a .keras file")
    model = load_model_file(file)
    backbone = _of_model(model, path.name if path.is_dir() else path.stem, image_size, str(path.resolve()))
    config: dict[str, Any] = {}
    record = path / "config.json"
    if path.is_dir() and record.exists():
        config = read_json(record)["config"]
    return Backbone(
        backbone.name,
        backbone.model,
        backbone.weights,
        config.get("crop_fraction", 1.0),
        config.get("interpolation", "bilinear"),
    )


def _of_model(model: keras.Model, name: str, image_size: int | None, weights: str) -> Backbone:
    if len(getattr(model, "inputs", None) or ()) != 1 or len(model.inputs[0].shape) != 4:
        raise ConfigError(
            f"backbone {name}: must be a functional or Sequential keras.Model of images. "
            f"Received: {type(model).__name__}"
        )
    height, width, channels = model.inputs[0].shape[1:]
    if image_size is None and None in (height, width):
        raise ConfigError(f"backbone {name}: takes images of any size: say which (--image-size)")
    inputs = keras.Input((image_size or height, image_size or width, channels), dtype="float32", name="pixels")
    return _checked(Backbone(name, without_head(graft(model, inputs, inputs)), weights))


def _checked(backbone: Backbone) -> Backbone:
    """Raises ConfigError for a network whose levels cannot be determined."""
    try:
        assert backbone.levels
    except ValueError as error:
        raise ConfigError(f"backbone {backbone.name}: {error}") from None
    return backbone


def without_head(model: keras.Model) -> keras.Model:
    """The network up to the input of its final dense layer; all of it if it ends in another layer.

    A softmax and dropout are left out with it; maps are averaged.
    """
    layers = list(model.layers)
    features = model.outputs[0]
    for layer in reversed(layers):
        if isinstance(layer, keras.layers.Dense):
            features = layer.input
            break
        if not isinstance(layer, keras.layers.Softmax | keras.layers.Activation | keras.layers.Dropout):
            break
    while isinstance(producer(features), keras.layers.Dropout):
        features = producer(features).input
    if len(features.shape) == 4:
        features = keras.layers.GlobalAveragePooling2D(name="features")(features)
    elif not isinstance(producer(features), keras.layers.Layer):
        features = keras.layers.Identity(name="features")(features)  # an operation has no features of its name
    return keras.Model(model.inputs[0], features, name=model.name)
