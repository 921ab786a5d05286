"""Suspected labels: swapped ones are found by features, classes of one image and unreadable images are left out."""

import numpy as np
import pytest
from planted_images import encoded, picture

from kerastricks.data_check import check_data, suspects
from kerastricks.errors import MissingExtraError

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture
def images(tmp_path):
    """Grey and coloured images, of which two are in the wrong class; a class of one image; a damaged file."""
    for number in range(48):
        grey = number % 2 == 0
        image = picture(number, side=48)
        image = image.convert("L").convert("RGB") if grey else image
        wrong = number in (10, 21)
        path = tmp_path / ("grey" if grey != wrong else "colour") / f"{number:02}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(image))
    (tmp_path / "lonely").mkdir()
    (tmp_path / "lonely/one.png").write_bytes(encoded(picture(99)))
    (tmp_path / "grey/cut.png").write_bytes(encoded(picture(98))[:500])
    return tmp_path


def suspected(report):
    return {one.files[0] for one in report.of("suspect_label")}


def test_swapped_labels_are_suspected(images, monkeypatch):
    def features(listing, chosen, progress):
        generator = np.random.default_rng(0)
        names = [listing.names[index] for index in chosen]
        real = np.array([int(name[-6:-4]) % 2 for name in names])
        assert not any("lonely" in name or "cut" in name for name in names)
        for places in np.array_split(np.arange(len(chosen)), 3):
            yield places, np.eye(2)[real[places]] * 3 + generator.normal(0, 0.3, (len(places), 2))

    monkeypatch.setattr(suspects, "_features", features)
    report = check_data(images, labels=True)
    assert suspected(report) == {"colour/10.png", "grey/21.png"}
    assert "looks like" in report.of("suspect_label")[0].detail
    assert "linear probe" in report.notes[0]


def test_missing_weights_are_named_before_anything_is_read(images, monkeypatch):
    monkeypatch.setattr(suspects, "PACKAGE", "no_such_package")
    monkeypatch.setattr("kerastricks.data_check.checking.measure_images", None)
    with pytest.raises(MissingExtraError, match=r"kerastricks\[weights\]"):
        check_data(images, labels=True)


@pytest.mark.slow
def test_frozen_features_find_swapped_labels(images):
    assert {"colour/10.png", "grey/21.png"} <= suspected(check_data(images, labels=True))
