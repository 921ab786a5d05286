"""The bound on each unit's norm, with norms from a loop over units."""

import itertools

import keras
import numpy as np
import pytest

from kerastricks.errors import UnknownNameError
from kerastricks.regularizers import max_norm

layers = keras.layers
# kind: the layer, its input's shape, the argument, and the kernel's axes that count units (from Keras's shapes).
CASES = {
    "dense": (lambda **kw: layers.Dense(6, **kw), (5,), "kernel", [1]),
    "conv1d": (lambda **kw: layers.Conv1D(6, 3, **kw), (8, 4), "kernel", [2]),
    "conv2d": (lambda **kw: layers.Conv2D(6, 3, groups=2, **kw), (8, 8, 4), "kernel", [3]),
    "conv3d": (lambda **kw: layers.Conv3D(6, 2, **kw), (4, 4, 4, 3), "kernel", [4]),
    "conv1d_transpose": (lambda **kw: layers.Conv1DTranspose(6, 3, **kw), (8, 4), "kernel", [1]),
    "conv2d_transpose": (lambda **kw: layers.Conv2DTranspose(6, 3, **kw), (8, 8, 4), "kernel", [2]),
    "conv3d_transpose": (lambda **kw: layers.Conv3DTranspose(6, 2, **kw), (4, 4, 4, 3), "kernel", [3]),
    "depthwise_conv1d": (lambda **kw: layers.DepthwiseConv1D(3, depth_multiplier=2, **kw), (8, 4), "depthwise", [1, 2]),
    "depthwise_conv2d": (
        lambda **kw: layers.DepthwiseConv2D(3, depth_multiplier=2, **kw),
        (8, 8, 4),
        "depthwise",
        [2, 3],
    ),
    "embedding": (lambda **kw: layers.Embedding(7, 4, **kw), (3,), "embeddings", [0]),
}


def unit_norms(kernel, axes):
    kernel = np.asarray(kernel, "float64")
    for index in itertools.product(*(range(kernel.shape[axis]) for axis in axes)):
        unit = kernel
        for axis, place in sorted(zip(axes, index, strict=True), reverse=True):
            unit = np.take(unit, place, axis)
        yield np.sqrt(np.sum(unit**2))


@pytest.mark.parametrize("kind", CASES)
def test_after_a_training_step_each_units_norm_is_bounded(kind):
    build, shape, argument, axes = CASES[kind]
    layer = build(**{f"{argument}_constraint": max_norm(0.75, kind)})
    model = keras.Sequential([keras.Input(shape), layer])
    kernel, *rest = layer.get_weights()
    # Every other unit far above the bound, the others below it.
    scale = np.where(np.arange(np.prod([kernel.shape[axis] for axis in axes])) % 2, 10.0, 0.1)
    norms = np.array(list(unit_norms(kernel, axes)))
    factors = (scale / norms).reshape([kernel.shape[axis] if axis in axes else 1 for axis in range(kernel.ndim)])
    start = kernel * factors
    layer.set_weights([start, *rest])
    model.compile(keras.optimizers.SGD(1e-6), "mse")
    model.fit(np.ones((2, *shape)), np.zeros((2, *model.output_shape[1:])), verbose=0)
    after = np.array(list(unit_norms(layer.get_weights()[0], axes)))
    np.testing.assert_allclose(after, np.where(scale > 0.75, 0.75, 0.1), rtol=1e-4)
    assert max(after) <= 0.75 * (1 + 1e-6)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("kind", CASES)
def test_a_layer_stands_for_its_kind(kind):
    build = CASES[kind][0]
    assert max_norm(2, build()).get_config() == max_norm(2, kind).get_config()


@pytest.mark.tensorflow_only
def test_a_class_of_ones_own_has_the_axes_of_its_base():
    class MyConv(layers.Conv2DTranspose):
        pass

    assert max_norm(2, MyConv(3, 3)).axis == [0, 1, 3]


@pytest.mark.tensorflow_only
def test_what_has_no_one_kernel_is_refused():
    with pytest.raises(ValueError, match=r"depthwise_constraint=max_norm\(3, 'depthwise_conv2d'\)"):
        max_norm(3, layers.SeparableConv2D(3, 3))
    with pytest.raises(ValueError, match=r"pointwise_constraint=max_norm\(3, 'conv1d'\)"):
        max_norm(3, "separable_conv1d")
    with pytest.raises(ValueError, match=r"no axes for EinsumDense .*keras.constraints.MaxNorm"):
        max_norm(3, layers.EinsumDense("ab,bc->ac", 3))
    with pytest.raises(ValueError, match="no axes for LSTM"):
        max_norm(3, layers.LSTM(3))
    with pytest.raises(UnknownNameError, match="conv2d_transpose"):
        max_norm(3, "conv2d_transposed")


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), None])
def test_the_bound_is_positive(value):
    with pytest.raises(ValueError, match="max_value must be a finite number, more than 0"):
        max_norm(value)
