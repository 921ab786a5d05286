"""Finds classes and splits in the names of files: CLASS/*.jpg, or train/ validation/ test/ with classes inside."""

import re
from collections.abc import Iterable

import numpy as np

from kerastricks.data.source import Files, Reader, Source
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


def find_layout(names: Iterable[str], folders: Iterable[str], reader: Reader, source_name: str) -> Source:
    """Reads classes and splits off relative paths.

    Args:
        names: of all files, with forward slashes; hidden ones are left out here.
        folders: all of them, with forward slashes, so that one without files can be seen.
        reader: reads them.
        source_name: for messages.

    Raises:
        DataError: for no images, an empty class, or a class that training never sees.
    """
    paths = sorted(name for name in names if not _hidden(name))
    sorted_folders = sorted({folder.rstrip("/") for folder in folders if not _hidden(folder)})
    prefix = _common_folder(paths + [f"{folder}/" for folder in sorted_folders])
    paths = [name[len(prefix) :] for name in paths]
    inner_folders = [folder[len(prefix) :] for folder in sorted_folders if folder.startswith(prefix)]

    by_split: dict[str, dict[str, list[str]]] = {}
    top_folders = {name.split("/")[0] for name in paths if "/" in name} | {f.split("/")[0] for f in inner_folders if f}
    has_splits = _has_splits(paths, top_folders, source_name)
    for name in paths:
        parts = name.split("/")
        if has_splits and len(parts) >= 3:
            split = split_of(parts[0])
            if split is None:
                raise DataError(
                    f"{source_name}: {parts[0]!r} is beside train and is no split: name it validation or test, or "
                    f"move it elsewhere"
                )
            by_split.setdefault(split, {}).setdefault(parts[1], []).append(prefix + name)
        elif not has_splits and len(parts) >= 2:
            by_split.setdefault("train", {}).setdefault(parts[0], []).append(prefix + name)

    train = by_split.get("train", {})
    if not train:
        loose = " in folders named by their class (images stand beside them)" if paths else ""
        raise DataError(f"{source_name}: no images{loose}: expected CLASS/*.jpg or train/CLASS/*.jpg inside")
    depth = 2 if has_splits else 1
    for folder in inner_folders:
        parts = folder.split("/")
        split = split_of(parts[0]) if has_splits else "train"
        if len(parts) == depth and split and parts[-1] not in by_split.get(split, {}):
            raise DataError(f"{source_name}: class {parts[-1]!r} is empty in {folder}/: fill it or delete it")
    class_names = tuple(sorted(train))
    for split, classes in by_split.items():
        unknown = sorted(set(classes) - set(class_names))
        if unknown:
            raise DataError(
                f"{source_name}: class {unknown[0]!r} is in {split} but not in train: "
                f"add images of it to train, or delete it from {split}"
            )
    splits = {}
    for split, classes in by_split.items():
        chosen = [(name, class_names.index(label)) for label in sorted(classes) for name in classes[label]]
        splits[split] = Files([name for name, _ in chosen], np.array([label for _, label in chosen], np.int32), reader)
    return Source(source_name, class_names, splits)


def _has_splits(paths: list[str], top_folders: set[str], source_name: str) -> bool:
    """Whether the top folders are splits and not classes: a class may be called "train" too."""
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


def _hidden(name: str) -> bool:
    """.DS_Store, .git/..., and what macOS adds to a zip."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _common_folder(paths: list[str]) -> str:
    """Folders that only wrap the rest: "images/" of images/cat/1.jpg and images/dog/2.jpg."""
    prefix = ""
    while True:
        paths = [path for path in paths if "/" in path[len(prefix) :]]  # a README beside the folder is none of it
        heads = {path[len(prefix) :].split("/")[0] for path in paths}
        if len(heads) != 1:
            return prefix
        inner = prefix + heads.pop() + "/"
        # Only a folder of folders is a wrapper: a single folder of files is a single class.
        if not all("/" in path[len(inner) :] for path in paths if path != inner):
            return prefix
        if split_of(inner.split("/")[-2]):
            return prefix
        prefix = inner
