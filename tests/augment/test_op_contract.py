"""Every op keeps the contract: a table over all of them, so that a new op without a row fails."""

import dataclasses
import inspect
import re
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
from keras import ops as keras_ops
from plan_runs import CLASSES, on_device, on_host, plan_of, uniforms

from kerastricks.augment import sequence
from kerastricks.augment.op import Draws, GeometricMap, MixOp, SpatialOp, op_name
from kerastricks.augment.ops import OPS
from kerastricks.errors import SpecError, UsageError

BACKEND = keras.backend.backend()
HEIGHT, WIDTH = 8, 9
COUNT = 6
HIGHEST = 1 - 2**-24


class Row(NamedTuple):
    """An op as it is tried.

    Args:
        arguments: strong ones, that small images can have.
        refused: of which each must raise SpecError, wherever the op stands.
        needs_colour: whether grey images must be refused.
        steps: whether a difference of rounding may become one of many values: the op is not continuous.
    """

    arguments: str
    refused: tuple[str, ...] = ()
    needs_colour: bool = False
    steps: bool = False


ROWS = {
    "alternating_flip": Row("3", ("-1", "0.5")),
    "autocontrast": Row("0.7", ("1.5", "rate=-0.1")),
    "blur": Row("(0.5, 2.0), 0.9", ("(2.0, 1.0)", "2.0", "rate=2")),
    "brightness": Row("0.9", ("1.5", "-0.1")),
    "color_jitter": Row("0.8, 0.8, 0.8, 0.4", ("2", "hue=0.6"), needs_colour=True),
    "contrast": Row("0.9", ("1.5", "-0.1")),
    "cutmix": Row("1.0", ("0", "rate=1.5")),
    "cutout": Row("5, 'mean'", ("0", "2.5", "fill='pink'")),
    "equalize": Row("0.7", ("1.5", "rate=-0.1"), steps=True),
    "erase": Row("0.7, fill='colour'", ("1.5", "area_range=(0.5, 0.2)", "max_ratio=0.5", "fill='pink'")),
    "fancy_pca": Row("2.0, 'stddev'", ("-1", "scale='l1'"), needs_colour=True),
    "flip": Row("0.6", ("1.5", "-0.1")),
    "for_rare": Row("'flip | pad_crop(3) | brightness(0.9)'", ("''", "3", "mixup", "'flip | erase'", "for_rare")),
    "gamma": Row("3.0", ("0.5", "-1")),
    "grayscale": Row("0.6", ("1.5", "-0.1"), needs_colour=True),
    "hsv": Row("(0.25, 4.0)", ("(0, 1)", "hue_range=(0.2, -0.2)", "power_draw='beta'"), needs_colour=True),
    "hue": Row("0.5", ("0.6", "-0.1"), needs_colour=True),
    "hue_yiq": Row("0.5", ("0.6", "-0.1"), needs_colour=True),
    "invert": Row("0.6", ("1.5", "-0.1")),
    "mixup": Row("1.0", ("0", "rate=1.5")),
    "normalize": Row(""),
    "pad_crop": Row("3, 'reflect'", ("-1", "1.5", "mode='wrap'")),
    "posterize": Row("3, 0.7", ("0", "9", "2.5", "rate=2"), steps=True),
    "randaugment": Row("2, 20", ("0", "1.5", "magnitude=31", "outside='pink'"), steps=True),
    "random_resized_crop": Row("0.2", ("0", "0.8, 0.5", "max_ratio=0.5")),
    "rotate": Row("60, 'reflect'", ("-1", "181", "outside='pink'")),
    "saturation": Row("0.9", ("1.5", "-0.1"), needs_colour=True),
    "sharpness": Row("0.9", ("1.5", "-0.1")),
    "shear": Row("30, 20, 'nearest'", ("-1", "90", "outside='pink'")),
    "solarize": Row("100, 0.7", ("-1", "300", "rate=2"), steps=True),
    "translate": Row("0.4", ("-0.1", "1.5", "outside='pink'")),
    "trivialaugment": Row("'reflect'", ("'pink'",), steps=True),
    "vertical_flip": Row("0.6", ("1.5", "-0.1")),
    "zoom": Row("0.5, 2.0", ("0", "1.0, 0.5", "outside='pink'")),
}
# What they do needs no paper.
OBVIOUS = {"flip", "gamma", "normalize", "rotate", "vertical_flip"}

every_op = pytest.mark.parametrize("name", ROWS)


def spec_of(name: str) -> str:
    return f"{name}({ROWS[name].arguments})"


def images_of(channels: int = 3) -> np.ndarray:
    """All brightnesses, one image of one colour, one of two."""
    images = np.random.default_rng(0).integers(0, 256, (COUNT, HEIGHT, WIDTH, channels))
    images[0], images[1], images[1, :4] = 80, 20, 230
    return images.astype("uint8")


def draws_of(plan: Any) -> np.ndarray:
    """The smallest and the largest uniforms there are, and some between."""
    draws = uniforms(plan, COUNT)
    draws[2], draws[3] = 0, HIGHEST
    return draws


def labels_of(name: str) -> np.ndarray | None:
    return np.arange(COUNT, dtype="int32") % CLASSES if issubclass(OPS[name], MixOp) else None


def check_close(found: np.ndarray, expected: np.ndarray, name: str) -> None:
    """Equal but for rounding: whole numbers that were not interpolated are the same."""
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    bound = 1e-2 if found.dtype == np.float32 else float(issubclass(OPS[name], GeometricMap))
    different = np.abs(found.astype("float64") - expected.astype("float64")) > bound
    assert different.mean() <= (0.01 if ROWS[name].steps else 0)


def test_every_op_has_a_row():
    assert set(ROWS) == set(OPS)


@pytest.mark.tensorflow_only
@every_op
def test_it_is_a_frozen_dataclass_with_defaults_and_its_class_is_named_like_it(name):
    kind = OPS[name]
    assert dataclasses.is_dataclass(kind)
    assert kind.__dataclass_params__.frozen
    op = kind()
    assert op == kind()
    assert op_name(op) == name
    assert kind.__name__.lower() == name.replace("_", "")
    for settable in dataclasses.fields(kind):
        if settable.init:
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(op, settable.name, 1)


@pytest.mark.tensorflow_only
@every_op
def test_its_docstring_says_what_it_does_its_arguments_and_its_source(name):
    doc = inspect.getdoc(OPS[name])
    first = doc.split("\n\n")[0]
    assert first[0].isupper()
    assert first.endswith((".", "`."))
    section = re.search(r"^Args:\n((?:    .*\n?|\n)+)", doc, re.MULTILINE)
    documented = re.findall(r"^    (\w+):", section.group(1), re.MULTILINE) if section else []
    assert documented == [field.name for field in dataclasses.fields(OPS[name]) if field.init]
    assert ("Reference:" in doc) or name in OBVIOUS, "no source"


@every_op
@pytest.mark.parametrize("channels", [3, pytest.param(1, marks=pytest.mark.tensorflow_only)])
def test_host_and_device_are_the_same_finite_and_in_range(name, channels):
    images = images_of(channels)
    if channels == 1 and ROWS[name].needs_colour:
        with pytest.raises(SpecError, match=rf"{name} needs colour images.*\(op 1 of"):
            plan_of(spec_of(name), images)
        return
    plan = plan_of(spec_of(name), images)
    draws, labels = draws_of(plan), labels_of(name)
    expected, expected_labels = on_host(plan, images, draws, labels, epoch=3)
    assert expected.shape == images.shape
    assert expected.dtype == (np.uint8 if issubclass(OPS[name], SpatialOp) else np.float32)
    assert np.isfinite(expected).all()
    if not OPS[name].ends_raw:
        assert expected.min() >= 0
        assert expected.max() <= 255
    # Compiled where each small function would be compiled by itself.
    found, found_labels = on_device(plan, images, draws, labels, epoch=3, compiled=BACKEND == "jax")
    check_close(found, expected, name)
    if labels is not None:
        assert expected_labels.shape == (COUNT, CLASSES)
        np.testing.assert_allclose(expected_labels.sum(axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(found_labels, expected_labels, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in ROWS if name in OPS and OPS[name].neutral])
def test_neutral_parameters_change_nothing(name):
    images = images_of()
    plan = plan_of(spec_of(name), images, fuse=False)

    def run(result: Any, uniforms: Any, index: Any) -> Any:
        for step in plan.steps:  # the op, and a clip
            (entry,) = step.entries
            drawn = entry.read(Draws(uniforms, 3, index), keras_ops)
            assert set(drawn) >= set(entry.op.neutral)
            neutral = {
                key: keras_ops.zeros_like(drawn[key], dtype="float32") + value
                for key, value in entry.op.neutral.items()
            }
            result, _ = step.run(result, None, [drawn | neutral], keras_ops)
        return result

    if BACKEND == "jax":  # which would compile each small function by itself
        import jax

        run = jax.jit(run)
    arrays = (images, draws_of(plan), np.arange(COUNT, dtype="int32"))
    result = run(*(keras_ops.convert_to_tensor(array) for array in arrays))
    np.testing.assert_array_equal(keras_ops.convert_to_numpy(result), images)


@pytest.mark.tensorflow_only
@every_op
def test_fused_and_unfused_are_the_same_inside_a_sequence(name):
    ends = issubclass(OPS[name], MixOp) or OPS[name].ends_raw
    spec = f"flip | contrast(0.3) | {spec_of(name)}" + ("" if ends else " | translate(0.2) | brightness(0.3)")
    if issubclass(OPS[name], SpatialOp):  # a neighbour before it, to be fused with
        spec = f"pad_crop(2) | {spec_of(name)} | translate(0.2) | brightness(0.3)"
    images, labels = images_of(), labels_of(name)
    plan, unfused = plan_of(spec, images), plan_of(spec, images, fuse=False)
    assert len(plan.steps) < len(unfused.steps)
    draws = draws_of(plan)
    found, found_labels = on_host(plan, images, draws, labels, epoch=3)
    expected, expected_labels = on_host(unfused, images, draws, labels, epoch=3)
    check_close(found, expected, name)
    if labels is not None:
        np.testing.assert_allclose(found_labels, expected_labels, atol=1e-6)


@pytest.mark.tensorflow_only
@every_op
def test_the_compiled_host_and_a_batch_of_one_are_the_same(name):
    images, labels = images_of(), labels_of(name)
    plan = plan_of(spec_of(name), images)
    draws = draws_of(plan)
    expected, _ = on_host(plan, images, draws, labels, epoch=2)
    compiled, _ = on_host(plan, images, draws, labels, epoch=2, compiled=True)
    check_close(compiled, expected, name)
    some = None if labels is None else labels[3:4]
    alone, _ = on_host(plan, images[3:4], draws[3:4], some, epoch=2, index=np.array([3]))
    check_close(alone, images[3:4].astype(alone.dtype) if labels is not None else expected[3:4], name)


@pytest.mark.tensorflow_only
@every_op
def test_a_refused_argument_names_the_op_its_place_and_the_spec(name):
    assert ROWS[name].refused or not any(field.init for field in dataclasses.fields(OPS[name]))
    for arguments in (*ROWS[name].refused, "nonsense=1"):
        text = f"flip | {name}({arguments}) | flip"
        with pytest.raises(SpecError) as error:
            sequence.read(text, None)
        message = str(error.value)
        assert message.startswith(name)
        assert "nonsense" in message if "nonsense" in arguments else "Received: " in message
        assert message.endswith(f"(op 2 of {text!r})")
        assert "\n" not in message


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flip | rotat(3)", r"no op is called 'rotat': did you mean rotate.*\(op 2 of 'flip \| rotat\(3\)'\)"),
        ("normalize | gamma", r"gamma: comes after normalize, but expects values 0 to 255: .*\(op 2 of"),
        ("mixup | flip", r"flip: comes after mixup, which mixes images: put it before \(op 2 of"),
        ("flip | pad_crop(8)", r"pad_crop: pixels must be below the image's side, 8\. Received: pixels=8 \(op 2 of"),
        ("flip | cutout(9)", r"cutout: size_px must be at most the image's side, 8.*\(op 2 of"),
    ],
)
def test_a_sequence_that_cannot_be_meant_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        plan_of(text, images_of())
