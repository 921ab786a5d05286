"""clean.csv leaves out what it says, keeps the rest bit for bit, and touches no image."""

import csv
import shutil

import numpy as np
import pytest
from planted_images import encoded, picture, write_planted

from kerastricks.data import load
from kerastricks.data_check import check_data, write_clean
from kerastricks.errors import DataError

pytestmark = pytest.mark.tensorflow_only

LEFT_OUT = {
    "train/cat/cut.jpg", "train/cat/black.png", "train/cat/02.png", "train/dog/conflict.png", "train/cat/12.png",
    "train/dog/near-conflict.jpg", "train/cat/copy.png", "train/cat/04.png", "train/dog/09.png",
}  # fmt: skip


@pytest.fixture
def planted(tmp_path):
    root = tmp_path / "images"
    write_planted(root)
    (root / "train/cow/two.png").write_bytes(encoded(picture(300)))
    return root


def test_what_is_left_loads_like_a_folder_without_the_rest(planted, tmp_path):
    before = {path: path.read_bytes() for path in planted.rglob("*") if path.is_file()}
    report = check_data(planted)
    left, removed = write_clean(tmp_path / "cleaned", report, planted, list_removed=True)
    with (tmp_path / "cleaned/removed.csv").open() as file:
        rows = list(csv.DictReader(file))
    gone = {row["path"].removeprefix(f"{planted}/") for row in rows}
    near = {name for name in gone if "near-" in name or name == "train/cat/08.png"}
    assert gone - near == LEFT_OUT - near
    assert len(near) == 5  # four of five variants, and the conflict's
    assert removed == len(rows)
    assert {path: path.read_bytes() for path in planted.rglob("*") if path.is_file()} == before
    for name in gone:
        (planted / name).unlink()
    folder = load(planted, image_size=16, batch_size=4)
    table = load(tmp_path / "cleaned/clean.csv", image_size=16, batch_size=4)
    assert table.class_names == folder.class_names
    for split in ("train", "validation", "test"):
        assert (table.labels(split) == folder.labels(split)).all()
        assert np.array_equal(table.splits[split].examples.images, folder.splits[split].examples.images)
    assert left == sum(len(folder.labels(split)) for split in folder.splits)
    assert not table.copies


def test_without_a_list_only_the_table_is_written(planted, tmp_path):
    write_clean(tmp_path / "cleaned", check_data(planted), planted)
    assert [path.name for path in (tmp_path / "cleaned").iterdir()] == ["clean.csv"]


def test_what_cannot_be_cleaned_is_refused_and_nothing_is_written(planted, tmp_path):
    report = check_data(planted)
    (tmp_path / "there").mkdir()
    with pytest.raises(DataError, match="exists already"):
        write_clean(tmp_path / "there", report, planted)
    x = np.zeros((8, 8, 8, 1), "uint8")
    arrays = (x, np.arange(8) % 2)
    with pytest.raises(DataError, match="unpack them first"):
        write_clean(tmp_path / "new", check_data(arrays), arrays)
    shutil.rmtree(planted / "train/cow")
    (planted / "train/cow").mkdir()
    (planted / "train/cow/black.png").write_bytes((planted / "train/cat/black.png").read_bytes())
    with pytest.raises(DataError, match="'cow' would have no training image left"):
        write_clean(tmp_path / "new", check_data(planted), planted)
    assert not (tmp_path / "new").exists()
