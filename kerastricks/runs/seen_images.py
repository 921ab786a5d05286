"""Data leakage: members that were trained on the images that an ensemble is chosen or tested with."""

import hashlib
from collections.abc import Sequence
from typing import Any

from kerastricks.data.image_data import ImageData
from kerastricks.data.loading import make_splits
from kerastricks.data.sources.reading import find_source, read_source
from kerastricks.errors import DataError, EnsembleError
from kerastricks.progress import silent
from kerastricks.runs.members import RunMember
from kerastricks.training.config import Config


def refuse_seen_images(members: Sequence[RunMember], data: ImageData, config: Config) -> list[str]:
    """Refuse members that were trained on validation or test images of `data`.

    What a member has learned by heart it is sure of: chosen and weighted by such images, it wins, and loses on new
    ones. Equal fingerprints are equal images, and the fields that divide them say which ones were trained on. Of a
    member that was trained on some of the classes, the images are looked up by their names.

    Args:
        members: with what their runs say.
        data: as loaded for the ensemble.
        config: that it was loaded with.

    Returns:
        A line for each member of which it cannot be told, and for each that these images chose.

    Raises:
        EnsembleError: naming the first member that has seen some.
    """
    given = set(find_source(config.data).splits)
    unknown = []
    changed: str | None
    for member in members:
        name = member.member.name
        if member.data is None or member.config is None:
            unknown.append(f"{name}: is in no run folder: whether it was trained on these images is not known")
            continue
        found = member.data["fingerprint"]
        if member.chosen_on == data.fingerprint:
            unknown.append(f"{name}: is an ensemble chosen by these validation images: on new ones it is less sure")
        if found == pooled_fingerprint(data):
            raise EnsembleError(
                f"{name}: was trained on the validation images too (a refit): an ensemble chosen by them would trust "
                "it too much: take the runs of the search instead"
            )
        if found == data.fingerprint:
            changed = _divided_otherwise(member.config, config, given)
        elif member.config.classes != config.classes and not {"validation", "test"} <= given:
            changed = _seen_of_classes(member.config, data, config, found)
            if changed is None:
                unknown.append(_other_data(name, member.data["name"]))
        else:
            changed = None
            unknown.append(_other_data(name, member.data["name"]))
        if changed:
            # Classes alone are divided in another way than among all others, whatever the seed.
            one_split = "take data that come with train, validation and test"
            if member.config.classes == config.classes:
                one_split = "train members with one split (--seeds, or --set split_seed=)"
            raise EnsembleError(
                f"{name}: was trained on images that the ensemble would be chosen and tested with ({changed}): "
                f"{one_split}, or give --data with images that none has seen"
            )
    return unknown


def pooled_fingerprint(data: ImageData) -> str:
    """The fingerprint that `kerastricks.data.pooled` gives to training and validation images together."""
    return hashlib.blake2b(f"{data.fingerprint} training and validation".encode(), digest_size=16).hexdigest()


def _divided_otherwise(theirs: Config, ours: Config, given: set[str]) -> str:
    """The first field of a made split that differs, as words; "" where there is none."""
    made = {"validation", "test"} - given
    if not made:
        return ""
    pairs: list[tuple[str, Any, Any]] = [
        *((name, getattr(theirs, name), getattr(ours, name)) for name in sorted(made)),
        ("group", theirs.group, ours.group),
        ("split_seed", theirs.seed_of_splits, ours.seed_of_splits),
    ]
    differ = [f"{name} is {theirs!r} there and {ours!r} here" for name, theirs, ours in pairs if theirs != ours]
    return differ[0] if differ else ""


def _seen_of_classes(theirs: Config, data: ImageData, ours: Config, fingerprint: str) -> str | None:
    """Describe how many images a member of some classes has seen; None for images other than `data`."""
    try:
        readable = read_source(
            ours.data,
            image_size=None,
            max_pixels=theirs.max_pixels,
            max_skipped=theirs.max_skipped,
            memory_bytes=0,
            progress=silent,
            image_shape=data.image_shape,
            classes=theirs.class_names,
        )
    except DataError:
        return None
    if readable.fingerprint != fingerprint:
        return None
    made = make_splits(readable.source, theirs.validation, theirs.test, theirs.seed_of_splits, theirs.group)
    train = made["train"]
    if train.names is None:
        return "its classes were divided by themselves"
    seen = len(set(train.names) & {*data.files("validation"), *data.files("test")})
    return f"{seen:,} of them" if seen else ""


def _other_data(name: str, data: str) -> str:
    return f"{name}: was trained on {data}, other data than these: whether some of these images are in it is not known"
