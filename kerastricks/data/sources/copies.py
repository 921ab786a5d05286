"""Files that are there twice, in several splits or with several labels: found by the checksums of the first reading."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerastricks.data.sources.source import UNREADABLE, Examples, Files, Reader

LEAK, CONFLICT = "leak", "conflict"
_SHOWN = 2  # files in a line


@dataclass(frozen=True)
class SameBytes:
    """Files with the same bytes.

    Args:
        files: their names.
        splits: of each.
        classes: of each.
    """

    files: tuple[str, ...]
    splits: tuple[str, ...]
    classes: tuple[str, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Why they matter: "leak" where they are in several splits, "conflict" where they have several labels."""
        several = {LEAK: len(set(self.splits)) > 1, CONFLICT: len(set(self.classes)) > 1}
        return tuple(kind for kind, holds in several.items() if holds)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"kinds": list(self.kinds), "files": list(self.files), "splits": list(self.splits)}


Named = tuple[str, Reader]  # a file, and what reads it


def with_same_checksum(splits: Mapping[str, Files], checksums: Mapping[str, np.ndarray]) -> list[list[Named]]:
    """Groups of files that share a CRC-32: nearly always copies, and few that are none.

    Args:
        splits: files that were looked at.
        checksums: of each split, as many as files.
    """
    if not splits:
        return []
    values = np.concatenate([checksums[name] for name in splits])
    order = np.argsort(values, kind="stable")
    same = values[order][1:] == values[order][:-1]
    if not same.any():
        return []
    ends = np.cumsum([len(files) for files in splits.values()])
    all_files = list(splits.values())

    def named(index: int) -> Named:
        files = all_files[number := int(np.searchsorted(ends, index, "right"))]
        return files.names[index - int(ends[number]) + len(files)], files.reader

    # Names of a million files would be 100 MB: only those of copies are made.
    edges = np.diff(np.concatenate([[False], same, [False]]).astype(np.int8))
    first, last = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return [
        [named(index) for index in order[start : stop + 1].tolist()] for start, stop in zip(first, last, strict=True)
    ]


def find_same_bytes(
    groups: Sequence[Sequence[Named]], splits: Mapping[str, Examples], class_names: Sequence[str]
) -> tuple[SameBytes, ...]:
    """The groups whose files are in several splits or have several labels, and the same bytes: they are read again.

    Args:
        groups: files with the same checksum.
        splits: the final splits; files that are in none of them were left out.
        class_names: the label is the index.
    """
    wanted = {name for group in groups for name, _ in group}
    where: dict[str, tuple[str, str]] = {}
    for split, examples in splits.items() if wanted else ():
        names = examples.names if examples.names is not None else ()
        where |= {
            name: (split, class_names[label])
            for name, label in zip(names, examples.labels.tolist(), strict=False)
            if name in wanted
        }
    found = []
    for group in groups:
        known = [(name, reader) for name, reader in group if name in where]
        if len({where[name] for name, _ in known}) > 1:
            found += [
                SameBytes(tuple(files), *zip(*(where[name] for name in files), strict=True))
                for files in _by_bytes(known)
                if len({where[name] for name in files}) > 1
            ]
    return tuple(found)


def describe_same_bytes(copies: Sequence[SameBytes]) -> list[str]:
    """A warning for leaks and one for conflicts, with the first files."""
    lines = []
    for kind, what, advice in (
        (LEAK, "in several splits", "the test accuracy is too good: delete the training copies"),
        (CONFLICT, "in several classes", "one label of two is wrong: keep the right one"),
    ):
        found = [one for one in copies if kind in one.kinds]
        if found:
            first = " = ".join(
                f"{name} ({split if kind == LEAK else class_name})"
                for name, split, class_name in _most_different(found[0], kind)
            )
            images = "image is" if len(found) == 1 else "images are"
            lines.append(f"warning: {len(found):,} {images} {what}, the same bytes: {first}; {advice}")
    return lines


def _most_different(copies: SameBytes, kind: str) -> list[tuple[str, str, str]]:
    """One file of each split or class."""
    files = list(zip(copies.files, copies.splits, copies.classes, strict=True))
    firsts = {one[1] if kind == LEAK else one[2]: one for one in reversed(files)}
    return sorted(firsts.values(), key=files.index)[:_SHOWN]


def _by_bytes(group: Sequence[Named]) -> Iterator[list[str]]:
    same: dict[bytes, list[str]] = {}
    for name, reader in group:
        try:
            same.setdefault(reader.read(name), []).append(name)
        except UNREADABLE:  # it has gone since, and is missed where it is used
            continue
    yield from same.values()
