"""One batched network says what its members say one by one."""

import keras
import numpy as np
import pytest

import kerastricks
from kerastricks.data.fitting import Fitting
from kerastricks.ensemble import Combination, Member, batched, combine
from kerastricks.errors import EnsembleError

IMAGES = np.random.default_rng(0).uniform(0, 255, (6, 8, 8, 3)).astype("float32")


def member(seed, names=None, spec="resnet_20(depth=8, width=4, dropout=0.2, stochastic_depth=0.1)", fitting=None):
    """A residual network whose statistics are its own."""
    keras.utils.set_random_seed(seed)
    model = kerastricks.models.create(spec, (8, 8, 3), 3)
    generator = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(generator.normal(0, 0.3, layer.moving_mean.shape))
            layer.moving_variance.assign(generator.uniform(0.5, 2, layer.moving_variance.shape))
    return Member(model, str(seed), names, fitting or Fitting())


@pytest.mark.parametrize("method", ["mean", "geometric"])
def test_it_equals_the_ensemble_of_its_members(method):
    members = [member(seed) for seed in range(3)]
    combination = Combination(method, weights=[0.5, 0.3, 0.2])
    expected = combine(members, combination).predict_on_batch(IMAGES)
    np.testing.assert_allclose(batched(members, combination).predict_on_batch(IMAGES), expected, atol=1e-5)
    one = members[0].model.predict_on_batch(IMAGES)
    assert np.abs(one - expected).max() > 0.01


def test_classes_in_another_order():
    members = [member(0, ("a", "b", "c")), member(1, ("c", "a", "b"))]
    expected = combine(members).predict_on_batch(IMAGES)
    np.testing.assert_allclose(batched(members).predict_on_batch(IMAGES), expected, atol=1e-5)


def test_it_is_saved_and_loaded(tmp_path):
    model = batched([member(seed) for seed in range(3)])
    model.save(tmp_path / "batched.keras")
    loaded = keras.models.load_model(tmp_path / "batched.keras")
    np.testing.assert_allclose(loaded.predict_on_batch(IMAGES), model.predict_on_batch(IMAGES), atol=1e-6)


def test_its_weights_are_the_members_copied():
    members = [member(seed) for seed in range(2)]
    model = batched(members)
    assert model.trainable_weights == []
    layer = model.get_layer("members")
    assert sum(int(np.prod(weight.shape)) for weight in layer.weights) == 2 * members[0].model.count_params()
    before = model.predict_on_batch(IMAGES)
    members[0].model.set_weights([weight * 0 for weight in members[0].model.get_weights()])
    np.testing.assert_array_equal(model.predict_on_batch(IMAGES), before)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: [member(0, spec="plain_cnn(widths=(4,))"), member(1, spec="plain_cnn(widths=(8,))")],
            r"must be one architecture\. Received: weight '.*kernel' of model 0 has shape .*, 4\), '.*kernel' of model "
            r"1 .*, 8\); combine their outputs instead",
        ),
        (
            lambda: [member(0, spec="mlp(width=8)"), member(1, spec="mlp(width=8, activation='elu')")],
            r"layer 'activation1' \(Activation\) of model 0 and 'activation1' .* of model 1 differ in activation",
        ),
        (
            lambda: [member(0, spec="mlp(depth=1, width=8)"), member(1, spec="mlp(depth=2, width=8)")],
            "of model 0 has shape .* of model 1",
        ),
        (lambda: [member(0, ("a", "b", "c")), member(1, ("a", "b", "d"))], "must know all 4"),
        (lambda: [member(0), member(1, fitting=Fitting(0.5))], "use combine"),
    ],
)
def test_members_that_cannot_be_one_network(make, message):
    with pytest.raises(EnsembleError, match=message):
        batched(make())


def test_a_layer_that_was_adapted_is_refused():
    """Its constants are no weights, and those of the first member would count for all."""

    def adapted(factor):
        normalisation = keras.layers.Normalization()
        normalisation.adapt(IMAGES * factor)
        ending = [keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")]
        return keras.Sequential([keras.Input((8, 8, 3)), normalisation, *ending])

    with pytest.raises(EnsembleError, match=r"was adapted to data.*use combine"):
        batched([adapted(1), adapted(2)])
