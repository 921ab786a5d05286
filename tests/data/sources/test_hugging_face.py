"""Data sets of Hugging Face's datasets: made here, since no test downloads anything."""

import importlib.util
import pickle

import numpy as np
import pytest
from conftest import COLOURS
from images_of_sources import images_of

from kerastricks import data
from kerastricks.cli import run
from kerastricks.data.sources.names import check_source
from kerastricks.data.sources.reading import find_source
from kerastricks.errors import DataError, MissingExtraError

pytestmark = pytest.mark.tensorflow_only

WAY_OUT = r"datasets is not installed: pip install 'kerastricks\[hf\]'"
CLASSES = sorted(COLOURS)


@pytest.fixture
def missing(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "datasets" else real(name, *more)
    )


def test_without_the_package_the_way_out_is_named(missing, tmp_path, capsys):
    (tmp_path / "dataset_dict.json").write_text("{}")
    for source in ("hf:owner/name", tmp_path):
        with pytest.raises(MissingExtraError, match=WAY_OUT):
            data.load(source)
    assert run(["pack", "hf:owner/name", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.strip() == "error: " + WAY_OUT.replace("\\", "")


@pytest.fixture
def hf(monkeypatch, tmp_path):
    """The package, without a network."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    package = pytest.importorskip("datasets")
    monkeypatch.setattr(package.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(package.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    package.disable_progress_bars()
    return package


def dataset_of(hf, folder, label=None, names=True):
    """The images of a folder, shuffled, as a data set."""
    files = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.*g"))
    files = np.random.default_rng(0).permutation(files).tolist() if names else files
    images = [{"bytes": (folder / name).read_bytes(), "path": name if names else None} for name in files]
    labels = [CLASSES.index(name.split("/")[-2]) for name in files]
    kind = label or hf.ClassLabel(names=CLASSES)
    if label is not None:
        labels = [CLASSES[label] for label in labels] if label.dtype == "string" else labels
    features = hf.Features({"image": hf.Image(), "label": kind})
    return hf.Dataset.from_dict({"image": images, "label": labels}, features=features)


def test_a_saved_data_set_gives_what_the_folder_gives(hf, image_folder, tmp_path):
    dataset_of(hf, image_folder).save_to_disk(tmp_path / "saved")
    assert images_of(tmp_path / "saved") == images_of(image_folder)
    loaded, expected = (
        data.load(source, batch_size=4, memory_bytes=0) for source in (tmp_path / "saved", image_folder)
    )
    assert loaded.fingerprint == expected.fingerprint
    for (images, labels), (others, other_labels) in zip(
        loaded.train_from(11).take(2), expected.train_from(11).take(2), strict=True
    ):
        np.testing.assert_array_equal(images, others)
        np.testing.assert_array_equal(labels, other_labels)


def test_its_splits_are_kept(hf, split_folder, tmp_path):
    splits = {
        name: dataset_of(hf, split_folder / split, names=False)
        for name, split in (("train", "train"), ("validation", "validation"), ("test", "test"))
    }
    splits["unsupervised"] = splits["test"]
    hf.DatasetDict(splits).save_to_disk(tmp_path / "saved", num_shards=dict.fromkeys(splits, 2))
    class_names, found = images_of(tmp_path / "saved")
    expected_names, expected = images_of(split_folder)
    assert class_names == expected_names
    assert [(split, *rest) for split, _, *rest in found] == [(split, *rest) for split, _, *rest in expected]
    assert found[0][1][0] == "test/00000000"  # they have no names


def test_names_of_strings_and_rows_that_were_selected(hf, image_folder, tmp_path):
    dataset = dataset_of(hf, image_folder, hf.Value("string")).select(range(30, 5, -1))
    dataset.save_to_disk(tmp_path / "saved")
    files = find_source(tmp_path / "saved").splits["train"]
    sent = pickle.loads(pickle.dumps(files))
    assert len(files) == 25
    for name, label in zip(files.names, files.labels, strict=True):
        assert sent.reader.read(name) == (image_folder / name).read_bytes()
        assert CLASSES[label] == name.split("/")[0]


def test_a_data_set_of_a_cache_by_its_name(hf, image_folder, tmp_path, monkeypatch):
    dataset = dataset_of(hf, image_folder)
    asked = []

    def load_dataset(name, config):
        asked.append((name, config))
        return hf.DatasetDict(train=dataset.rename_column("label", "fine"))

    monkeypatch.setattr(hf, "load_dataset", load_dataset)
    check_source("hf:owner/name:config?label=fine")
    source = find_source("hf:owner/name:config?label=fine")
    assert asked == [("owner/name", "config")]
    assert (source.name, source.class_names, len(source.splits["train"])) == ("name", tuple(CLASSES), 36)


def test_a_name_that_no_cache_holds_is_one_line(hf, tmp_path, capsys):
    assert run(["pack", "hf:owner/no-such-name", str(tmp_path / "out")]) == 2
    line = capsys.readouterr().err
    assert "without a network only what was downloaded before can be read" in line
    assert line.count("\n") == 1


def test_what_cannot_be_used_is_named(hf, image_folder, tmp_path):
    dataset = dataset_of(hf, image_folder)
    cases = {
        "a": (
            dataset.remove_columns("label"),
            r"no column of labels called .*its columns are image: .*a\?lab",
        ),
        "b": (dataset.cast_column("label", hf.Value("float32")), "column 'label' is float: regression targets"),
        "c": (hf.DatasetDict(train=dataset, training=dataset), "train is there twice, as train and as training"),
        "d": (hf.DatasetDict(test=dataset), "has no split train, only test"),
    }
    for name, (saved, message) in cases.items():
        saved.save_to_disk(tmp_path / name)
        with pytest.raises(DataError, match=message) as error:
            find_source(tmp_path / name)
        assert "\n" not in str(error.value)
    (tmp_path / "d" / "test" / "state.json").write_text("{")
    with pytest.raises(DataError, match=r"cannot be read .*save it again with save_to_disk"):
        find_source(tmp_path / "d")


def test_datasets_reads_what_pack_writes(hf, image_folder, tmp_path):
    packed = data.pack(image_folder, tmp_path / "packed", format="parquet")
    files = [str(file) for file in (tmp_path / "packed").glob("*.parquet")]
    dataset = hf.Dataset.from_parquet(files, cache_dir=str(tmp_path / "cache"))
    assert dataset.features["label"].names == packed["class_names"]
    dataset = dataset.cast_column("image", hf.Image(decode=False))
    assert {row["image"]["path"]: row["image"]["bytes"] for row in dataset} == {
        file.relative_to(image_folder).as_posix(): file.read_bytes() for file in image_folder.rglob("*.jpg")
    }
