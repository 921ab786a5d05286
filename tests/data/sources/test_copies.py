"""Copies that are a leak or a conflict are found while images are read, whatever their source, and nothing else is."""

import json
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from kerastricks.cli import run
from kerastricks.data import load
from kerastricks.data.sources.copies import LEAK, SameBytes, describe_same_bytes, find_same_bytes
from kerastricks.data.sources.source import Files

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture
def images(tmp_path):
    root = tmp_path / "images"
    generator = np.random.default_rng(0)
    for split in ("train", "validation", "test"):
        for name in ("cat", "dog"):
            (root / split / name).mkdir(parents=True)
            for number in range(4):
                pixels = generator.integers(0, 256, (8, 8, 3), "uint8")
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    return root


def test_a_leak_a_conflict_and_neither(images):
    shutil.copy(images / "train/cat/0.png", images / "test/cat/leak.png")
    shutil.copy(images / "train/cat/1.png", images / "train/dog/conflict.png")
    shutil.copy(images / "train/cat/2.png", images / "train/cat/twice.png")
    data = load(images)
    assert {one.kinds: set(one.files) for one in data.copies} == {
        ("leak",): {"train/cat/0.png", "test/cat/leak.png"},
        ("conflict",): {"train/cat/1.png", "train/dog/conflict.png"},
    }
    lines = describe_same_bytes(data.copies)
    assert len(lines) == 2
    assert lines[0].startswith("warning: 1 image is in several splits")
    assert "train/cat/0.png (train)" in lines[0]
    assert "test/cat/leak.png (test)" in lines[0]
    assert "train/dog/conflict.png (dog)" in lines[1]


def test_a_zip_and_files_that_stay_files_say_the_same(images):
    shutil.copy(images / "train/cat/0.png", images / "test/dog/both.png")
    archive = images.parent / "images.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(images.rglob("*.png")):
            file.write(path, path.relative_to(images))
    copies = load(images).copies
    assert copies[0].kinds == ("leak", "conflict")
    assert load(archive).copies == copies
    assert load(images, memory_bytes=0).copies == copies


def test_a_split_that_is_made_can_leak(images):
    shutil.rmtree(images / "test")
    shutil.rmtree(images / "validation")
    for number in range(8):
        shutil.copy(images / "train/cat/0.png", images / f"train/cat/copy-{number}.png")
    (one,) = load(images, test=0.4, validation=0.3).copies
    assert one.kinds == (LEAK,)
    assert set(one.splits) == {"train", "validation", "test"}


def test_the_same_checksum_is_not_enough():
    class Reader:
        path = "."

        def read(self, name):
            return name.encode()

    reader = Reader()
    splits = {name: Files([f"{name}.png"], np.zeros(1, np.int32), reader) for name in ("train", "test")}
    groups = [[("train.png", reader), ("test.png", reader)]]
    assert find_same_bytes(groups, splits, ["cat"]) == ()
    reader.read = lambda name: b""
    assert len(find_same_bytes(groups, splits, ["cat"])) == 1


def test_copies_are_plain_values_for_json():
    copies = SameBytes(("a", "b"), ("train", "test"), ("cat", "cat"))
    assert copies.to_json() == {"kinds": ["leak"], "files": ["a", "b"], "splits": ["train", "test"]}


@pytest.mark.slow
def test_a_training_warns_of_copies_and_records_them(images, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("kerastricks.runs.finishing.export_saved_model", lambda model, names, path, *more: path)
    shutil.copy(images / "train/cat/0.png", images / "test/cat/leak.png")
    shutil.copy(images / "train/cat/1.png", images / "train/dog/conflict.png")
    options = ["--model", "mlp(depth=1, width=4)", "--epochs", "1", "--set", "jit=False", "--out", str(tmp_path)]
    assert run(["train", str(images), "--name", "copies", *options]) == 0
    shown = capsys.readouterr()
    assert (shown.out + shown.err).count("warning: 1 image is in several ") == 2
    summary = json.loads((tmp_path / "copies" / "summary.json").read_text())
    assert {
        tuple(one["kinds"]): sorted(zip(one["files"], one["splits"], strict=True)) for one in summary["copies"]
    } == {
        ("leak",): [("test/cat/leak.png", "test"), ("train/cat/0.png", "train")],
        ("conflict",): [("train/cat/1.png", "train"), ("train/dog/conflict.png", "train")],
    }
