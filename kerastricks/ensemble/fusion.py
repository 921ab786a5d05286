"""One classifier on the features of several networks, side by side."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from kerastricks.ensemble.fusion_classifiers import CLASSIFIERS, Layers
from kerastricks.ensemble.temperature import fit_temperature
from kerastricks.finetuning.feature_rows import feature_rows, present_classes
from kerastricks.finetuning.one_thread import one_thread
from kerastricks.metrics.bootstrap import Estimate, bootstrap_mean
from kerastricks.metrics.calibration import log_losses
from kerastricks.probes.rows import stratified_sample


@dataclass(frozen=True, eq=False)
class Fusion:
    """A classifier on raw features, and its scores on validation.

    Args:
        classifier: "logistic", "linear" or "mlp".
        layers: (kernel, bias) float32 of each dense layer, with ReLU between them; softmax follows the last. The
            standardisation is inside the first.
        strength: of the regularisation, chosen on validation. Of logistic: C times the number of features; of linear
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
        """Probabilities.

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
    """Fits a classifier to features of several networks, concatenated, and measures it on validation.

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
        seed: of the MLP's start and order, the sample and the bootstrap.
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
    chances = special.softmax(_logits(others, layers), axis=1)
    return Fusion(
        classifier=classifier,
        layers=layers,
        strength=strength,
        temperature=temperature,
        log_loss=bootstrap_mean(log_losses(chances, other_labels), seed),
        accuracy=bootstrap_mean(chances.argmax(axis=1) == other_labels, seed),
    )


def _logits(features: np.ndarray, layers: Layers) -> np.ndarray:
    outputs = features
    for number, (kernel, bias) in enumerate(layers):
        outputs = (np.maximum(outputs, 0) if number else outputs) @ kernel + bias
    return outputs.astype("float64")


def _raw(layers: Layers, mean: np.ndarray, inverse: np.ndarray) -> Layers:
    """Layers for raw features, in float32."""
    kernel = (layers[0][0] * inverse[:, None]).astype("float32")
    first = (kernel, layers[0][1] - mean @ kernel)  # of the rounded kernel, for whose rounding it makes up
    return [(kernel.astype("float32"), bias.astype("float32")) for kernel, bias in [first, *layers[1:]]]


def _all_classes(layers: Layers, features: np.ndarray, present: np.ndarray, classes: int) -> Layers:
    """Layers whose last one has a column for every class."""
    lowest = _logits(features, layers).min()
    kernel = np.zeros((len(layers[-1][0]), classes))
    bias = np.full(classes, lowest)
    kernel[:, present], bias[present] = layers[-1]
    return [*layers[:-1], (kernel, bias)]
