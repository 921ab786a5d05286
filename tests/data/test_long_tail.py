"""Long-tailed subsets: the published numbers, the images that stay, and what is written."""

import csv
import json

import numpy as np
import pytest
from conftest import write_image

from kerastricks.cli import run
from kerastricks.data import long_tail_counts, long_tail_indices, write_long_tail
from kerastricks.data.sources.reading import find_source
from kerastricks.errors import DataError

pytestmark = pytest.mark.tensorflow_only


@pytest.mark.parametrize(("ratio", "total"), [(10, 20_431), (50, 13_996), (100, 12_406)])
def test_the_counts_of_cifar_10_are_the_published_ones(ratio, total):
    counts = long_tail_counts(5000, 10, ratio)
    assert sum(counts) == total
    assert (counts[0], counts[-1]) == (5000, 5000 // ratio)


def test_ends_are_exact_where_powers_are_not():
    for ratio in (1, 3, 7, 30, 3000):
        assert long_tail_counts(3000, 4, ratio)[-1] == 3000 // ratio
    assert long_tail_counts(40, 3, 1) == [40, 40, 40]


def test_the_seed_chooses_the_images_and_not_their_number():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], 40))
    first, again, other = (long_tail_indices(labels, 3, 40, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert first.tolist() != other.tolist()
    for chosen in (first, other):
        assert np.bincount(labels[chosen]).tolist() == [40, 6, 1]
        assert (np.diff(chosen) > 0).all()


def test_a_class_below_its_share_keeps_all_its_images():
    labels = np.repeat([0, 1, 2], [100, 5, 50])
    assert np.bincount(labels[long_tail_indices(labels, 3, 10)]).tolist() == [100, 5, 10]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((100, 1, 10), "two or more classes. Received: 1"),
        ((100, 3, 0.5), "ratio must be 1 or more.*ratio=0.5"),
        ((100, 3, float("nan")), "ratio must be 1 or more.*ratio=nan"),
        ((100, 3, 101), "ratio must be at most the 100 images of the largest class.*ratio=101"),
    ],
)
def test_what_makes_no_tail_is_refused(arguments, named):
    with pytest.raises(DataError, match=named):
        long_tail_counts(*arguments)


@pytest.fixture
def images(tmp_path):
    """Three classes of 8, 8 and 1 training images, of 2 test images each."""
    for label, (name, count) in enumerate({"a": 8, "b": 8, "c": 1}.items()):
        for index in range(count):
            write_image(tmp_path / "images/train" / name / f"{index}.png", (60 * label, 9, 9), seed=10 * label + index)
        for index in range(2):
            write_image(tmp_path / "images/test" / name / f"{index}.png", (60 * label, 9, 9), seed=90 + index)
    return tmp_path / "images"


def test_files_become_a_table_and_the_test_split_stays_whole(images, tmp_path, capsys):
    assert run(["longtail", str(images), str(tmp_path / "tail"), "--ratio", "4"]) == 0
    said = capsys.readouterr()
    assert "class 'c' has 1 training images, fewer than its share of 2: all are taken" in said.err
    assert f"kerastricks train {tmp_path / 'tail/long_tail.csv'}" in said.out.replace("\n", "")
    with (tmp_path / "tail/long_tail.csv").open() as file:
        rows = list(csv.DictReader(file))
    source = find_source(tmp_path / "tail/long_tail.csv")
    assert source.class_names == ("a", "b", "c")
    assert sum(row["split"] == "test" for row in rows) == len(source.splits["test"]) == 6
    counted = [sum(row["split"] == "train" and row["label"] == name for row in rows) for name in "abc"]
    assert counted == [8, 4, 1]
    assert run(["longtail", str(images), str(tmp_path / "tail")]) == 2
    assert "exists already" in capsys.readouterr().err


def test_arrays_are_packed_and_groups_and_weights_stay(images, tmp_path):
    labels = np.repeat([0, 1], 12)
    found = write_long_tail((np.zeros((24, 4, 4, 1), "uint8"), labels), tmp_path / "packed", ratio=6, seed=3)
    assert (found.data, found.counts, found.images) == (str(tmp_path / "packed"), [12, 2], {"train": 14})
    assert json.loads(json.dumps(found.to_json()))["ratio"] == 6
    assert len(find_source(tmp_path / "packed").splits["train"]) == 14
    table = tmp_path / "table.csv"
    rows = [f"{images}/train/{name}/{i}.png,{name},train,g{i},0.5" for name in "ab" for i in range(8)]
    table.write_text("\n".join(["path,label,split,group,weight", *rows]))
    found = write_long_tail(table, tmp_path / "weighted", ratio=2)
    lines = (tmp_path / "weighted/long_tail.csv").read_text().splitlines()
    assert lines[0] == "path,label,split,group,weight"
    assert len(lines) == 13
    assert set(lines[1:]) <= set(rows)
