"""Runs an op of an augmentation alone, by the backend and by the host's TensorFlow, eagerly and compiled."""

import keras
import numpy as np
import tensorflow as tf

from kerastricks.augment import sequence
from kerastricks.augment.op import Draws, ImageSpec
from kerastricks.augment.plan import Plan
from kerastricks.data import PixelStatistics
from kerastricks.data.pipeline import tensorflow_arrays


def photographs(count=12, height=11, width=9, channels=3, seed=0):
    """uint8 images with slopes, noise and all brightnesses; the first two are of one colour, and of two."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width][..., None] / max(height, width)
    images = []
    for _ in range(count):
        slope = generator.uniform(-150, 150, (2, channels))
        noise = generator.normal(0, generator.uniform(0, 40), (height, width, channels))
        images.append(generator.uniform(40, 220, channels) + slope[0] * y + slope[1] * x + noise)
    images = np.clip(np.rint(images), 0, 255).astype("uint8")
    images[0] = 77
    images[1], images[1, : height // 2] = 30, 200
    return images


def image_spec_of(images):
    statistics = PixelStatistics(images.shape[-1])
    statistics.update(np.rint(images).astype("uint8"))
    return ImageSpec(images.shape[1:], 10, statistics)


def bound(spec, images):
    """The one op of a spec."""
    (op,) = sequence.read(spec, image_spec_of(images))
    return op


def uniforms(op, count, seed=1):
    return np.random.default_rng(seed).random((count, op.uniforms), dtype="float32")


def parameters_of(op, drawn):
    """The op's parameters for uniforms, as NumPy arrays."""
    drawn = Draws(keras.ops.convert_to_tensor(drawn))
    return {name: keras.ops.convert_to_numpy(value) for name, value in op.parameters(drawn, keras.ops).items()}


def with_parameters(op, images, **parameters):
    """Images under given parameters, a number for all or one per image."""
    count = len(images)
    tensors = {
        name: keras.ops.convert_to_tensor(np.broadcast_to(value, (count, *np.shape(value)[1:])).astype("float32"))
        for name, value in parameters.items()
    }

    class Given(type(op)):
        def parameters(self, draws, xp):
            return tensors

    given = Given.__new__(Given)
    given.__dict__.update(op.__dict__)
    return by_backend([given], images, uniforms(op, count))


def by_backend(ops, images, drawn, fuse=True):
    """Executed with `keras.ops`, eagerly."""
    plan = Plan(ops, image_spec_of(images), fuse)
    tensors = (keras.ops.convert_to_tensor(array) for array in (images, drawn))
    return keras.ops.convert_to_numpy(_run(plan, keras.ops)(*tensors))


def by_backend_compiled(ops, images, drawn):
    """Executed with `keras.ops`, compiled where the backend compiles."""
    run = _run(Plan(ops, image_spec_of(images)), keras.ops)
    if keras.backend.backend() == "jax":
        import jax

        run = jax.jit(run)
    elif keras.backend.backend() == "tensorflow":
        run = tf.function(run, jit_compile=True)
    return keras.ops.convert_to_numpy(run(keras.ops.convert_to_tensor(images), keras.ops.convert_to_tensor(drawn)))


def by_host(ops, images, drawn):
    """Executed with TensorFlow, eagerly."""
    return _run(Plan(ops, image_spec_of(images)), tensorflow_arrays)(tf.constant(images), tf.constant(drawn)).numpy()


def _run(plan, xp):
    return lambda images, drawn: plan(images, None, Draws(drawn), xp)[0]


def check_executors(spec, images, atol=1e-3):
    """Host and compiled device give the same for the same uniforms; test_op_contract.py compiles the host."""
    ops = sequence.read(spec, image_spec_of(images))
    drawn = np.random.default_rng(1).random((len(images), sum(op.uniforms for op in ops)), dtype="float32")
    expected = by_host(ops, images, drawn)
    assert expected.dtype == np.float32
    result = by_backend_compiled(ops, images, drawn)
    assert result.shape == images.shape
    np.testing.assert_allclose(result, expected, rtol=0, atol=atol)
    return expected


def check_neutral(spec):
    """Neutral parameters change nothing, bit for bit, neither bytes nor fractions."""
    whole = photographs()
    fractions = np.random.default_rng(3).uniform(0, 255, whole.shape).astype("float32")
    fractions[0, 0, 0], fractions[0, 0, 1] = 0, 255
    for images in (whole, fractions):
        op = bound(spec, images)
        drawn = parameters_of(op, uniforms(op, len(images)))
        assert set(drawn) == set(op.neutral)
        neutral = {name: np.full(drawn[name].shape, value) for name, value in op.neutral.items()}
        np.testing.assert_array_equal(with_parameters(op, images, **neutral), images)


def check_uniform(values, low, high):
    """Draws are uniform in [low, high): range, mean and variance within five standard errors."""
    values = values.astype("float64")
    slack = 1e-6 * max(abs(low), abs(high))
    assert low - slack <= values.min()
    assert values.max() <= high + slack
    unit = (values - low) / (high - low)
    assert abs(unit.mean() - 1 / 2) < 5 * np.sqrt(1 / 12 / len(unit))
    assert abs(unit.var() - 1 / 12) < 5 * np.sqrt(1 / 180 / len(unit))


def check_rate(happened, rate):
    """Something happened with probability `rate`, within five standard errors."""
    assert abs(np.mean(happened) - rate) < 5 * np.sqrt(rate * (1 - rate) / len(happened)) + 1e-12
