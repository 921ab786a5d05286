"""Groups of images that stay in one split: by a column, or by the names of files."""

import numpy as np
import pytest
from conftest import write_image

from kerastricks import data
from kerastricks.data.loading import make_splits
from kerastricks.data.sources.groups import divide_groups
from kerastricks.data.sources.source import Arrays, PixelStore, Source
from kerastricks.errors import ConfigError, DataError, UsageError
from kerastricks.training import Config

pytestmark = pytest.mark.tensorflow_only


def drawn(seed):
    """Labels and groups of a random data set: groups of one class, or of several."""
    generator = np.random.default_rng(seed)
    count, classes = generator.integers(12, 60), generator.integers(2, 6)
    sizes = generator.integers(1, 30, count)
    groups = np.repeat([f"g{number}" for number in range(count)], sizes).astype(object)
    mixed = generator.random() < 0.5
    labels = generator.integers(0, classes, len(groups)) if mixed else np.repeat(np.arange(count) % classes, sizes)
    order = generator.permutation(len(groups))
    return labels[order], groups[order]


def bounds(labels, groups, fractions):
    """(parts, classes) that the docstring of `divide_groups` promises, from counts of its own."""
    classes, total = np.unique(labels, return_counts=True)
    squares = sum(
        np.sum(labels[groups == group] == label) ** 2 / total[number]
        for group in set(groups)
        for number, label in enumerate(classes)
    )
    return np.sqrt(np.outer(fractions, total) * (len(fractions) - 1) * squares)


@pytest.mark.parametrize("fractions", [(0.8, 0.1, 0.1), (0.6, 0.4), (0.2,) * 5], ids=str)
def test_groups_are_whole_and_class_shares_within_the_bound(fractions):
    divided = 0
    for seed in range(40):
        labels, groups = drawn(seed)
        part, lacking = divide_groups(labels, groups, fractions, seed)
        assert all(len(set(part[groups == group])) == 1 for group in set(groups))
        if lacking is not None:
            continue
        divided += 1
        classes, total = np.unique(labels, return_counts=True)
        counts = np.array([[np.sum(labels[part == p] == c) for c in classes] for p in range(len(fractions))])
        assert counts.min() >= 1  # each class is in each part
        assert (np.abs(counts - np.outer(fractions, total)) <= bounds(labels, groups, fractions)).all()
    assert divided >= 30


def test_many_small_groups_are_divided_nearly_in_proportion():
    labels = np.repeat([0, 0, 0, 1], 100)
    groups = np.array([f"{number // 4}" for number in range(400)], object)
    part, _ = divide_groups(labels, groups, (0.8, 0.1, 0.1), 0)
    counts = [np.bincount(labels[part == number]).tolist() for number in range(3)]
    assert np.abs(np.array(counts) - [[240, 80], [30, 10], [30, 10]]).max() <= 4


def test_the_seed_decides():
    labels, groups = drawn(3)
    first, again, other = (divide_groups(labels, groups, (0.6, 0.4), seed)[0] for seed in (1, 1, 2))
    assert first.tolist() == again.tolist() != other.tolist()


def test_a_class_of_few_groups_is_brought_into_every_part():
    labels = np.array([0] * 30 + [1] * 3)
    groups = np.array([str(number) for number in range(33)], object)
    part, lacking = divide_groups(labels, groups, (0.98, 0.01, 0.01), 0)
    assert lacking is None
    assert sorted(part[30:].tolist()) == [0, 1, 2]


def numbered(groups, extra=None):
    labels = (np.arange(len(groups)) % 2).astype("int32")
    images = np.arange(len(groups), dtype="uint8").reshape(-1, 1, 1, 1)
    train = Arrays(PixelStore.holding(images), labels, groups=np.array(groups, object))
    return Source("numbers", ("a", "b"), {"train": train, **(extra or {})})


def test_made_splits_and_folds_share_no_group():
    groups = [f"p{number // 5}" for number in range(100)]
    made = make_splits(numbered(groups), 0.2, 0.1, 0)
    seen = [set(examples.groups.tolist()) for examples in made.values()]
    assert sum(map(len, seen)) == len(set().union(*seen)) == 20
    loaded = data.load(numbered(groups))
    parts = data.folds(loaded, 3)
    held = [set(part.splits["validation"].examples.groups.tolist()) for part in parts]
    assert sum(map(len, held)) == len(set().union(*held))
    for part in parts:
        assert not set(part.splits["train"].examples.groups) & set(part.splits["validation"].examples.groups)
        assert not set(part.splits["train"].examples.groups) & set(part.splits["test"].examples.groups)


def test_too_few_groups_of_a_class_are_an_error():
    with pytest.raises(DataError, match=r"^numbers: class 'a' is in too few groups to be in train, test, validation"):
        make_splits(numbered(["x"] * 20 + ["y"] * 20), 0.1, 0.1, 0)
    loaded = data.load(numbered([f"p{number // 10}" for number in range(60)]))
    with pytest.raises(DataError, match="too few groups for 6 folds"):
        data.folds(loaded, 6)


@pytest.fixture(scope="module")
def patients(tmp_path_factory):
    """Ten patients of three images in each of two classes."""
    root = tmp_path_factory.mktemp("data") / "scans"
    for label in ("ill", "well"):
        for number in range(30):
            write_image(root / label / f"{label}{number // 3}_{number % 3}.png", (9 * number, 90, 90), (8, 8), number)
    return root


PATTERN = r"/([^/]*)_\d+\.png"


def test_a_pattern_is_as_a_column(patients):
    by_pattern = data.load(patients, group=PATTERN)
    files = sorted(patients.rglob("*.png"))
    rows = [f"{f.relative_to(patients).as_posix()},{f.parent.name},{f.name.split('_')[0]}" for f in files]
    table = patients / "list.csv"
    table.write_text("path,label,group\n" + "\n".join(rows) + "\n")
    by_column = data.load(table)
    plain = data.load(patients)
    table.unlink()
    assert by_pattern.fingerprint == plain.fingerprint != by_column.fingerprint
    for split in by_pattern.splits:
        assert by_pattern.files(split) == by_column.files(split)
        for pair in zip(getattr(by_pattern, split), getattr(by_column, split), strict=True):
            assert all(np.array_equal(one, other) for one, other in zip(*pair, strict=True))
    patient = [{name.split("_")[0] for name in by_pattern.files(split)} for split in by_pattern.splits]
    assert sum(map(len, patient)) == 20
    assert sum(len({n.split("_")[0] for n in plain.files(split)}) for split in plain.splits) > 20


def test_what_is_no_image_need_not_match(patients):
    note = patients / "ill" / "notes.txt"
    note.write_text("by hand")
    try:
        assert data.load(patients, group=PATTERN).splits["train"].size > 0
    finally:
        note.unlink()


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("ill", "capture group"),
        ("(", "regular expression"),
        (r"well(\d+)_", r"ill/ill0_0\.png does not match"),
        (r"/\w+(x?)", r"ill/ill0_0\.png has an empty group"),
    ],
)
def test_patterns_that_cannot_be_used_are_refused(patients, pattern, words):
    with pytest.raises(UsageError, match=words) as error:
        data.load(patients, group=pattern)
    assert "\n" not in str(error.value)
    if "regular" in words or "capture" in words:
        with pytest.raises(ConfigError, match=r"^group must be"):
            Config(group=pattern)


def test_arrays_have_no_names_for_a_pattern():
    with pytest.raises(DataError, match="arrays have none"):
        data.load((np.zeros((40, 8, 8, 1), "uint8"), np.arange(40) % 2), group="(.*)")


def test_given_splits_that_share_a_group_are_an_error(split_folder):
    with pytest.raises(DataError, match=r"group '00' is in \w+ \(\w+/\w+/00.png\) and in \w+"):
        data.load(split_folder, group=r"/(\d+)\.png")


@pytest.mark.parametrize("format", ["tfrecord", "webdataset", "parquet"])
def test_a_packed_folder_keeps_groups_and_weights(patients, tmp_path, monkeypatch, format):
    if format == "parquet":
        pytest.importorskip("pyarrow")
    monkeypatch.setenv("KERASTRICKS_CACHE", str(tmp_path / "cache"))
    rows = [
        f"{f.relative_to(patients).as_posix()},{f.parent.name},{f.name.split('_')[0]},{number % 4 / 3}"
        for number, f in enumerate(sorted(patients.rglob("*.png")))
    ]
    table = patients / "list.csv"
    table.write_text("path,label,group,weight\n" + "\n".join(rows) + "\n")
    before = data.load(table)
    data.pack(table, tmp_path / "packed", format=format)
    table.unlink()
    after = data.load(tmp_path / "packed")
    assert after.fingerprint == before.fingerprint
    for split in before.splits:
        one, other = before.splits[split].examples, after.splits[split].examples
        assert one.groups.tolist() == other.groups.tolist()
        assert one.weights.tolist() == other.weights.tolist()
        assert list(one.names) == list(other.names)
