"""Runs plans with labels and places, as the device and as the host do."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerastricks.augment import sequence
from kerastricks.augment.op import Draws, ImageSpec, Op
from kerastricks.augment.plan import Plan
from kerastricks.augment.spatial_step import Store
from kerastricks.data import PixelStatistics
from kerastricks.data.pipeline import tensorflow_arrays

BACKEND = keras.backend.backend()
CLASSES = 7
CLASS_COUNTS = (64, 32, 16, 8, 4, 2, 1)  # of the images' index modulo 7


def noise(count: int, height: int = 9, width: int = 12, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Images whose pixels have nothing to do with each other."""
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, channels)).astype("uint8")


def smooth(count: int, height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Waves of half the image's side or longer; float32, 20 to 235."""
    generator = np.random.default_rng(seed)
    y, x = np.arange(height)[:, None, None] / height, np.arange(width)[None, :, None] / width
    images = []
    for _ in range(count):
        along, across = generator.uniform(-2, 2, (2, channels))
        images.append(np.sin(2 * np.pi * (along * y + across * x) + generator.uniform(0, 6.3, channels)))
    return (127.5 + 107.5 * np.stack(images)).astype("float32")


def image_spec_of(images: np.ndarray) -> ImageSpec:
    statistics = PixelStatistics(images.shape[-1])
    statistics.update(np.rint(images).astype("uint8"))
    return ImageSpec(images.shape[1:], CLASSES, statistics, CLASS_COUNTS)


def op_of(text: str, images: np.ndarray) -> Any:
    """The one op of a spec, bound to such images."""
    (op,) = sequence.read(text, image_spec_of(images))
    return op


def plan_of(text: str, images: np.ndarray, fuse: bool = True) -> Plan:
    image_spec = image_spec_of(images)
    return Plan(sequence.read(text, image_spec), image_spec, fuse)


def with_parameters(op: Any, **values: Any) -> Any:
    """The op with these parameters, one per image, whatever is drawn."""

    def parameters(draws: Draws, xp: Any) -> dict[str, Any]:
        return {name: xp.convert_to_tensor(np.asarray(value, "float32")) for name, value in values.items()}

    return op.knowing(parameters=parameters)


def applied(op: Op, images: np.ndarray, labels: np.ndarray | None = None) -> Any:
    """One op by the device's executor; images, or (images, labels)."""
    plan = Plan([op], image_spec_of(images))
    result = on_device(plan, images, uniforms(plan, len(images)), labels)
    return result[0] if labels is None else result


def uniforms(plan: Plan | Op, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, plan.uniforms), dtype="float32")


def parameters_of(op: Op, count: int, seed: int = 0, **place: Any) -> dict[str, np.ndarray]:
    """What an op makes of `count` draws."""

    def read(uniforms: Any) -> Any:
        return op.parameters(Draws(uniforms, **place), keras.ops)

    if BACKEND == "jax":
        import jax

        read = jax.jit(read)
    drawn = read(keras.ops.convert_to_tensor(uniforms(op, count, seed)))
    return {name: keras.ops.convert_to_numpy(value) for name, value in drawn.items()}


def on_device(
    plan: Plan,
    images: np.ndarray,
    draws: np.ndarray,
    labels: np.ndarray | None = None,
    epoch: int = 0,
    index: Any = None,
    compiled: bool = BACKEND == "jax",  # which takes seconds for a plan uncompiled
) -> tuple[np.ndarray, np.ndarray | None]:
    """By `keras.ops` of the backend; `compiled` where it compiles."""
    index = np.arange(len(images), dtype="int32") if index is None else index
    convert = keras.ops.convert_to_tensor

    def run(source: Any, labels: Any, uniforms: Any, epoch: Any, index: Any) -> Any:
        return plan(source, labels, Draws(uniforms, epoch, index, index % CLASSES), keras.ops)

    if compiled and BACKEND == "jax":
        import jax

        run = jax.jit(run)
    elif compiled and BACKEND == "tensorflow":
        run = tf.function(run, jit_compile=True, autograph=False)
    labels = None if labels is None else convert(labels)
    result, mixed = run(convert(images), labels, convert(draws), convert(epoch, "int32"), convert(index))
    return keras.ops.convert_to_numpy(result), None if mixed is None else keras.ops.convert_to_numpy(mixed)


def on_host(
    plan: Plan,
    images: np.ndarray,
    draws: np.ndarray,
    labels: np.ndarray | None = None,
    epoch: int = 0,
    index: Any = None,
    compiled: bool = False,
    stored: bool = False,
) -> tuple[np.ndarray, np.ndarray | None]:
    """By TensorFlow; `stored` reads the images from a run of pixels, in which others lie between them."""
    index = np.arange(len(images), dtype="int32") if index is None else index
    if stored:
        others = noise(len(images), *images.shape[1:], seed=99).astype(images.dtype)
        both = np.stack([others, images], axis=1).reshape(-1, images.shape[-1])
        pixels = tf.constant(np.concatenate([both, np.zeros_like(both[:1])]))
        source: Any = Store(pixels, tf.range(len(images)) * 2 + 1)
    else:
        source = tf.constant(images)

    def run(source: Any, labels: Any, uniforms: Any, epoch: Any, index: Any) -> Any:
        return plan(source, labels, Draws(uniforms, epoch, index, index % CLASSES), tensorflow_arrays)

    if compiled:
        run = tf.function(run, jit_compile=True, autograph=False)
    labels = None if labels is None else tf.constant(labels)
    result, mixed = run(source, labels, tf.constant(draws), tf.constant(epoch, tf.int64), tf.constant(index, tf.int64))
    return result.numpy(), None if mixed is None else mixed.numpy()


def check_everywhere(text: str, images: np.ndarray, labels: np.ndarray | None = None, atol: float = 1e-5 * 255) -> None:
    """Host and device, also compiled, give the same for the same draws; test_op_contract.py compiles the host."""
    plan = plan_of(text, images)
    draws = uniforms(plan, len(images))
    expected, expected_labels = on_device(plan, images, draws, labels, epoch=3)
    for run, compiled in ((on_device, True), (on_host, False)):
        found, found_labels = run(plan, images, draws, labels, epoch=3, compiled=compiled)
        assert found.dtype == expected.dtype
        assert found.shape == images.shape
        np.testing.assert_allclose(found.astype("float64"), expected.astype("float64"), rtol=0, atol=atol)
        if labels is not None:
            np.testing.assert_allclose(found_labels, expected_labels, rtol=0, atol=1e-5)


def is_uniform(sample: np.ndarray, low: float, high: float, slack: float = 1e-5) -> bool:
    """Whether a sample lies in [low, high], its mean and variance within five standard errors of the uniform's."""
    unit = (sample.astype("float64") - low) / (high - low)
    count = len(sample)
    return bool(
        unit.min() >= -slack
        and unit.max() <= 1 + slack
        and abs(unit.mean() - 1 / 2) < 5 / np.sqrt(12 * count)
        and abs(((unit - 1 / 2) ** 2).mean() - 1 / 12) < 5 / np.sqrt(180 * count)
    )


def are_equally_frequent(sample: np.ndarray, values: np.ndarray) -> bool:
    """Whether each of `values` has its share of a sample, within five standard errors, and nothing else is there."""
    counts = np.array([(sample == value).sum() for value in values])
    share = 1 / len(values)
    bound = 5 * np.sqrt(len(sample) * share * (1 - share))
    return counts.sum() == len(sample) and bool(np.abs(counts - len(sample) * share).max() <= bound)


def are_independent(*samples: np.ndarray) -> bool:
    """Whether correlations, with each other and with the image before, are within five standard errors of 0."""
    bound = 5 / np.sqrt(len(samples[0]))
    others = np.corrcoef(np.stack(samples)) - np.eye(len(samples)) if len(samples) > 1 else np.zeros(1)
    before = [np.corrcoef(sample[1:], sample[:-1])[0, 1] for sample in samples]
    return bool(np.abs(others).max() < bound and np.abs(before).max() < bound)
