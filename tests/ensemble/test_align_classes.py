"""Classes are found by name: members in another order, and members that know only some."""

import keras
import numpy as np
import pytest

from kerastricks.ensemble import Member, align_classes, combine, member_outputs
from kerastricks.errors import EnsembleError

INPUTS = np.random.default_rng(0).normal(size=(7, 4)).astype("float32")


def classifier(classes, seed=0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(classes), keras.layers.Softmax()])


def member(names, seed=0):
    return Member(classifier(len(names), seed), "".join(names), tuple(names))


def says(one):
    return one.model.predict_on_batch(INPUTS).astype("float64")


def test_another_order_of_the_classes_changes_nothing():
    """Fails for a plain mean of outputs."""
    first, other = member("abc", 0), member("abc", 1)
    order = [2, 0, 1]
    dense = other.model.layers[0]
    permuted = member("cab", 2)
    permuted.model.layers[0].set_weights([weights[..., order] for weights in dense.get_weights()])
    expected = combine([first, other]).predict_on_batch(INPUTS)
    np.testing.assert_allclose(combine([first, permuted]).predict_on_batch(INPUTS), expected, atol=1e-6)
    by_place = combine([first.model, permuted.model]).predict_on_batch(INPUTS)
    assert np.abs(by_place - expected).max() > 0.05
    named = combine([first, Member(permuted.model, "permuted", ("c", "a", "b"))]).predict_on_batch(INPUTS)
    np.testing.assert_allclose(named, expected, atol=1e-6)


def test_the_order_is_that_of_the_first_generalist():
    alignment = align_classes([member("ca"), member("bac"), member("abc")])
    assert alignment.class_names == ("b", "a", "c")
    assert alignment.positions == ((None, 1, 0), (0, 1, 2), (1, 0, 2))
    assert alignment.generalists == (1, 2)


def test_a_specialist_spreads_the_mass_of_its_classes():
    generalists, specialist = [member("abcd", 0), member("dcba", 1)], member("db", 2)
    found = np.exp(member_outputs([generalists[0], specialist, generalists[1]]).predict_on_batch(INPUTS))
    general = (says(generalists[0]) + says(generalists[1])[:, ::-1]) / 2
    expected = general.copy()
    mass = general[:, 1] + general[:, 3]
    expected[:, 3], expected[:, 1] = mass * says(specialist)[:, 0], mass * says(specialist)[:, 1]
    np.testing.assert_allclose(found[:, 1], expected, atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=2), 1, atol=1e-5)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([member("abc"), member("abd")], "all 4 classes.*'abc' lacks d; 'abd' lacks c"),
        ([member("ab"), member("cd")], "'ab' lacks c, d"),
        ([Member(classifier(3), "x"), Member(classifier(2), "y")], "'x' 3, 'y' 2; give every member its class_names"),
        ([member("ab"), Member(classifier(2), "y")], "'y' have no class_names"),
    ],
)
def test_classes_that_do_not_fit(members, message):
    with pytest.raises(EnsembleError, match=message):
        combine(members)
