"""l2, l1, elastic_net and their spelling as strings, against NumPy."""

import keras
import numpy as np
import pytest

from kerastricks.errors import SpecError, UnknownNameError
from kerastricks.regularizers import REGULARIZERS, Regularization, elastic_net, get, l1, l2

WEIGHTS = np.random.default_rng(0).normal(size=(3, 3, 4, 5))


@pytest.mark.parametrize(
    ("penalty", "expected"),
    [
        (l2(0.03), 0.5 * 0.03 * np.sum(WEIGHTS**2)),
        (l1(0.02), 0.02 * np.sum(np.abs(WEIGHTS))),
        (elastic_net(0.02, 0.03), 0.02 * np.sum(np.abs(WEIGHTS)) + 0.03 * np.sum(WEIGHTS**2)),
        (elastic_net(l1=0, l2=0.03), 0.03 * np.sum(WEIGHTS**2)),
        (l2(0), 0.0),
    ],
)
def test_the_value_is_the_articles(penalty, expected):
    value = keras.ops.convert_to_numpy(penalty(keras.ops.convert_to_tensor(WEIGHTS, "float32")))
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("penalty", "slope"),
    [
        (l2(0.03), 0.03 * WEIGHTS),
        (l1(0.02), 0.02 * np.sign(WEIGHTS)),
        (elastic_net(0.02, 0.03), 0.02 * np.sign(WEIGHTS) + 2 * 0.03 * WEIGHTS),
    ],
)
def test_a_step_of_sgd_on_the_penalty_alone_moves_by_its_gradient(penalty, slope):
    layer = keras.layers.Conv2D(5, 3, use_bias=False, kernel_regularizer=penalty)
    model = keras.Sequential([keras.Input((3, 3, 4)), layer])
    layer.set_weights([WEIGHTS])
    model.compile(keras.optimizers.SGD(0.1), loss=lambda true, predicted: 0.0 * keras.ops.mean(predicted))
    model.fit(np.zeros((2, 3, 3, 4)), np.zeros((2, 1, 1, 5)), verbose=0)
    np.testing.assert_allclose(layer.get_weights()[0], WEIGHTS - 0.1 * slope, rtol=1e-5, atol=1e-6)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("value", [-1e-9, float("nan"), float("inf"), "0.1", None, True])
@pytest.mark.parametrize(
    "build", [l1, l2, lambda value: elastic_net(value, 0.1), lambda value: elastic_net(0.1, value)]
)
def test_a_strength_is_finite_and_not_negative(build, value):
    with pytest.raises(ValueError, match=r"must be a finite number, 0 or more. Received: \w+=") as caught:
        build(value)
    assert "\n" not in str(caught.value)


@pytest.mark.tensorflow_only
def test_a_spec_gives_penalty_and_bound():
    both = get("max_norm(4) | elastic_net(1e-5, l2=1e-4)")
    assert both.regularizer.get_config() == pytest.approx({"l1": 1e-5, "l2": 1e-4})
    assert both.constraint("conv2d_transpose").get_config() == {"max_value": 4.0, "axis": [0, 1, 3]}
    assert get("l2(5e-4)").constraint("dense") is None
    assert get("max_norm").constraint("dense").max_value == 3.0
    assert get("max_norm").regularizer is None
    assert get(None) == get("") == Regularization()
    assert get(both) is both
    own = keras.regularizers.OrthogonalRegularizer()
    assert get(own).regularizer is own


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("spec", "error", "match"),
    [
        ("l3(1)", UnknownNameError, "did you mean l2, l1"),
        ("l2", SpecError, "strength"),
        ("l2(-1)", SpecError, "0 or more"),
        ("max_norm(0)", SpecError, "more than 0"),
        ("max_norm(3, 'conv2d')", SpecError, "kind"),
        ("l1(1) | l2(1)", SpecError, "elastic_net"),
        ("max_norm(3) | max_norm(4)", SpecError, "one max_norm"),
        (5e-4, SpecError, "Received: 0.0005"),
    ],
)
def test_wrong_specs_are_refused(spec, error, match):
    with pytest.raises(error, match=match) as caught:
        get(spec)
    assert "\n" not in str(caught.value)


@pytest.mark.tensorflow_only
def test_ones_own_regularizer_has_a_name():
    REGULARIZERS.register("orthogonal_for_test")(lambda factor: keras.regularizers.OrthogonalRegularizer(factor))
    assert get("orthogonal_for_test(0.25) | max_norm(3)").regularizer.factor == 0.25
