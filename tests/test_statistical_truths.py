"""What the tricks are said to do, on real data with fixed designs: the digits, full training, paired seeds."""

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from kerastricks import initializers

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow_only]


def digits():
    """Images as rows, centred, in one fixed order."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    images = images[order] / 16
    return (images - images.mean(axis=0)).astype("float32"), labels[order]


def relu_network(depth, width, initializer, seed, dropout=0.0):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((64,))])
    for _ in range(depth):
        model.add(keras.layers.Dense(width, activation="relu", kernel_initializer=initializers.get(initializer)))
        if dropout:
            model.add(keras.layers.Dropout(dropout))
    model.add(keras.layers.Dense(10, activation="softmax", kernel_initializer=initializers.get(initializer)))
    return model


def train(model, images, labels, optimizer, epochs, batch_size):
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    model.fit(images, labels, epochs=epochs, batch_size=batch_size, verbose=0)
    return model


def test_he_trains_thirty_layers_and_one_over_n_does_not():
    """He et al. 2015, section 2.2: 30 ReLU layers of 128, SGD 0.9, rate 0.003, about 1,000 steps, six seeds."""
    images, labels = (part[:1437] for part in digits())
    accuracy = {}
    for initializer in ("he_normal", "fan_in"):
        accuracy[initializer] = []
        for seed in range(6):
            model = relu_network(30, 128, initializer, seed)
            train(model, images, labels, keras.optimizers.SGD(0.003, momentum=0.9), epochs=45, batch_size=64)
            accuracy[initializer].append(model.evaluate(images, labels, batch_size=512, verbose=0)[1])
    assert min(accuracy["he_normal"]) > 0.98
    assert max(accuracy["fan_in"]) < 0.3


def test_xavier_halves_the_variance_of_each_relu_layer_and_he_keeps_it():
    """He et al. 2015, equation 10: Var[y_l] = n/2 Var[w] Var[y_{l-1}], with 1/n and with 2/n."""
    images = digits()[0]
    ratios = {"xavier_normal": [], "he_normal": []}
    for initializer, found in ratios.items():
        for seed in range(10):
            model = relu_network(8, 512, initializer, seed)
            dense = model.layers[1:-1]  # from the second on: the first is not square
            x = keras.ops.convert_to_numpy(model.layers[0](images)).astype("float64")
            variances = []
            for layer in dense:
                kernel, _ = layer.get_weights()
                pre_activation = x @ kernel
                variances.append((pre_activation**2).mean())
                x = np.maximum(pre_activation, 0)
            found.append((variances[-1] / variances[0]) ** (1 / (len(variances) - 1)))
    # The spread of one ratio over random weights is some sqrt(5/512) per layer; ten seeds of six layers.
    tolerance = 5 * np.sqrt(5 / 512 / 6 / 10)
    np.testing.assert_allclose(np.mean(ratios["xavier_normal"]), 0.5, rtol=tolerance)
    np.testing.assert_allclose(np.mean(ratios["he_normal"]), 1.0, rtol=tolerance)


def test_dropout_keeps_a_network_from_learning_wrong_labels():
    """400 images, a fifth of the labels random, five paired seeds: dropout 0.5 wins on clean test images.

    On 100 or 200 clean images it changes nothing that five seeds could tell: it is a remedy and no vitamin.
    """
    images, labels = digits()
    generator = np.random.default_rng(1)
    noisy = labels[:400].copy()
    wrong = generator.random(400) < 0.2
    noisy[wrong] = generator.integers(0, 10, wrong.sum())
    differences = []
    for seed in range(5):
        scores = []
        for dropout in (0.0, 0.5):
            model = relu_network(2, 256, "he_normal", seed, dropout)
            train(model, images[:400], noisy, keras.optimizers.SGD(0.05, momentum=0.9), epochs=60, batch_size=50)
            scores.append(model.evaluate(images[500:], labels[500:], batch_size=2000, verbose=0)[1])
        differences.append(scores[1] - scores[0])
    mean, spread = np.mean(differences), np.std(differences, ddof=1)
    assert mean > 0.03
    assert mean - 2.78 * spread / np.sqrt(5) > 0  # Student's t, 95 %, four degrees of freedom


def test_five_seeds_together_beat_their_mean():
    """100 training images, five seeds: the averaged probabilities against the single networks."""
    images, labels = digits()
    members = []
    for seed in range(5):
        model = relu_network(2, 128, "he_normal", seed)
        train(model, images[:100], labels[:100], keras.optimizers.Adam(1e-3), epochs=40, batch_size=20)
        members.append(model.predict(images[500:], batch_size=2000, verbose=0))
    truth = labels[500:]
    single = [(member.argmax(axis=1) == truth).mean() for member in members]
    together = (np.mean(members, axis=0).argmax(axis=1) == truth).mean()
    assert together > np.mean(single) + np.std(single, ddof=1)
