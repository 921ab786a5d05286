"""The comparison of remedies for a run's imbalanced classes on its validation images, and their measure on test."""

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from kerastricks.classifier_file import load_classifier
from kerastricks.data.image_data import ImageData
from kerastricks.errors import RunFolderError, UsageError
from kerastricks.imbalance.post_hoc_choice import METHODS, MOST_TUNED, TriedRemedy, choose_remedy, find_remedies
from kerastricks.metrics.classification import scores
from kerastricks.probes.linear import LinearProbe, linear_probe
from kerastricks.progress import Progress
from kerastricks.runs.beginning import describe_data
from kerastricks.runs.rebalance_head import ClassifierHead, HeadOutputs, NewHead, check_offsets
from kerastricks.runs.rebalancing_report import RebalancingReport, RebalancingScores, RemedyReport
from kerastricks.runs.record import RunRecord
from kerastricks.runs.reports import EstimateReport
from kerastricks.runs.resumable import Say
from kerastricks.runs.seen_images import pooled_fingerprint
from kerastricks.training.config import Config
from kerastricks.training.datasets import load_data

FEW_IMAGES = 5  # of a class in validation
MOST_RETRAINED = 20_000  # training images
_MOST_WORK = 10_000_000_000  # rows x features x classes of "retrain" that is not asked for


def training_images(record: RunRecord) -> dict[str, int]:
    """Count the training images of each class, in the order of the network's outputs.

    Raises:
        RunFolderError: where the summary does not say.
    """
    found = record.summary.data
    try:
        counts = dict(zip(found["class_names"], found["class_counts"]["train"], strict=True))
        return {name: int(counts[name]) for name in record.summary.class_names}
    except (KeyError, TypeError, ValueError):
        raise RunFolderError(
            f"{record.folder.summary}: does not say how many training images each class has (data.class_counts): "
            "train again"
        ) from None


@dataclass(frozen=True, eq=False)
class OpenedRun:
    """A run with its network, its images, and the outputs for the validation images.

    Args:
        record: of the run.
        head: of its network.
        config: of the run, with where the images are now.
        images: that it was trained on, with labels in the order of the network's outputs, not augmented.
        validation: outputs for the validation images.
        progress: where long work shows how far it is.
    """

    record: RunRecord
    head: ClassifierHead
    config: Config
    images: ImageData
    validation: HeadOutputs
    progress: Progress

    @classmethod
    def load(cls, record: RunRecord, data: str | None, say: Say, progress: Progress) -> "OpenedRun":
        """Load network and images, and predict the validation images.

        Raises:
            RunFolderError: for other data than the run's, or a network without a head that can be changed.
            DataError: for images that cannot be used.
        """
        head = ClassifierHead.of(load_classifier(record.folder.model), str(record.path))
        if data is None and record.config.data is None:
            raise RunFolderError(f"{record.folder.config}: does not say what the run was trained on: give --data")
        source = str(record.config.data if data is None else data)
        path = Path(os.path.expanduser(source))
        config = replace(record.config, data=str(path.resolve()) if path.exists() else source)
        height, width, _ = head.model.input_shape[1:]
        # Neither augmented nor drawn by class or with replacement: the images themselves.
        size = height if height == width else config.image_size
        plain = replace(config, augment="", imbalance="", bagging=False, image_size=size)
        images = load_data(plain.data, plain, progress)
        _refuse_other_images(record, images)
        if tuple(images.image_shape) != tuple(head.model.input_shape[1:]):
            raise RunFolderError(
                f"{record.path}: takes images of shape {tuple(head.model.input_shape[1:])}, and those of "
                f"{images.name} are {images.image_shape}: give --data with the images that it was trained on"
            )
        images = images.relabelled(record.summary.class_names)
        for line in describe_data(images):
            say(line)
        validation = head.predict(images, "validation", progress)
        head = head.with_known_dense(validation)
        check_offsets(head)
        return cls(record, head, config, images, validation, progress)

    def scores(self, split: str, log_probabilities: np.ndarray) -> RebalancingScores:
        """Score log-probabilities (N, K) for the images of a split."""
        labels, names = self.images.labels(split), self.images.class_names
        found = scores(labels, np.exp(log_probabilities), names)
        kept = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "images", "recall")
        return RebalancingScores(**{name: found[name] for name in kept})


def _refuse_other_images(record: RunRecord, images: ImageData) -> None:
    trained = record.summary.data.get("fingerprint")
    if trained == pooled_fingerprint(images):
        raise RunFolderError(
            f"{record.path}: was trained on the validation images too (a refit), which cannot choose then: give a run "
            "of the search"
        )
    if trained != images.fingerprint or set(images.class_names) != set(record.summary.class_names):
        raise RunFolderError(
            f"{record.path}: was trained on {record.summary.data.get('name')}, fingerprint {trained}, and "
            f"{images.name} has fingerprint {images.fingerprint}: give --data with the images that it was trained on"
        )


def compare_remedies(
    opened: OpenedRun, asked: str, metric: str, seed: int, say: Say
) -> tuple[RebalancingReport, NewHead | None]:
    """Compare the remedies on validation, choose one, and measure it on test.

    Args:
        opened: the run.
        asked: a method, or "auto".
        metric: that decides.
        seed: of folds, bootstrap and samples.
        say: gets a line about each thing decided.

    Returns:
        The report, and the head of the chosen remedy; None where it changes nothing.

    Raises:
        UsageError: for a method that this network or these classes do not allow.
    """
    images, labels, head = opened.images, opened.images.labels("validation"), opened.head
    counts = training_images(opened.record)
    names = list(counts)
    tried: tuple[str, ...] = METHODS[1:] if asked == "auto" else (asked,)
    left_out = _left_out(opened, tried, list(counts.values()))
    refused = [why for method, why in left_out.items() if method == asked]
    if refused:
        raise UsageError(f"{opened.record.path}: {asked} cannot be used: {refused[0]}: take another --method")
    few = _few(labels, names)
    if few:
        listed = ", ".join(f"{name} ({number})" for name, number in list(few.items())[:10])
        say(f"fewer than {FEW_IMAGES} validation images: {listed}: what they choose is uncertain")
    for method, why in left_out.items():
        say(f"{method} is not tried: {why}")
    tried = tuple(method for method in tried if method not in left_out)
    probe = _retrained(opened, labels, seed) if "retrain" in tried else None
    remedies = find_remedies(
        opened.validation.log_probabilities,
        labels,
        list(counts.values()),
        metric,
        methods=tried,
        kernel=head.kernel,
        features=opened.validation.features,
        retrained=None if probe is None else probe.probabilities,
        seed=seed,
    )
    remedies = [one for one in remedies if one.method not in left_out]
    chosen = choose_remedy(remedies, labels, metric, asked=asked, seed=seed)
    if chosen.method == "logit_adjustment" and chosen.tau == 0:
        chosen = remedies[0]
    new = NewHead.of(head, chosen, None if probe is None else (probe.kernel, probe.bias))
    test = head.predict(images, "test", opened.progress)
    unchanged = chosen.method == METHODS[0]
    before = opened.validation.log_probabilities, test.log_probabilities
    after = before if unchanged else (new.log_probabilities(opened.validation), new.log_probabilities(test))
    offsets = None if chosen.offsets is None else dict(zip(names, map(float, chosen.offsets), strict=True))
    report = RebalancingReport(
        run=str(opened.record.path.resolve()),
        asked=asked,
        method=chosen.method,
        metric=metric,
        reason=_reason(chosen, remedies, asked, metric),
        tau=chosen.tau,
        offsets=offsets,
        training_images=counts,
        few_validation_images=few,
        candidates=tuple(_candidate(one) for one in remedies),
        left_out=tuple(f"{method}: {why}" for method, why in left_out.items()),
        validation_before=opened.scores("validation", before[0]),
        validation_after=opened.scores("validation", after[0]),
        test_before=opened.scores("test", before[1]),
        test_after=opened.scores("test", after[1]),
    )
    return report, None if unchanged else new


def _few(labels: np.ndarray, names: list[str]) -> dict[str, int]:
    images = np.bincount(labels, minlength=len(names)).tolist()
    return {name: number for name, number in zip(names, images, strict=True) if number < FEW_IMAGES}


def _left_out(opened: OpenedRun, methods: tuple[str, ...], counts: list[int]) -> dict[str, str]:
    """Methods that cannot be tried, with the reason."""
    found = {}
    kernel = opened.head.kernel
    if len(set(counts)) == 1:
        found["logit_adjustment"] = "each class has as many training images"
    if kernel is None:
        found["tau_norm"] = found["retrain"] = "the logits do not come from a dense layer"
    elif not np.linalg.norm(kernel, axis=0).all():
        found["tau_norm"] = "a class has weights of zero in the last layer"
    if len(counts) > MOST_TUNED:
        found["thresholds"] = f"more than {MOST_TUNED} classes"
    if kernel is not None and len(methods) > 1:
        work = min(MOST_RETRAINED, sum(counts)) * kernel.size
        if work > _MOST_WORK:
            found["retrain"] = f"it takes long with {len(kernel):,} features and {len(counts):,} classes: ask for it"
    return {method: why for method, why in found.items() if method in methods}


def _retrained(opened: OpenedRun, labels: np.ndarray, seed: int) -> LinearProbe:
    """The last layer fitted anew to features of training images, each class with the same weight."""
    trained = opened.images.labels("train")
    rows = balanced_rows(trained, MOST_RETRAINED, seed)
    found = opened.head.predict(opened.images.taken(rows, "train"), "train", opened.progress)
    if found.features is None or opened.validation.features is None:
        raise RunFolderError(f"{opened.record.path}: has no features of a dense layer")
    classes = len(opened.images.class_names)
    return linear_probe(
        found.features, trained[rows], opened.validation.features, labels, classes, seed, class_weight="balanced"
    )


def balanced_rows(labels: np.ndarray, most: int, seed: int = 0) -> np.ndarray:
    """Draw at most `most` rows so that large classes lose images first; every class keeps one.

    Args:
        labels: (N,) integers.
        most: rows at most, where there are no more classes.
        seed: of the draw.

    Returns:
        Sorted indices.
    """
    if len(labels) <= most:
        return np.arange(len(labels))
    counts = np.bincount(labels)
    limits = np.arange(1, counts.max() + 1)
    totals = np.cumsum([(counts >= limit).sum() for limit in limits])
    limit = max(1, int(np.searchsorted(totals, most, side="right")))
    mixed = np.random.default_rng(seed).permutation(len(labels))
    order = mixed[np.argsort(labels[mixed], kind="stable")]
    rank = np.arange(len(labels)) - (np.cumsum(counts) - counts)[labels[order]]
    return np.sort(order[rank < limit])


def _candidate(one: TriedRemedy) -> RemedyReport:
    return RemedyReport(
        method=one.method,
        tau=one.tau,
        kept_share=one.kept_share,
        validation=one.validation,
        cross_fitted=one.cross_fitted,
        gain=EstimateReport(**asdict(one.gain)),
    )


def _reason(chosen: TriedRemedy, remedies: list[TriedRemedy], asked: str, metric: str) -> str:
    """The reason for the choice, as words."""
    if chosen.method == METHODS[0]:
        usual = ", as is usual for accuracy where images are distributed as in training" if metric == "accuracy" else ""
        if asked != "auto":
            return f"{asked} gains no {_words(metric)} on validation images that did not choose it{usual}"
        return (
            f"no method gains more {_words(metric)} on validation than one standard error over its images{usual} "
            "(--method takes one that gains less)"
        )
    if asked == "thresholds" and chosen.method != asked:
        return "offsets that are tuned by class do not score above those of tau in cross-fitting"
    if asked != "auto":
        return "as asked"
    best = max(remedies, key=lambda one: one.cross_fitted)
    if chosen is best:
        return f"the best {_words(metric)} on validation, by more than one standard error above simpler methods"
    return f"the simplest within one standard error of the best {_words(metric)} on validation, that of {best.method}"


def _words(metric: str) -> str:
    return {"macro_f1": "macro F1"}.get(metric, metric.replace("_", " "))
