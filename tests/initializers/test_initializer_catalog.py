"""`get`: ours first, then Keras's names, objects as copies."""

import keras
import numpy as np
import pytest

from kerastricks import initializers
from kerastricks.errors import SpecError, UnknownNameError
from kerastricks.initializers.catalog import INITIALIZERS, get

pytestmark = pytest.mark.tensorflow_only


def values(initializer):
    return keras.ops.convert_to_numpy(initializer((30, 20)))


@pytest.mark.parametrize(
    ("spec", "kind", "config"),
    [
        ("he_normal(0.18)", initializers.HeNormal, {"negative_slope": 0.18}),
        ("he_uniform(depthwise=True)", initializers.HeUniform, {"depthwise": True}),
        ("xavier_uniform", initializers.XavierUniform, {}),
        ("small_normal(0.01)", initializers.SmallNormal, {"stddev": 0.01}),
        ("fan_in('uniform')", initializers.FanIn, {"distribution": "uniform"}),
        ("lsuv", initializers.LSUV, {}),
        ("zeros", keras.initializers.Zeros, {}),
        ("glorot_uniform", keras.initializers.GlorotUniform, {}),
        ("orthogonal(gain=2.0)", keras.initializers.Orthogonal, {"gain": 2.0}),
        ("random_normal(stddev=0.01)", keras.initializers.RandomNormal, {"stddev": 0.01}),
    ],
)
def test_specs(spec, kind, config):
    made = get(spec)
    assert type(made) is kind
    assert config.items() <= made.get_config().items()
    assert get(spec) is not made


def test_every_class_has_a_name():
    assert {INITIALIZERS[name].__name__ for name in INITIALIZERS} == {
        name for name in initializers.__all__ if name[0].isupper()
    }


def test_an_object_is_copied_so_that_layers_do_not_share_draws():
    start = initializers.HeNormal()
    assert (values(get(start)) != values(get(start))).all()
    generated = initializers.HeNormal(seed=keras.random.SeedGenerator(1))
    assert (values(get(generated)) != values(get(generated))).all()
    np.testing.assert_array_equal(values(get(keras.initializers.Constant(2.0))), 2)


def test_configurations_classes_and_functions_are_taken():
    start = initializers.HeNormal(0.3, seed=1)
    np.testing.assert_array_equal(values(get(keras.initializers.serialize(start))), values(start))
    assert type(get(initializers.XavierNormal)) is initializers.XavierNormal
    assert get(keras.ops.zeros) is keras.ops.zeros


@pytest.mark.parametrize("name", ["he_norml", "HeNormal"])
def test_an_unknown_name_lists_the_nearest(name):
    with pytest.raises(UnknownNameError, match="did you mean he_normal"):
        get(name)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("he_normal(nan)", "must be finite"),
        ("small_uniform(-1)", "limit must be above 0"),
        ("zeros(1)", "zeros"),
        ("", "one"),
    ],
)
def test_bad_specs(spec, message):
    with pytest.raises(SpecError, match=message):
        get(spec)


@pytest.mark.parametrize("spec", [None, 3])
def test_nothing_and_numbers_are_refused(spec):
    with pytest.raises(ValueError, match=r"initializer must be.*Received"):
        get(spec)
