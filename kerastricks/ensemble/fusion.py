"""Early fusion: one classifier on the concatenated features of several networks, fitted and as a Keras model."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np
from scipy import special
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from kerastricks.ensemble.combination import Combination
from kerastricks.ensemble.combining import put_combination
from kerastricks.ensemble.inputs import align_classes, shared_pixels
from kerastricks.ensemble.member import Member, as_members
from kerastricks.ensemble.outputs import features_and_outputs
from kerastricks.ensemble.stacking import fit_temperature
from kerastricks.errors import EnsembleError
from kerastricks.metrics.bootstrap import Estimate, bootstrap_mean
from kerastricks.metrics.calibration import log_losses
from kerastricks.probes.linear import softmax_regression
from kerastricks.probes.rows import feature_rows, one_thread, present_classes, stratified_sample

Layers = list[tuple[np.ndarray, np.ndarray]]
Path = Iterator[tuple[float, Layers]]

# For logistic: C times the number of features. For linear and mlp: the penalty, beside the mean loss.
STRENGTHS = {
    "logistic": (0.1, 1.0, 10.0, 100.0, 1_000.0, 10_000.0),
    "linear": (10.0, 1.0, 0.1, 0.01, 0.001, 0.0001),
    "mlp": (1.0, 0.1, 0.01),
}
_HIDDEN = 64
_EPOCHS = 60
# Least squares gives figures near 0 and 1; times this, the temperature that calibrates them is of ordinary size.
_SHARPNESS = 10.0


def _logistic(features: np.ndarray, labels: np.ndarray, classes: int, seed: int) -> Path:
    """L2-regularised multinomial logistic regression; the bias is free."""
    components, _ = _principal(features)
    rows = features @ components
    targets, weights = np.eye(classes, dtype="float32")[labels], np.ones(len(labels))
    solution: np.ndarray | None = None
    for strength in STRENGTHS["logistic"]:
        solution = softmax_regression(rows, targets, weights, strength / features.shape[1], solution)
        yield strength, [(components @ solution[:-1], solution[-1])]


def _linear(features: np.ndarray, labels: np.ndarray, classes: int, seed: int) -> Path:
    """Ridge regression on one-hot targets; the bias is free."""
    components, moments = _principal(features)
    targets = np.eye(classes)[labels]
    shares = targets.mean(axis=0)
    products = (features @ components).T @ (targets - shares) / len(labels)
    for strength in STRENGTHS["linear"]:
        kernel = components @ (products / (moments + strength)[:, None])
        yield strength, [(_SHARPNESS * kernel, _SHARPNESS * shares)]


def _mlp(features: np.ndarray, labels: np.ndarray, classes: int, seed: int) -> Path:
    """One hidden layer with ReLU, by Adam."""
    for strength in STRENGTHS["mlp"]:
        network = MLPClassifier(_HIDDEN, alpha=strength, max_iter=_EPOCHS, random_state=seed)
        with warnings.catch_warnings():
            # Ending early is part of the regularisation.
            warnings.simplefilter("ignore", ConvergenceWarning)
            network.fit(features, labels)
        (first, last), (first_bias, last_bias) = network.coefs_, network.intercepts_
        if classes == 2:  # one logit, of the second class
            last, last_bias = np.hstack([-last, last]) / 2, np.hstack([-last_bias, last_bias]) / 2
        yield strength, [(first, first_bias), (last, last_bias)]


def _principal(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(D, R) orthonormal directions in which centred features vary, and the mean square along each."""
    count, dims = features.shape
    wide = count < dims
    gram = features @ features.T if wide else features.T @ features
    values, vectors = np.linalg.eigh(gram.astype("float64"))
    kept = values > 1e-6 * max(values[-1], 1e-300)
    values, vectors = values[kept], vectors[:, kept]
    if wide:
        vectors = features.T @ (vectors / np.sqrt(values))
    return vectors.astype(features.dtype), values / count


CLASSIFIERS: dict[str, Callable[[np.ndarray, np.ndarray, int, int], Path]] = {
    "logistic": _logistic,
    "linear": _linear,
    "mlp": _mlp,
}


@dataclass(frozen=True, eq=False)
class Fusion:
    """A classifier on raw features, and its scores on validation.

    Args:
        classifier: "logistic", "linear" or "mlp".
        layers: (kernel, bias) float32 of each dense layer, with ReLU between them; softmax follows the last. The
            standardisation is inside the first.
        strength: of the regularisation, chosen on validation. For logistic: C times the number of features; for linear
            and mlp: the penalty beside the mean loss.
        temperature: by which the last layer was divided.
        log_loss: on validation, in nats. Strength and temperature were chosen there, so it is a little too low.
        accuracy: on validation.
    """

    classifier: str
    layers: Layers
    strength: float
    temperature: float
    log_loss: Estimate
    accuracy: Estimate

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Predict probabilities.

        Args:
            features: (N, D), raw.

        Returns:
            (N, K) float64.
        """
        return special.softmax(_logits(np.asarray(features), self.layers), axis=1)


def fit_fusion(
    features: np.ndarray,
    labels: np.ndarray,
    validation_features: np.ndarray,
    validation_labels: np.ndarray,
    classes: int,
    classifier: str = "logistic",
    seed: int = 0,
    max_rows: int = 20_000,
) -> Fusion:
    """Fit a classifier to the concatenated features of several networks, and score it on validation.

    Early fusion: the classifier sees what each network saw, not only what it concluded, which pays where networks saw
    different data or views. If the networks were trained on the very images of `features`, those are easier to separate
    than new ones: so the strength of the penalty, and a temperature, are chosen on validation.

    Args:
        features: (N, D) of the training images, raw.
        labels: (N,) integers.
        validation_features: (M, D).
        validation_labels: (M,) integers, of images that neither the networks nor the classifier were trained on.
        classes: K. One without training images gets a kernel of zeros and a bias below every training logit.
        classifier: "logistic" (L2-regularised multinomial logistic regression), "linear" (ridge regression on one-hot
            targets) or "mlp" (one hidden layer of 64 with ReLU).
        seed: of the MLP's initialization and order, the sample and the bootstrap.
        max_rows: training rows used at most: a random sample in which classes keep their shares.

    Returns:
        A `Fusion`.

    Raises:
        DataError: for features that are not finite or (N, D), labels out of range, or a single class.
        ValueError: for another classifier, or validation features of another width.

    Example:
        >>> import numpy as np
        >>> from kerastricks.ensemble import fit_fusion
        >>> generator = np.random.default_rng(0)
        >>> labels = np.arange(300) % 3
        >>> features = np.eye(3)[labels] + generator.normal(0, 0.3, (300, 3))
        >>> fusion = fit_fusion(features[:200], labels[:200], features[200:], labels[200:], classes=3)
        >>> fusion.accuracy.value > 0.9, [kernel.shape for kernel, _ in fusion.layers]
        (True, [(3, 3)])

    Reference:
        Snoek, Worring, Smeulders: Early versus late fusion in semantic video analysis, ACM Multimedia 2005. Deviation:
        features are standardised by the training images; a constant one counts for nothing.
    """
    if classifier not in CLASSIFIERS:
        raise ValueError(f"classifier must be one of {', '.join(CLASSIFIERS)}. Received: classifier={classifier!r}")
    features, labels = feature_rows(features, labels, classes, "features")
    others, other_labels = feature_rows(validation_features, validation_labels, classes, "validation_features")
    if others.shape[1] != features.shape[1]:
        raise ValueError(
            f"validation_features must have {features.shape[1]} columns, as features. Received: {others.shape[1]}"
        )
    present = present_classes(labels)
    used = stratified_sample(labels, max(max_rows, len(present)), seed)
    features, targets = features[used], np.searchsorted(present, labels[used])
    mean = features.mean(axis=0, dtype="float64")
    deviation = features.std(axis=0, dtype="float64")
    varies = deviation > 1e-6 * np.maximum(np.abs(mean), 1e-6)  # what differs by rounding alone is constant
    inverse = np.where(varies, 1 / np.where(varies, deviation, 1.0), 0.0)
    standard = ((features - mean) * inverse).astype("float32")
    best: tuple[float, float, float, Layers] | None = None
    with one_thread(standard.size * 64):
        for strength, fitted in CLASSIFIERS[classifier](standard, targets, len(present), seed):
            layers = _raw(_all_classes(fitted, standard, present, classes), mean, inverse)
            logits = _logits(others, layers)
            temperature = fit_temperature(logits, other_labels)
            loss = float(log_losses(special.softmax(logits / temperature, axis=1), other_labels).mean())
            if best is None or loss < best[0]:
                best = (loss, strength, temperature, layers)
    assert best is not None
    _, strength, temperature, layers = best
    kernel, bias = layers[-1]
    layers = [*layers[:-1], ((kernel / temperature).astype("float32"), (bias / temperature).astype("float32"))]
    probabilities = special.softmax(_logits(others, layers), axis=1)
    return Fusion(
        classifier=classifier,
        layers=layers,
        strength=strength,
        temperature=temperature,
        log_loss=bootstrap_mean(log_losses(probabilities, other_labels), seed),
        accuracy=bootstrap_mean(probabilities.argmax(axis=1) == other_labels, seed),
    )


def _logits(features: np.ndarray, layers: Layers) -> np.ndarray:
    outputs = features
    for number, (kernel, bias) in enumerate(layers):
        outputs = (np.maximum(outputs, 0) if number else outputs) @ kernel + bias
    return outputs.astype("float64")


def _raw(layers: Layers, mean: np.ndarray, inverse: np.ndarray) -> Layers:
    """Fold the standardisation into the first layer, for raw features in float32."""
    kernel = (layers[0][0] * inverse[:, None]).astype("float32")
    first = (kernel, layers[0][1] - mean @ kernel)  # of the rounded kernel, for whose rounding it makes up
    return [(kernel.astype("float32"), bias.astype("float32")) for kernel, bias in [first, *layers[1:]]]


def _all_classes(layers: Layers, features: np.ndarray, present: np.ndarray, classes: int) -> Layers:
    """Extend the last layer to a column for every class."""
    lowest = _logits(features, layers).min()
    kernel = np.zeros((len(layers[-1][0]), classes))
    bias = np.full(classes, lowest)
    kernel[:, present], bias[present] = layers[-1]
    return [*layers[:-1], (kernel, bias)]


def fuse(
    members: Sequence[Member | keras.Model],
    fusion: Fusion,
    combination: Combination | None = None,
    name: str = "ensemble",
) -> keras.Model:
    """Build one model of the members' features and a classifier that was fitted to them.

    With a `combination` the fused classifier is one more member after the others, and their probabilities are
    combined: early and late fusion together, for the price of either.

    Args:
        members: two or more; for early fusion only, they need not know the same classes.
        fusion: from `fit_fusion`, on the outputs of `member_features`.
        combination: of one distribution more than there are members, the last being the fused classifier's; None for
            only that one.
        name: of the model.

    Returns:
        A functional `keras.Model` from the images of `shared_pixels`, 0 to 255, to float32 probabilities over the
        classes that `fusion` was fitted to; with a `combination` these must be those of `align_classes`.

    Raises:
        EnsembleError: for members that cannot be one model, one without a layer that gets features, or a fusion of
            other features.

    Example:
        >>> import keras, kerastricks, numpy
        >>> def model():
        ...     layers = keras.layers
        ...     return keras.Sequential([keras.Input((3,)), layers.Dense(4), layers.Dense(2, activation="softmax")])
        >>> members, generator = [model(), model()], numpy.random.default_rng(0)
        >>> rows, labels = generator.normal(size=(40, 3)).astype("float32"), numpy.arange(40) % 2
        >>> features = kerastricks.ensemble.member_features(members).predict_on_batch(rows)
        >>> fusion = kerastricks.ensemble.fit_fusion(features, labels, features, labels, 2)
        >>> kerastricks.ensemble.fuse(members, fusion).output_shape
        (None, 2)

    Reference:
        Xiu-Shen Wei: Must Know Tips/Tricks in Deep Neural Networks, section 8: features of several networks
        concatenated, and a classifier on top.
    """
    members = as_members(members)
    shared = shared_pixels(members)
    pixels = keras.Input(shared.image_shape, dtype="float32", name="pixels")
    found = [
        features_and_outputs(member, f"member_{index}")(shared.for_member(pixels, member))
        for index, member in enumerate(members)
    ]
    features = keras.layers.Concatenate(name="features", dtype="float32")([features for features, _ in found])
    wanted = len(fusion.layers[0][0])
    if features.shape[-1] != wanted:
        raise EnsembleError(
            f"fusion is for {wanted} features. Received: members with {features.shape[-1]}; fit it to "
            "member_features of these members"
        )
    x = features
    for index, (kernel, bias) in enumerate(fusion.layers):
        last = index == len(fusion.layers) - 1
        layer = keras.layers.Dense(
            len(bias),
            activation=None if last else "relu",
            name="fused_logits" if last else f"fused_{index}",
            dtype="float32",
        )
        x = layer(x)
        layer.set_weights([kernel, bias])
    if combination is None:
        return keras.Model(pixels, keras.layers.Softmax(dtype="float32", name="probabilities")(x), name=name)
    alignment = align_classes(members)
    outputs = alignment.align([outputs for _, outputs in found])
    fused = keras.ops.expand_dims(keras.ops.log_softmax(x, axis=-1), axis=1)
    return keras.Model(pixels, put_combination(keras.ops.concatenate([outputs, fused], axis=1), combination), name=name)
