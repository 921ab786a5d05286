"""check_batch_size against per-example gradients written by hand."""

import keras
import numpy as np
import pytest

from kerastricks.checks import check_batch_size
from kerastricks.errors import UsageError

RANDOM = np.random.default_rng(0)


def softmax_regression(inputs=5, classes=3):
    model = keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(classes, "softmax", name="logits")])
    model.set_weights([RANDOM.normal(size=(inputs, classes)) / 2, RANDOM.normal(size=classes) / 2])
    return model


def example_gradients(model, images, labels):
    """(N, weights): of an image's own cross-entropy, the outer product of input and p - y, then p - y for the bias."""
    kernel, bias = model.get_weights()
    logits = images @ kernel + bias
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    error = probabilities - np.eye(len(bias))[labels]
    return np.concatenate([(images[:, :, None] * error[:, None, :]).reshape(len(images), -1), error], axis=1)


def exact(gradients):
    """tr(Sigma) and |G|^2, both unbiased for the distribution that the images come from."""
    trace = gradients.var(axis=0, ddof=1).sum()
    return trace, np.square(gradients.mean(axis=0)).sum() - trace / len(gradients)


def test_the_noise_scale_of_a_softmax_regression_is_that_of_its_example_gradients():
    images = RANDOM.normal(0.7, 1.0, (96, 5)).astype("float32")
    labels = RANDOM.integers(0, 3, 96)
    model = softmax_regression()
    before = [weight.copy() for weight in model.get_weights()]
    trace, square = exact(example_gradients(model, images, labels))
    report = check_batch_size(model, images, labels, small=8, large=48, repeats=30)
    low, high = report.interval
    assert low < trace / square < high
    # Two large batches are all images: the mean over a pass has the spread of one way to divide them.
    assert report.noise == pytest.approx(trace, rel=0.1)
    assert report.gradient_square == pytest.approx(square, rel=0.1)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))


def test_a_batch_of_all_images_has_their_mean_gradient():
    images, labels = RANDOM.normal(size=(12, 5)).astype("float32"), RANDOM.integers(0, 3, 12)
    model = softmax_regression()
    gradients = example_gradients(model, images, labels)
    report = check_batch_size(model, images, labels, small=1, large=12, repeats=2)
    assert report.large_squares == pytest.approx([np.square(gradients.mean(axis=0)).sum()] * 2, rel=1e-4)
    assert report.small_squares == pytest.approx([np.square(gradients).sum(axis=1).mean()] * 2, rel=1e-4)
    assert report.noise == pytest.approx(exact(gradients)[0], rel=1e-4)
    assert report.overlap


@pytest.mark.tensorflow_only
def test_penalties_constraints_and_dropout():
    images, labels = RANDOM.normal(size=(16, 4)).astype("float32"), np.arange(16) % 2

    def found(*before, **options):
        keras.utils.set_random_seed(0)
        head = keras.layers.Dense(2, kernel_initializer=keras.initializers.RandomNormal(seed=1), **options)
        model = keras.Sequential([keras.Input((4,)), *before, head], name="net")
        return check_batch_size(model, images, labels, small=4, large=8, repeats=4)

    plain = found()
    assert found(kernel_regularizer="l2", kernel_constraint=keras.constraints.MaxNorm(1e-3)) == plain
    dropped = found(keras.layers.Dropout(0.5))
    assert dropped.small_squares != plain.small_squares  # its draws are noise of a training, too
    assert found(keras.layers.Dropout(0.5)).small_squares == dropped.small_squares


@pytest.mark.tensorflow_only
def test_images_are_drawn_from_the_seed_and_batch_normalization_sees_small_batches():
    images, labels = RANDOM.normal(size=(40, 4)).astype("float32"), np.arange(40) % 2
    model = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization(), keras.layers.Dense(2)])
    first, again, other = (
        check_batch_size(model, images, labels, small=4, large=8, repeats=3, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again
    assert first.small_squares != other.small_squares
    moving = model.layers[0].moving_mean
    assert not keras.ops.convert_to_numpy(moving).any()  # the model's own statistics stay


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"small": 4, "large": 6}, "large must be a multiple of small"),
        ({"large": 64}, "images must be 64 or more, a large batch: take a smaller large. Received: 20"),
        ({"labels": None}, "labels must be class indices: the noise of drawn ones"),
        ({"labels": [0] * 19 + [5]}, "labels must be in 0-2"),
        ({"repeats": 1}, "repeats must be 2 or more"),
    ],
)
def test_what_does_not_fit_is_refused(given, message):
    images, labels = RANDOM.normal(size=(20, 5)), RANDOM.integers(0, 3, 20)
    with pytest.raises(UsageError, match=message):
        check_batch_size(softmax_regression(), images, **{"labels": labels, "small": 4, "large": 8, **given})


@pytest.mark.tensorflow_only
def test_a_model_without_trainable_weights_is_refused():
    model = softmax_regression()
    model.trainable = False
    with pytest.raises(UsageError, match="model has no trainable weight"):
        check_batch_size(model, RANDOM.normal(size=(8, 5)), [0] * 8, small=2, large=4)
