"""Classes and splits from the names of files: CLASS/*.jpg, or train/ validation/ test/ with classes inside."""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np

from kerastricks.data.sources.names import canonical, is_ignored, is_no_image
from kerastricks.data.sources.source import Files, Reader, Source
from kerastricks.errors import DataError

_SPLIT = re.compile(
    r"(?:(?P<train>train(?:ing)?)|(?P<validation>val(?:id(?:ation)?)?|dev)|(?P<test>test(?:ing)?))"
    r"(?:[ _-]?(?:set|images|data|split))?",
    re.IGNORECASE,
)


def split_of(folder: str) -> str | None:
    """ "train" of "training_set", "validation" of "val"; None for a name that is no split's."""
    found = _SPLIT.fullmatch(folder)
    return found.lastgroup if found else None


def find_layout(
    names: Iterable[str],
    folders: Iterable[str],
    reader: Reader,
    source_name: str,
    broken: Mapping[str, str] = MappingProxyType({}),
) -> Source:
    """Find classes and splits in relative paths.

    Names that differ only in how their accents are spelled (Unicode's composed and decomposed forms) are one class,
    called as it is in train.

    Args:
        names: paths of all files, with forward slashes; hidden ones are left out here.
        folders: paths of all folders, with forward slashes, so that one without files can be seen.
        reader: reads the files.
        source_name: name of the source, for messages.
        broken: those of `folders` that cannot be entered, and why.

    Raises:
        DataError: for no images, an empty class or split, a class or split that cannot be entered, or a class that
            training never sees.
    """
    paths = sorted(name for name in names if not _ignored(name))
    sorted_folders = sorted({folder.rstrip("/") for folder in folders if not _ignored(folder)})
    prefix = _common_folder(paths + [f"{folder}/" for folder in sorted_folders])
    inner_folders = [folder[len(prefix) :] for folder in sorted_folders if folder.startswith(prefix)]
    has_splits = _has_splits([name[len(prefix) :] for name in paths], inner_folders, source_name)
    depth = 2 if has_splits else 1
    for folder, why in broken.items():
        # One deeper in a class takes nothing away that is not there.
        if not folder.startswith(prefix) or folder[len(prefix) :].count("/") < depth:
            raise DataError(f"{source_name}: {folder} {why}")
    by_split = _by_split(paths, prefix, has_splits, source_name)
    train = by_split.get("train", {})
    if not train:
        loose = " in folders named by their class (images stand beside them)" if paths else ""
        raise DataError(f"{source_name}: no images{loose}: expected CLASS/*.jpg or train/CLASS/*.jpg inside")
    loose_in = {name[len(prefix) :].split("/")[0] for name in paths if name[len(prefix) :].count("/") == 1}
    for folder in inner_folders:
        parts = folder.split("/")
        split = split_of(parts[0]) if has_splits else "train"
        if len(parts) == depth and split and parts[-1] not in by_split.get(split, {}):
            raise DataError(f"{source_name}: class {parts[-1]!r} is empty in {folder}/: fill it or delete it")
        if has_splits and len(parts) == 1 and split and split not in by_split and folder not in loose_in:
            raise DataError(f"{source_name}: {split} is empty in {folder}/: fill it or delete it")
    spelled: dict[str, str] = {}
    for label in sorted(train):
        spelled.setdefault(canonical(label), label)
    class_names = tuple(spelled.values())
    numbers = {label: number for number, label in enumerate(spelled)}
    splits = {}
    for split, classes in by_split.items():
        unknown = sorted(label for label in classes if canonical(label) not in numbers)
        if unknown:
            raise DataError(
                f"{source_name}: class {unknown[0]!r} is in {split} but not in train: "
                f"add images of it to train, or delete it from {split}"
            )
        chosen = sorted((numbers[canonical(label)], name) for label, found in classes.items() for name in found)
        splits[split] = Files([name for _, name in chosen], np.array([label for label, _ in chosen], np.int32), reader)
    return Source(source_name, class_names, splits)


def split_and_class(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Split and class of each image as its folders say it, without those of which they say nothing."""
    names = sorted(names)
    outside = len(_common_folder(names))  # the way to the images, "../" too, says nothing about them
    paths = [name for name in names if not _ignored(name[outside:])]
    prefix = _common_folder(paths)
    try:
        has_splits = _has_splits([name[len(prefix) :] for name in paths], [], "")
        by_split = _by_split(paths, prefix, has_splits, "")
    except DataError:
        return {}
    return {
        name: (split, label)
        for split, classes in by_split.items()
        for label, found in classes.items()
        for name in found
    }


def _by_split(paths: list[str], prefix: str, has_splits: bool, source_name: str) -> dict[str, dict[str, list[str]]]:
    """Paths by split and class, each in the order of the paths."""
    by_split: dict[str, dict[str, list[str]]] = {}
    for name in paths:
        parts = name[len(prefix) :].split("/")
        if has_splits and len(parts) >= 3:
            split = split_of(parts[0])
            if split is None:
                raise DataError(
                    f"{source_name}: {parts[0]!r} is beside train and is no split: name it validation or test, or "
                    f"move it elsewhere"
                )
            by_split.setdefault(split, {}).setdefault(parts[1], []).append(name)
        elif not has_splits and len(parts) >= 2:
            by_split.setdefault("train", {}).setdefault(parts[0], []).append(name)
    return by_split


def _has_splits(paths: list[str], folders: list[str], source_name: str) -> bool:
    """Whether the top folders are splits and not classes: a class may be called "train" too."""
    top_folders = {name.split("/")[0] for name in paths if "/" in name} | {f.split("/")[0] for f in folders if f}
    splits = {folder for folder in top_folders if split_of(folder)}
    deep = {name.split("/")[0] for name in paths if name.count("/") >= 2}
    flat = {name.split("/")[0] for name in paths if name.count("/") == 1}
    # A split holds folders; files right inside make it a class.
    splits = {folder for folder in splits if folder in deep or folder not in flat}
    if any(split_of(folder) == "train" for folder in splits):
        return True
    if splits and splits == top_folders:
        raise DataError(f"{source_name}: {', '.join(sorted(splits))} without a folder train: add it")
    return False


def _ignored(name: str) -> bool:
    """Whether any folder of a path, or the file, is one that is ignored."""
    return any(is_ignored(part) for part in name.split("/"))


def _common_folder(paths: list[str]) -> str:
    """Folders that only wrap all others: "images/" of images/cat/1.jpg and images/dog/2.jpg."""
    prefix = ""
    while True:
        paths = [path for path in paths if "/" in path[len(prefix) :]]  # a README beside the folder is none of it
        heads = {path[len(prefix) :].split("/")[0] for path in paths}
        if len(heads) != 1:
            return prefix
        inner = prefix + heads.pop() + "/"
        # Only a folder of folders, and a README, is a wrapper: a single folder of files is a single class.
        if not all("/" in path[len(inner) :] or is_no_image(path) for path in paths if path != inner):
            return prefix
        if split_of(inner.split("/")[-2]):
            return prefix
        prefix = inner
