"""A picture of the augmentation: what is in it, and that looking changes nothing. Runs under every backend."""

import keras
import numpy as np
import pytest
from PIL import Image

from kerastricks import data
from kerastricks.data.inspection.picture import cell_size, label_of, plot_preview
from kerastricks.data.inspection.timing import Throughput
from kerastricks.errors import UsageError

COLOURFUL = "flip | pad_crop(2) | fancy_pca(3.0, 'stddev')"


def arrays(count=60, channels=3, classes=3):
    pixels = np.random.default_rng(0).integers(0, 256, (count, 8, 8, channels)).astype("uint8")
    return pixels, np.arange(count) % classes


def cells_of(path, rows, columns, side=96):
    """The images of the picture, found again: (rows, columns, side, side, 3)."""
    pixels = np.asarray(Image.open(path))
    left = pixels.shape[1] - 16 - (columns - 1) * (side + 6) + 6
    lefts = [left - 20 - side, *(left + i * (side + 6) for i in range(columns - 1))]
    tops = [pixels.shape[0] - 16 - (rows - i) * (side + 6) + 6 for i in range(rows)]
    return np.array([[pixels[y : y + side, x : x + side] for x in lefts] for y in tops])


@pytest.mark.parametrize(("stages", "on_device"), [("host", ()), ("device", ("flip", "pad_crop", "fancy_pca"))])
def test_the_picture_has_originals_and_other_versions_of_them(tmp_path, stages, on_device):
    loaded = data.load(arrays(), augment=COLOURFUL, stages=stages)
    report = data.preview(loaded, tmp_path / "look.png", images=5, draws=4, seconds=0)
    cells = cells_of(report.path, 5, 5)
    small = cells[:, :, 6::12, 6::12]  # every pixel was enlarged to 12 x 12
    np.testing.assert_array_equal(np.kron(small, np.ones((1, 1, 12, 12, 1), "uint8")), cells)
    everything = {image.tobytes() for image in arrays()[0]}
    assert all(original.tobytes() in everything for original in small[:, 0])
    assert len({version.tobytes() for version in small.reshape(-1, 8, 8, 3)}) == 25, "each draw is another one"
    assert report.device_stage == on_device
    assert report.throughput is None
    assert [path.name for path in tmp_path.iterdir()] == ["look.png"], "no temporary file is left"


def test_every_stage_is_in_the_picture(tmp_path):
    """Fancy PCA adds one colour to all pixels, on the host or on the device; both stages must be seen."""
    grey = np.broadcast_to(np.arange(100, 140, dtype="uint8")[:, None, None, None], (40, 8, 8, 3))
    loaded = data.load((grey, np.arange(40) % 2), augment="pad_crop(3) | fancy_pca(0.5, 'stddev')")
    cells = cells_of(data.preview(loaded, tmp_path / "a.png", images=4, draws=5, seconds=0).path, 4, 6)
    versions = cells[:, 1:].reshape(20, 96, 96, 3)
    assert len({version[48, 48].tobytes() for version in versions}) > 10, "4 images have 4 colours"
    borders = [(version.reshape(-1, 3) != version[48, 48]).any() for version in versions]
    assert sum(borders) > 10, "shifts: 1 in 49 draws has none"


@pytest.mark.tensorflow_only
def test_the_seed_decides(tmp_path):
    loaded = data.load(arrays(), augment=COLOURFUL)
    for name, source in {"a": loaded, "b": loaded, "c": loaded.reseeded(1)}.items():
        data.preview(source, tmp_path / f"{name}.png", seconds=0)
    first, again, other = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert first == again != other


@pytest.mark.tensorflow_only
def test_looking_does_not_change_the_training_that_follows(tmp_path):
    looked, untouched = (data.load(arrays(), augment=COLOURFUL, batch_size=16) for _ in range(2))
    data.preview(looked, tmp_path / "look.png", seconds=0.1)
    for (images, _), (others, _) in zip(looked.train, untouched.train, strict=True):
        np.testing.assert_array_equal(images, others)
    if looked.device_stage is not None:
        batch = arrays()[0][:4]
        drawn = [keras.ops.convert_to_numpy(d.device_stage(batch, training=True)) for d in (looked, untouched)]
        np.testing.assert_array_equal(*drawn)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(("images", "expected"), [(3, (1, 1, 1)), (7, (3, 2, 2)), (1000, (16, 16, 16))])
def test_every_class_comes_before_any_comes_again(tmp_path, images, expected):
    report = data.preview(data.load(arrays()), tmp_path / "a.png", images=images, draws=1, seconds=0)
    assert list(report.classes) == sorted(report.classes)
    assert sorted((report.classes.count(name) for name in "012"), reverse=True) == list(expected)


@pytest.mark.tensorflow_only
def test_images_of_files_that_are_not_kept_in_memory(image_folder, tmp_path):
    pair = [data.load(image_folder, augment="flip", memory_bytes=memory) for memory in (0, 1 << 30)]
    streamed, kept = (data.preview(loaded, tmp_path / f"{i}.png", seconds=0.1) for i, loaded in enumerate(pair))
    assert streamed.path.read_bytes() == kept.path.read_bytes()
    assert "each image decoded when it is used" in streamed.to_text()
    assert "decoded images in memory" in kept.to_text()


@pytest.mark.tensorflow_only
def test_without_ops_the_versions_are_the_originals(tmp_path):
    report = data.preview(data.load(arrays()), tmp_path / "a.png", images=2, draws=3, seconds=0)
    cells = cells_of(report.path, 2, 4)
    np.testing.assert_array_equal(cells, np.broadcast_to(cells[:, :1], cells.shape))
    assert "none: the versions are the originals" in report.to_text()


@pytest.mark.tensorflow_only
def test_the_throughput_is_that_of_the_images_consumed(monkeypatch):
    """A clock of our own: every batch takes 0.1 s and 0.05 s of CPU time."""
    loaded = data.load(arrays(), batch_size=16)
    clock = {"now": 0.0}
    monkeypatch.setattr("kerastricks.data.inspection.timing.time.perf_counter", lambda: clock["now"])
    monkeypatch.setattr("kerastricks.data.inspection.timing.time.process_time", lambda: clock["now"] / 2)

    def batches(self, step):
        while True:
            clock["now"] += 0.1
            yield np.zeros((16, 8, 8, 3)), np.zeros(16)

    monkeypatch.setattr(type(loaded), "train_from", batches)
    found = Throughput.measure(loaded, seconds=2.0)
    assert found.images_per_second == pytest.approx(160)
    assert found.cpu_us_per_image == pytest.approx(0.05 / 16 * 1e6)
    assert found.seconds == pytest.approx(2, abs=0.11)
    assert found.to_text().startswith("160 images/s, 3,125 us of CPU time an image (3")


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": 0}, "images must be 1 or more. Received: images=0"),
        ({"draws": -1}, "draws must be 1 or more. Received: draws=-1"),
        ({"seconds": float("nan")}, "seconds must be 0 or more"),
        ({"draws": 10**9}, r"show fewer images.*Received: 8 rows of 1000000001 images of 4x4 pixels"),
        ({"path": "look.jpg"}, "must be a .png"),
        ({"path": "nowhere/look.png"}, "must be a .png in a folder that is there"),
        ({"path": "taken.png"}, "taken.png exists already"),
    ],
)
def test_bad_arguments_are_refused_and_leave_nothing(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.png").write_text("mine")
    tiny = data.load((np.zeros((40, 4, 4, 1), "uint8"), np.arange(40) % 2))
    with pytest.raises(UsageError, match=message) as error:
        data.preview(tiny, options.pop("path", "look.png"), **options)
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["taken.png"]
    assert (tmp_path / "taken.png").read_text() == "mine"


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("image", "shown"),
    [((8, 8), (96, 96)), ((28, 28), (84, 84)), ((32, 32), (96, 96)), ((64, 64), (128, 128)), ((224, 200), (200, 224)),
     ((1024, 512), (128, 256)), ((4, 2000), (256, 1)), ((200, 4), (4, 200))],
)  # fmt: skip
def test_small_images_are_enlarged_by_whole_numbers_and_large_ones_reduced(image, shown):
    assert cell_size(*image) == shown


@pytest.mark.tensorflow_only
def test_long_and_strange_names_stay_beside_their_rows(tmp_path):
    names = ["word " * 40, "x" * 500, "n01_tabby_cat-Felis_catus", "Кошка", "a\nb", "\udce4", ""]
    cells = np.zeros((len(names), 3, 32, 32, 1), "uint8")
    plot_preview("title " * 100, "flip | " * 200, names, cells, tmp_path / "a.png")
    picture = Image.open(tmp_path / "a.png")
    assert picture.width == 16 + 170 + 10 + 96 + 20 + 2 * 96 + 6 + 16
    found = cells_of(tmp_path / "a.png", len(names), 3)
    assert not found.any(), "nothing is written across an image"


@pytest.mark.tensorflow_only
def test_a_name_that_the_font_lacks_becomes_a_number():
    assert [label_of(name, 4) for name in ("Кошка à", "日本語")] == ["Кошка à", "class 4"]
