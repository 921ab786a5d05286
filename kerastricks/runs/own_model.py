"""A recipe's own model: checked, made ready for training, and saved, exported and verified before it."""

import ast
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastricks import recipes
from kerastricks.classifier_file import load_classifier
from kerastricks.data.image_data import ImageData
from kerastricks.errors import ConfigError, EnsembleError, KerasTricksError, ModelFileError, UsageError, WriteError
from kerastricks.files import begun_folder, write_error, written
from kerastricks.keras_graph import all_layers, precision, with_probabilities
from kerastricks.layers.without_augmentation import CropThenFit, with_layers, without_augmentation
from kerastricks.serving.export import export_saved_model
from kerastricks.serving.verify import verify_export
from kerastricks.training.config import Config
from kerastricks.training.device import try_gradients
from kerastricks.training.fitting import check_fits

_IMAGES = 4
_COLOURS = re.compile("\x1b\\[[0-9;]*m")  # of a terminal, in Keras's messages
_REGISTER = "decorate its class or function with @keras.saving.register_keras_serializable()"


def own_model(recipe: recipes.Recipe, data: ImageData, config: Config) -> keras.Model:
    """Call the `create_model` of a recipe and check its model, as a functional one of these images.

    A Sequential without an input is built, images of any size become those of the data, a subclass is put into a
    functional model, and layers that ask for mixed precision compute in float32: the configuration's `precision`
    decides. Keras's `RandomCrop` takes the centre in validation, where its own does nothing.

    Raises:
        ConfigError: where it fails, or returns what cannot be trained here.
    """
    assert recipe.create_model is not None
    try:
        with recipes.contained():
            model = recipe.create_model(data, config)
    except (Exception, SystemExit) as error:  # whatever a user's function does
        raise ConfigError(f"{recipe.path}: create_model failed: {_said(error)}") from error
    if not isinstance(model, keras.Model):
        raise ConfigError(f"{recipe.path}: create_model must return a keras.Model. Received: {type(model).__name__}")
    try:
        model = _fitted(model, data)
        check_fits(model, data)
    except UsageError as error:
        raise ConfigError(f"{recipe.path}: create_model: {error}") from None
    except Exception as error:
        raise ConfigError(
            f"{recipe.path}: create_model: {model.name} cannot be used for images of shape {data.image_shape}: "
            f"{_said(error)}"
        ) from error
    return model


def _fitted(model: keras.Model, data: ImageData) -> keras.Model:
    if isinstance(model, keras.Sequential) and not model.built:
        model.build((None, *data.image_shape))
    if not getattr(model, "inputs", None):
        model = _functional(model, data)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ConfigError(
            f"{model.name} must have one input and one output. Received: {len(model.inputs)} and {len(model.outputs)}"
        )
    if len(model.outputs[0].shape) != 2:
        raise ConfigError(
            f"{model.name} must give (batch, classes). Received: {tuple(model.outputs[0].shape)}: end it in a pooling "
            "or Flatten and a Dense"
        )
    if not hasattr(model(keras.Input(model.inputs[0].shape[1:], dtype=model.inputs[0].dtype)), "shape"):
        model = keras.Model(model.inputs[0], model.outputs[0], name=model.name)  # of one output in a dictionary or list
    for layer in all_layers(model):
        policy = layer.dtype_policy.name
        if policy.startswith("mixed_"):
            layer.dtype_policy = "float32"
        elif policy in ("float16", "bfloat16", "float64"):
            raise ConfigError(f"layer {layer.name} has weights of {policy}: leave it float32, and --set precision")
    given = model.inputs[0]
    if len(given.shape) == 4 and None in given.shape[1:]:
        pixels = keras.Input(data.image_shape, dtype=given.dtype, name=given.name)
        functional = keras.Model(given, model.outputs[0], name=model.name)  # of a Sequential, too
        model = keras.models.clone_model(functional, input_tensors=pixels, clone_function=lambda layer: layer)
    return with_layers(
        model, lambda one: CropThenFit.from_config(one.get_config()) if type(one) is keras.layers.RandomCrop else one
    )


def _functional(model: keras.Model, data: ImageData) -> keras.Model:
    """Wrap a subclass, which has no graph: whether it ends in probabilities is seen from its outputs."""
    pixels = keras.Input(data.image_shape, name="pixels")
    outputs = model(pixels)
    if not hasattr(outputs, "shape"):
        raise ConfigError(f"{model.name} must return one tensor")
    found = np.asarray(keras.ops.convert_to_numpy(model(data.sample(_IMAGES).astype("float32"), training=False)))
    if np.all(found >= 0) and np.allclose(found.sum(axis=-1), 1, atol=1e-3):
        outputs = keras.ops.log(keras.ops.maximum(outputs, 1e-7))
    return keras.Model(pixels, keras.layers.Softmax(dtype="float32")(outputs), name=model.name)


def check_export(
    model: keras.Model, images: np.ndarray, where: str, folder: Path, own: Sequence[Path], data: Any
) -> None:
    """Save, export and verify a model in a fresh process, as its training will in the end; no file remains.

    Args:
        model: untrained, or opened from a file.
        images: uint8 (N, height, width, channels), a few that it takes.
        where: it comes from, for messages: the recipe's path.
        folder: to work in.
        own: the recipes that register its layers.
        data: with `class_names` and `fitting`.

    Raises:
        ConfigError: where it cannot be saved, loaded or exported, or its outputs differ each time or are not finite.
    """
    _refuse_names(model, where)
    served = without_augmentation(with_probabilities(model))
    images = images[:_IMAGES]
    try:
        expected, again = (np.asarray(served.predict_on_batch(images)) for _ in range(2))
    except Exception as error:  # whatever a layer of one's own does
        raise ConfigError(f"{where}: {model.name} fails in inference: {_said(error)}") from error
    if not np.allclose(expected, again, atol=1e-5, equal_nan=True):
        raise ConfigError(
            f"{where}: {model.name} gives other outputs for the same images each time: a layer draws in inference, too "
            "(called with training=True?)"
        )
    if not np.isfinite(expected).all():
        raise ConfigError(
            f"{where}: {model.name} gives outputs that are not finite (NaN or infinite) for the first images: it "
            "cannot be trained at any rate. Scale its inputs or weights"
        )
    with written(folder), begun_folder(folder) as trial:
        try:
            copy_recipes(own, trial)
            file = trial / "model.keras"
            served.save(file)
            load_classifier(file)
            export_saved_model(
                file,
                data.class_names,
                trial,
                lambda target: verify_export(file, target, images, expected, data.fitting),
                data.fitting,
            )
        except WriteError:
            raise
        except Exception as failure:
            # Keras's error describes the model better than the message about a damaged file.
            cause = failure.__cause__ if isinstance(failure, ModelFileError) else None
            reason = cause if isinstance(cause, Exception) else failure
            refused = write_error(trial, reason)
            if refused is not None:
                raise refused from None
            said = str(reason).replace(f"{trial}/", "") if isinstance(reason, KerasTricksError) else _said(reason)
            raise ConfigError(
                f"{where}: {model.name} cannot be saved and loaded again: {_hint(model, str(reason)) or said}"
            ) from None


def check_step(model: keras.Model, images: np.ndarray, dtype_policy: str, where: str) -> None:
    """Take the outputs and gradients of a training step, in its precision; the model stays as it is.

    Layers of one's own may fail in training alone, or in half precision alone.

    Args:
        model: untrained.
        images: uint8 (N, height, width, channels), a few that it takes.
        dtype_policy: of the training.
        where: it comes from, for messages: the recipe's path.

    Raises:
        ConfigError: where it fails.
    """
    _refuse_names(model, where)
    try:
        with precision(model, dtype_policy):
            try_gradients(model, images[:_IMAGES].astype("float32"))
    except Exception as error:  # whatever a layer of one's own does
        way_out = ""
        if dtype_policy != "float32":
            with suppress(Exception), precision(model, "float32"):
                try_gradients(model, images[:_IMAGES].astype("float32"))
                way_out = ", and not in float32: take x.dtype in its layers, or --set precision=float32"
        raise ConfigError(
            f"{where}: {model.name} fails in a training step in {dtype_policy}{way_out} ({_said(error)})"
        ) from error


def copy_recipes(own: Sequence[Path], folder: Path) -> None:
    """Copy the recipes that register a model's layers into its folder: recipe.py, recipe-2.py, ..."""
    texts = dict.fromkeys(path.read_bytes() for path in own)
    for number, text in enumerate(texts, start=1):
        (folder / ("recipe.py" if number == 1 else f"recipe-{number}.py")).write_bytes(text)


def check_recipes(own: Sequence[Path]) -> None:
    """Raise EnsembleError where two recipes register different layers or functions by one name.

    A process has one class of a name: the members of one recipe would silently compute with the other's.
    """
    seen: dict[tuple[str, str], tuple[str, Path]] = {}
    for path in own:
        try:
            nodes = ast.parse(path.read_bytes()).body
        except (SyntaxError, ValueError):  # running it says more, where a model needs it
            continue
        for node in nodes:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef):
                continue
            registered = " ".join(map(ast.unparse, node.decorator_list))
            if "register_keras_serializable" not in registered:
                continue
            code, first = seen.setdefault((node.name, registered), (ast.dump(node), path))
            if code != ast.dump(node):
                raise EnsembleError(
                    f"{first} and {path}: register two different {node.name!r} by one name, and a process has one: "
                    "leave out the members of one of them, or rename it and train them again"
                )


def _refuse_names(model: keras.Model, where: str) -> None:
    """Refuse names that TensorFlow cannot use as scopes."""
    for name in (model.name, *(layer.name for layer in all_layers(model))):
        if not re.fullmatch("[A-Za-z0-9._>-]+", name) or model.name.startswith(("_", ">", "-")):
            raise ConfigError(
                f"{where}: a layer or model cannot be called {name!r}: letters without accents, digits and _, and a "
                "letter first"
            )


def _hint(model: keras.Model, error: str) -> str:
    """Known reasons why a model cannot be loaded, and the way out."""
    layers = all_layers(model)
    for layer in layers:
        if isinstance(layer, keras.layers.Lambda) and "<lambda>" in getattr(layer.function, "__name__", ""):
            return (
                f"layer {layer.name} is a Lambda, which no file keeps safely: write a keras.layers.Layer and "
                f"{_REGISTER}"
            )
    for layer in layers:
        kind = type(layer)
        module = kind.__module__.partition(".")[0]
        known = module in ("keras", "kerastricks") or keras.saving.get_registered_name(kind) != kind.__name__
        if not known:
            return f"{kind.__name__} (layer {layer.name}) is not registered: {_REGISTER}"
    if "locate" in error or "deserializ" in error or "no class or function" in error:
        return f"a class or function of its own is not registered: {_REGISTER}"
    return ""


def _said(error: BaseException) -> str:
    text = " ".join(_COLOURS.sub("", str(error)).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
