import json

import numpy as np
import pytest

import kerastricks
from kerastricks.data.kept_pixels import are_kept, can_keep, keep_pixels, open_kept_pixels

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture
def data():
    return kerastricks.data.load("digits", augment="pad_crop(1)", batch_size=32, seed=3)


def test_same_batches_and_facts(tmp_path, data):
    keep_pixels(data, tmp_path / "pixels")
    kept = open_kept_pixels(tmp_path / "pixels", "pad_crop(1)", 32, 3)
    assert kept.describe() == data.describe()
    np.testing.assert_array_equal(kept.statistics.covariance, data.statistics.covariance)
    for split in ("train", "validation", "test"):
        for expected, found in zip(getattr(data, split), getattr(kept, split), strict=True):
            for one, other in zip(expected, found, strict=True):
                np.testing.assert_array_equal(other.numpy(), one.numpy())


def test_other_batch_size_and_augmentation(tmp_path, data):
    keep_pixels(data, tmp_path / "pixels")
    kept = open_kept_pixels(tmp_path / "pixels", "", 10_000, 0)
    assert kept.batch_size == len(data.labels("train"))  # as `load` lowers it
    assert kept.augmentation.text == ""


def test_ops_for_rare_classes_know_the_classes_again(tmp_path, data):
    keep_pixels(data, tmp_path / "pixels")
    kept = open_kept_pixels(tmp_path / "pixels", "for_rare(flip)", 32, 3)
    assert kept.augmentation.image_spec.class_counts == tuple(data.class_counts()["train"])


def test_what_is_written_into_it_stays_in_the_process(tmp_path, data):
    keep_pixels(data, tmp_path / "pixels")
    kept = open_kept_pixels(tmp_path / "pixels", "", 32, 3)
    kept.splits["train"].examples.store.images[...] = 7
    again = open_kept_pixels(tmp_path / "pixels", "", 32, 3)
    assert not (again.splits["train"].examples.store.images == 7).all()


def test_written_again_is_replaced_whole(tmp_path, data):
    keep_pixels(data, tmp_path / "pixels")
    keep_pixels(data.limited(40), tmp_path / "pixels")
    assert open_kept_pixels(tmp_path / "pixels", "", 32, 3).splits["train"].size == 40
    assert [path.name for path in tmp_path.iterdir()] == ["pixels"]


def test_pixels_of_another_decoder_are_not_taken(tmp_path, data, monkeypatch):
    assert not are_kept(tmp_path / "pixels")
    keep_pixels(data, tmp_path / "pixels")
    assert are_kept(tmp_path / "pixels")
    record = tmp_path / "pixels" / "data.json"
    kept = json.loads(record.read_text())
    del kept["decoder"]  # as written before there was one
    record.write_text(json.dumps(kept))
    assert not are_kept(tmp_path / "pixels")
    assert open_kept_pixels(tmp_path / "pixels", "", 32, 3).class_names == data.class_names


def test_splits_of_one_store_stay_of_one_store(tmp_path, image_folder, split_folder):
    """Files that one split was made of lie in one file; those that came apart in three."""
    for number, (folder, files) in enumerate([(image_folder, 1), (split_folder, 3)]):
        loaded = kerastricks.data.load(folder, augment="flip", batch_size=8, validation=0.2, test=0.2, image_size=16)
        stores = {id(batches.examples.store) for batches in loaded.splits.values()}
        keep_pixels(loaded, tmp_path / f"pixels-{number}")
        kept = open_kept_pixels(tmp_path / f"pixels-{number}", "flip", 8, 0)
        assert len({id(batches.examples.store) for batches in kept.splits.values()}) == len(stores)
        assert len(list((tmp_path / f"pixels-{number}").glob("pixels-*.npy"))) == len(stores)
        assert len(stores) <= files
        assert kept.describe() == loaded.describe()
        for split in ("train", "validation", "test"):
            assert kept.files(split) == loaded.files(split)
            for expected, found in zip(getattr(loaded, split), getattr(kept, split), strict=True):
                np.testing.assert_array_equal(found[0].numpy(), expected[0].numpy())


def test_a_kill_while_it_is_written_leaves_what_was_there(tmp_path, data, monkeypatch):
    keep_pixels(data, tmp_path / "pixels")

    def killed(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr("kerastricks.data.kept_pixels.write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        keep_pixels(data.limited(40), tmp_path / "pixels")
    monkeypatch.undo()
    assert open_kept_pixels(tmp_path / "pixels", "", 32, 3).describe() == data.describe()
    keep_pixels(data, tmp_path / "pixels")
    assert [path.name for path in tmp_path.iterdir()] == ["pixels"]


def test_files_that_are_decoded_as_they_are_used_cannot_be_kept(tmp_path, data):
    from PIL import Image

    for label in "ab":
        (tmp_path / label).mkdir()
        for number in range(6):
            Image.fromarray(np.full((20, 20, 3), 40 * number, "uint8")).save(tmp_path / label / f"{number}.png")
    assert can_keep(data)
    assert not can_keep(kerastricks.data.load(tmp_path, memory_bytes=1))
