"""Groups of images that no two splits may share (a patient, a product, a video), and splits that keep them whole."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kerastricks.data.sources.names import compile_pattern, is_no_image, pattern_problem
from kerastricks.data.sources.source import Examples, Source
from kerastricks.errors import DataError


def check_pattern(pattern: str) -> None:
    """Raise DataError for a pattern of groups that cannot be used."""
    problem = pattern_problem(pattern)
    if problem is not None:
        raise DataError(f"group must be {problem}. Received: group={pattern!r}")


def with_groups(source: Source, pattern: str) -> Source:
    """Group the images of a source by their names.

    Args:
        source: images that have names: files.
        pattern: regular expression, searched in each name relative to the data, with forward slashes; its first
            capture group names the group.

    Returns:
        The source with groups; None for a file that does not match and whose name says that it is no image.

    Raises:
        DataError: for a pattern that cannot be used, images without names, groups of the source's own, a file that
            does not match, and a group that is in two splits.
    """
    check_pattern(pattern)
    compiled = compile_pattern(pattern)
    splits = {}
    for split, examples in source.splits.items():
        if examples.names is None:
            raise DataError(f"{source.name}: group is a pattern of file names, and arrays have none: leave it out")
        if examples.groups is not None and examples.names:
            raise DataError(f"{source.name}: has a column of groups already: leave out the column or the pattern")
        groups = np.empty(len(examples), object)
        for index, name in enumerate(examples.names):
            found = compiled.search(name)
            groups[index] = found[1] or None if found else None
            if groups[index] is None and not is_no_image(name):
                why = "does not match" if found is None else "has an empty group in"
                raise DataError(
                    f"{source.name}: {name} {why} the pattern of groups: mend it, or leave the file out. "
                    f"Received: group={pattern!r}"
                )
        splits[split] = replace(examples, groups=groups)
    grouped = replace(source, splits=splits)
    refuse_shared(grouped)
    return grouped


def refuse_shared(source: Source) -> None:
    """Raise DataError, naming it, for a group that is in two splits, or an image that is in none."""
    seen: dict[str, tuple[str, Examples, int]] = {}
    for split, examples in source.splits.items():
        if examples.groups is None:
            continue
        for index, group in enumerate(examples.groups.tolist()):
            if group is None:
                continue
            other, others, first = seen.setdefault(group, (split, examples, index))
            if other != split:
                raise DataError(
                    f"{source.name}: group {group!r} is in {other} ({_name(others, first)}) and in {split} "
                    f"({_name(examples, index)}): move all of its images to one of them"
                )


def _name(examples: Examples, index: int) -> str:
    return examples.names[index] if examples.names is not None else str(index)


def divide_groups(
    labels: np.ndarray, groups: np.ndarray, fractions: Sequence[float], seed: int
) -> tuple[np.ndarray, int | None]:
    """Divide images into parts that share no group, with each class in its fraction as well as whole groups allow.

    Groups are placed one after the other, large ones first and those of about one size in an order by `seed`, each
    where it makes the deviation of the class counts from the wanted ones least. What is minimized is the sum over
    parts p and classes c of (count - wanted)^2 / (fraction_p * images_c), as far as the placed groups go. A random
    placement raises its expectation by (parts - 1) * g^2 for a group, where g^2 is the sum of count_c^2 / images_c, and
    the best placement by no more: a count deviates by at most sqrt(fraction_p * images_c * (parts - 1) * sum of g^2).

    Then, where a part has no image of a class, groups are moved to it that others can spare.

    Args:
        labels: (N,) int.
        groups: (N,) of str.
        fractions: of each part; they sum to 1.
        seed: seed of the order.

    Returns:
        (N,) int, the part of each image; and a class that could not be brought into every part, or None.
    """
    names, member = np.unique(groups.astype(str), return_inverse=True)
    classes, label = np.unique(labels, return_inverse=True)
    counts = np.zeros((len(names), len(classes)))
    np.add.at(counts, (member, label), 1)
    scaled = counts / np.sqrt(counts.sum(axis=0))
    squares = np.square(scaled).sum(axis=1)
    share = np.asarray(fractions, float)
    generator = np.random.default_rng(seed)
    octave = np.floor(np.log2(counts.sum(axis=1)))
    order = np.lexsort((generator.random(len(names)), -octave))
    part = np.zeros(len(names), int)
    # Wanted of the groups placed so far, minus what the part has of them.
    deficit = np.zeros((len(share), len(classes)))
    for group in order.tolist():
        gain = (2 * deficit @ scaled[group] - squares[group]) / share
        chosen = int(np.argmax(gain))
        deficit += share[:, None] * scaled[group]
        deficit[chosen] -= scaled[group]
        part[group] = chosen
    lacking = _fill_empty(part, counts, scaled, deficit, share)
    return part[member], None if lacking is None else int(classes[lacking])


def _fill_empty(
    part: np.ndarray, counts: np.ndarray, scaled: np.ndarray, deficit: np.ndarray, share: np.ndarray
) -> int | None:
    """Move groups, in place, to parts without a class; return the index of a class for which there is none."""
    have = np.stack([(counts[part == number] > 0).sum(axis=0) for number in range(len(share))])  # groups of a class
    while (have == 0).any():
        to, wanted = (int(index) for index in np.argwhere(have == 0)[0])
        best, best_cost = -1, np.inf
        for group in np.flatnonzero(counts[:, wanted]).tolist():
            origin = part[group]
            if (have[origin][counts[group] > 0] < 2).any():
                continue  # the part it is in would lose a class
            moved, given = deficit[to] - scaled[group], deficit[origin] + scaled[group]
            cost = (np.square(moved).sum() - np.square(deficit[to]).sum()) / share[to]
            cost += (np.square(given).sum() - np.square(deficit[origin]).sum()) / share[origin]
            if cost < best_cost:
                best, best_cost = group, cost
        if best < 0:
            return wanted
        origin, present = part[best], counts[best] > 0
        have[origin] -= present
        have[to] += present
        deficit[to] -= scaled[best]
        deficit[origin] += scaled[best]
        part[best] = to
    return None
