"""Build one model of several members by a named method, or by the one that validation chooses."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from kerastricks.data.image_data import ImageData
from kerastricks.ensemble.choosing import Candidate, choose
from kerastricks.ensemble.combination import Combination, tempered
from kerastricks.ensemble.combination_fitting import SCALINGS, fit_combination
from kerastricks.ensemble.combining import combine, put_combination
from kerastricks.ensemble.fusion import fit_fusion, fuse
from kerastricks.ensemble.member import Member
from kerastricks.ensemble.outputs import member_features, stacked_outputs
from kerastricks.ensemble.soup import check_same_network, greedy_soup, uniform_soup
from kerastricks.ensemble.stacking import fit_temperature
from kerastricks.ensemble.weights import convex_weights
from kerastricks.errors import EnsembleError
from kerastricks.keras_graph import producer, split_head, with_probabilities
from kerastricks.metrics.bootstrap import bootstrap_mean
from kerastricks.metrics.calibration import log_losses

_LOWEST = 1e-30


@dataclass(frozen=True)
class EnsembleSettings:
    """The method that builds an ensemble, and its options.

    Args:
        method: "auto" takes the simplest that is as good as any on validation; else "mean", "geometric", "vote",
            "weighted", "greedy", "stack", "soup", "greedy_soup" or "fuse".
        classifier: of `fuse`: "logistic", "linear" or "mlp".
        late: whether `fuse` is combined with the members' own probabilities.
        seed: of folds, bags and bootstrap.
        temperatures: whether those of a named method are fitted to validation; "auto" tries them anyway.

    Raises:
        EnsembleError: for temperatures of "auto" or "stack".
    """

    method: str = "auto"
    classifier: str = "logistic"
    late: bool = False
    seed: int = 0
    temperatures: bool = False

    def __post_init__(self) -> None:
        if self.temperatures and self.method in ("auto", "stack"):
            why = "tries temperatures by itself" if self.method == "auto" else "scales by its kernel"
            raise EnsembleError(f"temperatures must be False for method={self.method!r}, which {why}. Received: True")

    @property
    def may_scale(self) -> bool:
        """Whether temperatures were allowed; the gain of a temperature by itself is then no gain of combining."""
        return self.temperatures or self.method == "auto"

    @property
    def by_features(self) -> bool:
        """Whether only features of the members are used, whatever classes they know."""
        return self.method == "fuse" and not self.late


@dataclass(frozen=True, eq=False)
class EnsembleResult:
    """The model that was built, and how.

    Args:
        model: from pixels 0-255 to probabilities.
        method: that built it; "best" where it is a single member.
        reason: for the method, in a sentence or two.
        weights: (M,) of the members, 0 for those that are left out; None where the method has none.
        temperatures: (M,) of the members, or None.
        candidates: the combinations that were compared.
    """

    model: keras.Model
    method: str
    reason: str
    weights: list[float] | None = None
    temperatures: list[float] | None = None
    candidates: tuple[Candidate, ...] = ()


@dataclass(frozen=True, eq=False)
class MemberPredictions:
    """Members with their predictions for the validation images.

    Args:
        members: with the names of their classes.
        data: in the members' size, with labels as indices of the ensemble's classes.
        names: of the members that know these classes: all of them, except for `fuse` without `late`.
        log_probabilities: (len(names), N, K) of the validation images.
        labels: (N,) of these.
        predict: the outputs of a model for the images of a split ("train", "validation"), in their order.
        training_images: batches of augmented training images, for the batch-norm statistics of a soup; they can be
            read several times.
        groups: (N,) of the validation images, which folds keep whole; None for none.
    """

    members: Sequence[Member]
    data: ImageData
    names: Sequence[str]
    log_probabilities: np.ndarray
    labels: np.ndarray
    predict: Callable[[keras.Model, str], np.ndarray]
    training_images: Iterable[Any]
    groups: np.ndarray | None = None


def build_ensemble(given: MemberPredictions, settings: EnsembleSettings) -> EnsembleResult:
    """Build one model of several, by a named method or by the one that validation chooses.

    Args:
        given: the members and their predictions.
        settings: the method.

    Returns:
        The model, the method that built it, and why.

    Raises:
        EnsembleError: for members that the method cannot combine.
        ValueError: for an unknown method or classifier.
    """
    if settings.method in ("soup", "greedy_soup"):
        return _soup(given, settings)
    if settings.method == "fuse":
        return _fused(given, settings)
    return _combined(given, settings)


def _combined(given: MemberPredictions, settings: EnsembleSettings) -> EnsembleResult:
    rows, labels, method = given.log_probabilities, given.labels, settings.method
    groups = given.groups
    candidates: Sequence[Candidate] = ()
    if method == "auto":
        choice = choose(rows, labels, given.names, settings.seed, groups=groups)
        combination, method, reason, candidates = choice.combination, choice.method, choice.reason, choice.candidates
    elif len(given.names) > 1 and _too_few(labels, groups):
        # A named method needs no comparison, and a plain mean needs no images at all.
        scaling = "after" if settings.temperatures else "none"
        combination = fit_combination(method, rows, labels, settings.seed, scaling, groups)
        reason = f"{method} was asked for; the validation images are too few to judge it."
    else:
        scalings = [scaling for scaling in SCALINGS if (scaling != "none") == settings.temperatures]
        candidates = choose(rows, labels, given.names, settings.seed, [method], scalings, groups).candidates
        found = next(one for one in candidates if one.method == method)  # "best" is only a baseline
        combination = found.combination
        reason = f"{method} was asked for: its log-loss is {found.gain} below the best member's, out of fold."
    model = _model_of(given.members, combination)
    weights = None if combination.method == "stack" else _weights(combination, len(given.members))
    temperatures = None if combination.temperatures is None else combination.temperatures.tolist()
    return EnsembleResult(model, method, reason, weights, temperatures, tuple(candidates))


def _weights(combination: Combination, count: int) -> list[float]:
    return [1 / count] * count if combination.weights is None else combination.weights.tolist()


def _model_of(members: Sequence[Member], combination: Combination) -> keras.Model:
    """Combine the members, without those of weight 0 where the others do not need them."""
    used = list(range(len(members)))
    # Otherwise the first member's classes give the order, and a specialist is completed by the others.
    alike = {(member.class_names, member.input_shape, member.fitting) for member in members}
    if combination.weights is not None and len(alike) == 1:
        used = np.flatnonzero(combination.weights > 0).tolist()
    temperatures = combination.temperatures
    fewer = replace(
        combination,
        weights=None if combination.weights is None else combination.weights[used],
        temperatures=None if temperatures is None else temperatures[used],
    )
    if len(used) > 1:
        return combine([members[index] for index in used], fewer)
    pixels, outputs = stacked_outputs([members[used[0]]])
    return keras.Model(pixels, put_combination(outputs, fewer), name="ensemble")


def _soup(given: MemberPredictions, settings: EnsembleSettings) -> EnsembleResult:
    orders = {member.class_names for member in given.members}
    if len(orders) > 1:
        raise EnsembleError("a soup needs members with the same classes in the same order: combine these by mean")
    models = [with_probabilities(member.model) for member in given.members]
    check_same_network(models, given.names)
    batches = given.training_images
    if settings.method == "soup":
        model = uniform_soup(models, batches)
        weights = [1 / len(models)] * len(models)
    else:
        scores = [_accuracy(log_probabilities, given.labels) for log_probabilities in given.log_probabilities]
        soup = greedy_soup(
            models, lambda one: _accuracy(given.predict(one, "validation"), given.labels), batches, scores
        )
        model = soup.model
        weights = [float(index in soup.chosen) / len(soup.chosen) for index in range(len(models))]
    return _compared(given, settings, model, settings.method, weights)


def _too_few(labels: np.ndarray, groups: np.ndarray | None) -> bool:
    """Whether images cannot be divided into folds."""
    one_group = groups is not None and len(set(groups.tolist())) < 2
    return len(labels) < 4 or len(np.unique(labels)) < 2 or one_group


def _accuracy(outputs: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean(outputs.argmax(axis=1) == labels))


def _fused(given: MemberPredictions, settings: EnsembleSettings) -> EnsembleResult:
    extract = member_features(given.members)
    fusion = fit_fusion(
        given.predict(extract, "train"),
        given.data.labels("train"),
        given.predict(extract, "validation"),
        given.labels,
        len(given.data.class_names),
        settings.classifier,
        seed=settings.seed,
    )
    if not settings.late:
        model = fuse(given.members, fusion)
        return _compared(given, settings, model, f"fuse, {settings.classifier}", None)
    fused = _log(given.predict(fuse(given.members, fusion), "validation"))
    weights = convex_weights(np.concatenate([given.log_probabilities, fused[None]]), given.labels)
    model = fuse(given.members, fusion, Combination("mean", weights))
    return _compared(given, settings, model, f"fuse, {settings.classifier}, and late", weights[:-1].tolist())


def _compared(
    given: MemberPredictions, settings: EnsembleSettings, model: keras.Model, method: str, weights: list[float] | None
) -> EnsembleResult:
    """Compare the model with the best member on validation; both at their own temperature where these are wanted."""

    def temperature_of(log_probabilities: np.ndarray) -> float:
        return fit_temperature(log_probabilities, given.labels) if settings.temperatures else 1.0

    scaled = _log(given.predict(model, "validation"))
    temperature = temperature_of(scaled)
    if settings.temperatures:
        model = _at_temperature(model, temperature)
    if not given.names:
        reason = f"{method} was asked for; no member tells {given.data.name}'s classes apart by itself."
        return EnsembleResult(model, method, reason, weights)
    found = log_losses(np.exp(tempered(scaled, temperature)), given.labels)
    members = [log_losses(np.exp(tempered(one, temperature_of(one))), given.labels) for one in given.log_probabilities]
    best = int(np.argmin([losses.mean() for losses in members]))
    gain = bootstrap_mean(members[best] - found, settings.seed)
    reason = (
        f"{method} was asked for: its log-loss is {gain} below that of {given.names[best]}, the best member, on images "
        "that were used to make it."
    )
    return EnsembleResult(model, method, reason, weights)


def _log(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities, _LOWEST))


def _at_temperature(model: keras.Model, temperature: float) -> keras.Model:
    """Divide the logits by a temperature, in the weights of a last dense layer where possible: no layer is added."""
    body, ends_in_logits = split_head(model)
    layer = producer(body.outputs[0])
    if ends_in_logits and isinstance(layer, keras.layers.Dense):
        layer.set_weights([weight / temperature for weight in layer.get_weights()])
        return model
    pixels, outputs = stacked_outputs([Member(model, model.name)])
    return keras.Model(pixels, put_combination(outputs, Combination("mean", temperature=temperature)), name=model.name)
