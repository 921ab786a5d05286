"""The gain of activations, against integrals of formulas written out here."""

import keras
import numpy as np
import pytest
from scipy import integrate, special, stats

import kerastricks
from kerastricks.activations import gain
from kerastricks.layers import LeakyReLU, PReLU, RReLU

SELU = (1.6732632423543772, 1.0507009873554805)
FORMULAS = {
    "linear": lambda z: z,
    "relu": lambda z: max(z, 0),
    "leaky_relu": lambda z: z if z > 0 else 0.01 * z,
    "leaky_relu(0.1818)": lambda z: z if z > 0 else 0.1818 * z,
    "prelu": lambda z: z if z > 0 else 0.25 * z,
    "elu": lambda z: z if z > 0 else np.expm1(z),
    "selu": lambda z: SELU[1] * (z if z > 0 else SELU[0] * np.expm1(z)),
    "gelu": lambda z: z * stats.norm.cdf(z),
    "silu": lambda z: z * special.expit(z),
    "tanh": np.tanh,
    "softplus": lambda z: np.log1p(np.exp(z)),
    "sigmoid": special.expit,
}


@pytest.mark.parametrize(("spec", "formula"), FORMULAS.items(), ids=FORMULAS)
def test_gain_is_that_of_the_integral(spec, formula):
    halves = [integrate.quad(lambda z: formula(z) ** 2 * stats.norm.pdf(z), *ends)[0] for ends in ((-12, 0), (0, 12))]
    assert gain(spec) == pytest.approx(1 / np.sqrt(sum(halves)), rel=1e-6)


def test_rectifiers_have_the_closed_form_of_the_paper():
    assert gain("relu") == pytest.approx(np.sqrt(2), rel=1e-12)
    assert gain("linear") == 1
    assert gain("leaky_relu(0.5)") == pytest.approx(np.sqrt(2 / 1.25), rel=1e-8)  # equation 15
    assert gain(PReLU()) == pytest.approx(np.sqrt(2 / (1 + 1 / 16)), rel=1e-8)
    assert gain(LeakyReLU(0.2)) == pytest.approx(np.sqrt(2 / 1.04), rel=1e-6)


def test_rrelu_counts_with_its_slopes_in_training():
    assert gain("rrelu") == pytest.approx(np.sqrt(2 / (1 + 1 / 24)))
    for spec in ("rrelu", "rrelu(mode='library')", "rrelu(divisor_range=(1, 2))"):
        z = np.random.default_rng(0).normal(size=400_000).astype("float32")
        layer = RReLU(seed=0) if spec == "rrelu" else kerastricks.activations.get(spec)
        squares = keras.ops.convert_to_numpy(layer(z, training=True)).astype("float64") ** 2
        assert abs(squares.mean() - gain(spec) ** -2) < 5 * squares.std() / np.sqrt(z.size)


@pytest.mark.tensorflow_only
def test_the_table_of_the_docstring_is_right():
    lines = kerastricks.activations.gain.__globals__["__doc__"].split("\n\n")[1].splitlines()[1:]
    table = {line.split()[0]: float(line.split()[1]) for line in lines}
    assert set(table) == {*FORMULAS, "rrelu"}
    for spec, printed in table.items():
        assert gain(spec) == pytest.approx(printed, abs=5.1e-5)


def test_a_function_and_the_policy_of_the_program_do_not_matter():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert gain(keras.activations.tanh) == pytest.approx(1.5925374, rel=1e-6)
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("activation", ["softmax", "log_softmax", "glu"])
def test_what_is_not_elementwise_is_refused(activation):
    with pytest.raises(ValueError, match=f"elementwise.*Received: activation='{activation}'"):
        gain(activation)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("activation", [lambda x: 0 * x, lambda x: x / 0 * x])
def test_what_has_no_gain_is_refused(activation):
    with pytest.raises(ValueError, match="finite activation that is not zero"):
        gain(activation)
