"""Averages of weights: new models, statistics of their own, never below the best."""

import keras
import numpy as np
import pytest

from kerastricks.ensemble import Member, greedy_soup, uniform_soup
from kerastricks.errors import EnsembleError

IMAGES = np.random.default_rng(0).normal(1, 2, (40, 4, 4, 2)).astype("float32")
BATCHES = [IMAGES[:25], IMAGES[25:]]


def network(seed=0, filters=5, norm=True, activation="relu", extra=False, rate=0.1):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((4, 4, 2))
    x = keras.layers.Conv2D(filters, 3)(inputs)
    if norm:
        x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dropout(rate)(keras.layers.Activation(activation)(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    if extra:
        x = keras.layers.Dense(filters)(x)
    return keras.Model(inputs, keras.layers.Softmax()(keras.layers.Dense(3)(x)), name=f"network_{seed}")


def trained(seed=0, **options):
    """With statistics of batches that it has seen."""
    model = network(seed, **options)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            convolved = keras.ops.convert_to_numpy(model.layers[1](IMAGES))
            layer.moving_mean.assign(convolved.mean((0, 1, 2)))
            layer.moving_variance.assign(convolved.var((0, 1, 2)))
    return model


def numbers(model):
    return [np.array(keras.ops.convert_to_numpy(weight), "float64") for weight in model.weights]


def normalisation(model):
    return next(layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization))


def test_a_soup_is_the_mean_of_the_weights():
    models = [network(seed, norm=False) for seed in range(3)]
    before = [numbers(model) for model in models]
    soup = uniform_soup(models)
    for found, *values in zip(numbers(soup), *before, strict=True):
        np.testing.assert_allclose(found, np.mean(values, axis=0), rtol=1e-6, atol=1e-7)
    assert soup.count_params() == models[0].count_params()
    soup.set_weights([weight * 0 for weight in soup.get_weights()])
    for model, old in zip(models, before, strict=True):
        for a, b in zip(numbers(model), old, strict=True):
            np.testing.assert_array_equal(a, b)


def test_statistics_are_those_of_the_averaged_weights():
    """Fails where the members' statistics are averaged with the weights."""
    models = [trained(0), trained(1)]
    soup = uniform_soup(models, BATCHES)
    convolved = np.asarray(keras.ops.convert_to_numpy(soup.layers[1](IMAGES)), "float64")
    layer = normalisation(soup)
    found = keras.ops.convert_to_numpy(layer.moving_variance)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer.moving_mean), convolved.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(found, convolved.var((0, 1, 2)), rtol=1e-4)
    averaged = np.mean([keras.ops.convert_to_numpy(normalisation(one).moving_variance) for one in models], axis=0)
    assert np.abs(averaged / found - 1).max() > 0.2


@pytest.mark.tensorflow_only
def test_models_that_were_frozen_as_a_whole_get_statistics_too():
    models = [trained(0), trained(1)]
    expected = keras.ops.convert_to_numpy(normalisation(uniform_soup(models, BATCHES)).moving_mean)
    for model in models:
        model.trainable = False
    soup = uniform_soup(models, BATCHES)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(normalisation(soup).moving_mean), expected, atol=1e-6)
    assert not normalisation(soup).trainable


@pytest.mark.tensorflow_only
def test_layers_that_were_frozen_all_along_stay_as_they_are():
    models = [trained(0), trained(0)]
    models[1].layers[-2].kernel.assign(models[1].layers[-2].kernel * 2)
    for model in models:
        normalisation(model).trainable = False
        normalisation(model).moving_mean.assign(np.full(5, 0.3))
    soup = uniform_soup(models)  # without batches
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(normalisation(soup).moving_mean), np.full(5, 0.3, "float32")
    )


@pytest.mark.tensorflow_only
def test_the_greedy_soup_follows_the_recipe():
    """Against a search written from the paper, on a score of one number."""
    values = [0.9, 5.0, 1.16, -4.0, 1.05]
    models = [network(0, norm=False) for _ in values]
    for model, value in zip(models, values, strict=True):
        model.layers[1].bias.assign(np.full(5, value))
    target = 1.1

    def score(model):
        return -abs(float(keras.ops.convert_to_numpy(model.layers[1].bias)[0]) - target)

    order = sorted(range(5), key=lambda place: abs(values[place] - target))
    chosen = [order[0]]
    for place in order[1:]:
        if abs(np.mean([values[one] for one in [*chosen, place]]) - target) <= abs(
            np.mean([values[one] for one in chosen]) - target
        ):
            chosen.append(place)
    soup = greedy_soup(models, score)
    assert soup.chosen == tuple(chosen)
    assert 1 < len(chosen) < 5
    assert soup.score == pytest.approx(score(soup.model))
    assert soup.score >= max(soup.scores)
    again = greedy_soup(models, score, scores=soup.scores)
    assert (again.chosen, again.score) == (soup.chosen, soup.score)


@pytest.mark.tensorflow_only
def test_a_greedy_soup_is_never_below_the_best():
    models = [trained(seed) for seed in range(4)]
    labels = models[2].predict_on_batch(IMAGES).argmax(1)
    labels[:4] = (labels[:4] + 1) % 3

    def accuracy(model):
        return float((model.predict_on_batch(IMAGES).argmax(1) == labels).mean())

    soup = greedy_soup(models, accuracy, BATCHES)
    assert soup.score == accuracy(soup.model) >= max(map(accuracy, models))
    assert soup.chosen[0] == 2


@pytest.mark.tensorflow_only
def test_a_soup_of_one_keeps_its_statistics():
    models = [trained(0), trained(1)]
    soup = greedy_soup(models, lambda model: 1.0 if model is models[1] else 0.0, BATCHES)
    assert soup.chosen == (1,)
    for a, b in zip(numbers(soup.model), numbers(models[1]), strict=True):
        np.testing.assert_array_equal(a, b)


def named(model, names):
    return Member(model, model.name, names)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: uniform_soup([network(0)]), "two models or more"),
        (
            lambda: uniform_soup([network(0), network(1, filters=6)], BATCHES),
            r"weight .*kernel. of model 0 has shape \(3, 3, 2, 5\), .conv2d.*kernel. of model 1 \(3, 3, 2, 6\)",
        ),
        (
            lambda: uniform_soup([network(0), network(1, extra=True)], BATCHES),
            r"weight 'dense\w*/kernel' of model 0 has shape \(5, 3\), 'dense\w*/kernel' of model 1 \(5, 5\)",
        ),
        (lambda: uniform_soup([network(0), network(1, activation="tanh")], BATCHES), "differ in activation"),
        (lambda: uniform_soup([network(0), network(1)]), "batches must be given.*in 1 batch"),
        (lambda: greedy_soup([network(0), network(1)], len, iter(BATCHES)), "can be read again"),
        (lambda: greedy_soup([network(0), network(1)], lambda model: np.nan, BATCHES), "scores must be one finite"),
        (lambda: uniform_soup([named(network(0), "abc"), named(network(1), "bac")], BATCHES), "the same order"),
    ],
)
def test_what_cannot_be_a_soup(make, message):
    with pytest.raises(EnsembleError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.tensorflow_only
def test_dropout_rates_may_differ():
    assert uniform_soup([network(0, norm=False), network(1, norm=False, rate=0.4)]).output_shape == (None, 3)


def test_an_adapted_normalisation_keeps_what_it_has_seen():
    """Its constants are no weights: averaged weights alone leave mean 0 and variance 1."""

    def adapted(seed):
        normalisation = keras.layers.Normalization()
        normalisation.adapt(IMAGES)
        return keras.Sequential([keras.Input((4, 4, 2)), normalisation, network(seed, norm=False)])

    model = adapted(0)
    soup = uniform_soup([model, keras.models.clone_model(model, clone_function=lambda layer: layer)])
    np.testing.assert_allclose(soup.predict_on_batch(IMAGES), model.predict_on_batch(IMAGES), atol=1e-6)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda x, y: keras.ops.relu(x), lambda x, y: keras.ops.tanh(x)),
        (lambda x, y: keras.layers.Add()([x, y]), lambda x, y: keras.layers.Add()([x, x])),
        (lambda x, y: keras.layers.Concatenate()([x, y]), lambda x, y: keras.layers.Concatenate()([y, x])),
        (lambda x, y: x * 2, lambda x, y: x * 3),
        (lambda x, y: keras.ops.relu(x), lambda x, y: x),
    ],
    ids=["operation", "skip", "order", "number", "one more"],
)
def test_networks_of_the_same_weights_that_compute_other_things_are_refused(one, other):
    def built(function):
        inputs = keras.Input((4,))
        x = keras.layers.Dense(4)(inputs)
        outputs = function(x, keras.layers.Dense(4)(x))
        return keras.Sequential([keras.Input((4,)), keras.Model(inputs, outputs), keras.layers.Dense(3)])

    assert uniform_soup([built(one), built(one)]).output_shape == (None, 3)
    with pytest.raises(EnsembleError, match="one architecture"):
        uniform_soup([built(one), built(other)])
