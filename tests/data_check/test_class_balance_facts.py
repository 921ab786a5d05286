"""The balance of the classes in a check of images: text, JSON, page."""

import json

import numpy as np
import pytest
from html_page import Page
from scipy import stats

from kerastricks.data_check import DataReport, class_balance, write_data_page
from kerastricks.data_check.class_balance import ClassBalance, balance_advice

pytestmark = pytest.mark.tensorflow_only


def report(train, name="made"):
    names = tuple(f"class {index}" for index in range(len(train)))
    counts = {"train": train, "test": [1] * len(train)}
    return DataReport(name, sum(train), names, counts, None, {}, {}, 0, 0, ())


def test_uneven_classes_are_shown_with_ratio_effective_numbers_and_the_rarest():
    text = report([5000, 2, 500, 40, 50, 60, 70]).to_text()
    assert "imbalance 1.67e+03" in text  # over all splits
    balance = ClassBalance.of("abcdefg", [5000, 2, 500, 40, 50, 60, 70])
    assert list(balance.rarest.items()) == [("b", 2), ("d", 40), ("e", 50), ("f", 60), ("g", 70)]
    expected = sum((1 - 0.999**count) / 0.001 for count in balance.counts)
    assert balance.effective_images == pytest.approx(expected)
    assert f"effective training images {expected:,.0f} of 5,722 (beta 0.999)" in text
    assert f"as {np.exp(stats.entropy(balance.counts)):.1f} equal classes of 7" in text
    assert "class 1 2, class 3 40, class 4 50, class 5 60, class 6 70 training images" in text


def test_even_classes_and_empty_ones_have_finite_json():
    even = report([50, 60]).to_text()
    assert "rarest" not in even
    assert "effective" not in even
    found = json.loads(json.dumps(report([50, 0]).to_json(), allow_nan=False))["balance"]
    assert found["ratio"] is None
    assert found["beta"] == 0.999
    assert found["rarest"] == {"class 1": 0, "class 0": 50}


def test_advice_has_one_place_that_all_outputs_read(monkeypatch):
    assert balance_advice([100, 90]) == []
    monkeypatch.setattr("kerastricks.data_check.data_report.balance_advice", lambda counts: [f"do this about {counts}"])
    monkeypatch.setattr(class_balance, "balance_advice", lambda counts: ["do this"])
    assert "do this about [90, 3]" in report([90, 3]).to_text()
    assert report([90, 3]).to_json()["balance"]["advice"] == ["do this"]


def test_the_page_shows_the_balance(tmp_path, monkeypatch):
    monkeypatch.setattr("kerastricks.data_check.page.list_images", lambda source: None)
    write_data_page(tmp_path / "data.html", report([900, 30, 3]), "made")
    text = "".join(Page(tmp_path / "data.html").text)
    for part in ("imbalance 225", "equal classes of 3", "beta 0.999", "class 2 3, class 1 30, class 0 900"):
        assert part in text
