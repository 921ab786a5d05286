"""WeightAverage: the mean of the right epochs, and statistics that belong to it."""

import keras
import numpy as np
import pytest
from conftest import tensorflow_case

from kerastricks.callbacks import WeightAverage
from kerastricks.errors import ConfigError

GENERATOR = np.random.default_rng(0)
IMAGES = (5 + 3 * GENERATOR.normal(size=(32, 3))).astype("float32")
LABELS = np.arange(32) % 2


class Weights(keras.callbacks.Callback):
    """The trainable weights at the end of each epoch, in float64."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        weights = [keras.ops.convert_to_numpy(each.value) for each in self.model.trainable_variables]
        self.seen.append([weight.astype("float64") for weight in weights])


def train(average, normalised, epochs=6):
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(4), keras.layers.BatchNormalization()] if normalised else []
    model = keras.Sequential([keras.Input((3,)), *layers, keras.layers.Dense(2, activation="softmax")])
    model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
    weights = Weights()
    model.fit(IMAGES, LABELS, batch_size=8, epochs=epochs, callbacks=[weights, average], verbose=0)
    return model, weights.seen


@pytest.mark.tensorflow_only
def test_three_quarters_of_eight_epochs_averages_three():
    average = WeightAverage(0.75)
    train(average, normalised=False, epochs=8)
    assert average.averaged_epochs == [6, 7, 8]


@pytest.mark.parametrize(
    ("start", "first"), [(0.5, 3), *(tensorflow_case(*case) for case in ((0.0, 1), (0.6, 4), (0.99, 6)))]
)
def test_it_is_the_mean_of_the_epochs_from_start_on(start, first):
    average = WeightAverage(start)
    model, seen = train(average, normalised=False)
    assert average.averaged_epochs == list(range(first, 7))
    for place, variable in enumerate(model.trainable_variables):
        expected = np.mean([weights[place] for weights in seen[first - 1 :]], axis=0)
        np.testing.assert_allclose(keras.ops.convert_to_numpy(variable.value), expected, atol=1e-6)


@pytest.mark.parametrize("as_function", [False, True])
def test_statistics_of_batch_normalisation_are_those_of_the_mean_weights(as_function):
    batches = [IMAGES[:20], IMAGES[20:]]
    model, _ = train(WeightAverage(0.5, (lambda: iter(batches)) if as_function else batches), normalised=True)
    kernel, bias = (keras.ops.convert_to_numpy(each.value).astype("float64") for each in model.layers[0].weights)
    inputs = IMAGES.astype("float64") @ kernel + bias
    normalisation = model.layers[1]
    mean, variance = (
        keras.ops.convert_to_numpy(each.value) for each in (normalisation.moving_mean, normalisation.moving_variance)
    )
    np.testing.assert_allclose(mean, inputs.mean(axis=0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(variance, inputs.var(axis=0), rtol=1e-4, atol=1e-4)


def test_batch_normalisation_needs_batches():
    with pytest.raises(ConfigError, match="WeightAverage needs batches: the model has batch normalisation"):
        train(WeightAverage(), normalised=True)


@pytest.mark.tensorflow_only
def test_a_start_outside_its_range_and_a_training_that_ends_before_it():
    with pytest.raises(ConfigError, match=r"start must be in \[0, 1\). Received: start=1"):
        WeightAverage(1)
    average = WeightAverage(0.9)
    stop = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(stop.model, "stop_training", True))
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="ended before the first epoch that WeightAverage averages"):
        model.fit(IMAGES, np.zeros((32, 2)), epochs=5, callbacks=[stop, average], verbose=0)
    assert average.averaged_epochs == []


def fit_downhill(average, **data):
    """Each epoch ends lower than the one before: the mean of all is worse than the last weights."""
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(4), keras.layers.BatchNormalization(momentum=0.5)]
    model = keras.Sequential([keras.Input((3,)), *layers, keras.layers.Dense(2, activation="softmax")])
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    labels = (IMAGES[:, 0] > 5).astype("int64")
    weights = Weights()
    model.fit(IMAGES, labels, batch_size=8, epochs=4, callbacks=[weights, average], verbose=0, **data)
    return model, weights.seen[-1]


def test_a_mean_that_validates_worse_is_not_used_and_said_so():
    validation = (IMAGES, (IMAGES[:, 0] > 5).astype("int64"))
    average = WeightAverage(0.0, [IMAGES], validation)
    with pytest.warns(UserWarning, match=r"epochs 1 to 4 is NOT USED, .* kept: loss \d\.\d{4}; last weights loss \d"):
        model, last = fit_downhill(average)
    assert average.averaged_epochs == [1, 2, 3, 4]
    for variable, value in zip(model.trainable_variables, last, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable.value), value)
    # Statistics as they were: running averages over batches, not the exact ones of all images.
    mean = keras.ops.convert_to_numpy(model.layers[1].moving_mean.value)
    inputs = IMAGES @ keras.ops.convert_to_numpy(model.layers[0].kernel.value)
    assert np.abs(mean - inputs.mean(axis=0)).max() > 0.01


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("as_data_set", [False, True])
def test_a_mean_that_validates_no_worse_is_used(as_data_set, recwarn):
    pairs = (IMAGES, (IMAGES[:, 0] <= 5).astype("int64"))  # the other labels: the first epochs are the best

    class Pairs(keras.utils.PyDataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return pairs

    average = WeightAverage(0.0, [IMAGES], Pairs() if as_data_set else pairs)
    model, last = fit_downhill(average)
    for variable, mean in zip(model.trainable_variables, average.mean, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable.value), mean)
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(average.mean, last, strict=True))
    assert not [warning for warning in recwarn if "last weights" in str(warning.message)]


@pytest.mark.tensorflow_only
def test_a_mean_that_was_not_compared_is_a_warning_where_it_could_have_been():
    with pytest.warns(UserWarning, match=r"epochs 3 to 4 is in the model, and was not compared .*validation="):
        fit_downhill(WeightAverage(0.6, [IMAGES]), validation_data=(IMAGES, LABELS))
