"""data.html shows the images of each finding side by side, escapes names and loads nothing."""

import numpy as np
import pytest
from html_page import Page
from planted_images import encoded, picture, write_planted

from kerastricks.data_check import check_data, write_data_page

pytestmark = pytest.mark.tensorflow_only


def test_each_kind_has_a_part_with_its_pictures(tmp_path):
    faults = write_planted(tmp_path / "images")
    report = check_data(tmp_path / "images")
    write_data_page(tmp_path / "data.html", report, tmp_path / "images")
    page = Page(tmp_path / "data.html")
    assert set(faults) <= set(page.ids)
    shown = sum(len(files) for kind, groups in faults.items() for files in groups if kind != "unreadable")
    assert page.count("img") == shown
    assert all(one.startswith(("data:image/", "#")) for one in page.references)
    text = "".join(page.text)
    assert "train/dog/conflict.png" in text
    assert "labels were not checked" in text
    assert (tmp_path / "data.html").stat().st_size < 1_000_000


def test_names_are_escaped_and_arrays_shown(tmp_path):
    nasty = "<img src=x onerror=alert(1)>"
    (tmp_path / "i" / nasty).mkdir(parents=True)
    (tmp_path / "i" / "b").mkdir()
    for number, name in enumerate((f"{nasty}/1.png", f"{nasty}/2.png", "b/1.png", "b/2.png")):
        (tmp_path / "i" / name).write_bytes(encoded(picture(number // 2)))
    write_data_page(tmp_path / "data.html", check_data(tmp_path / "i"), tmp_path / "i")
    page = Page(tmp_path / "data.html")
    assert page.count("img") == 4
    x = np.stack([np.asarray(picture(seed // 2, side=20)) for seed in range(4)])
    write_data_page(tmp_path / "arrays.html", check_data((x, [0, 0, 1, 1])), (x, [0, 0, 1, 1]))
    assert Page(tmp_path / "arrays.html").count("img") == 4
