"""Rows of long logs are thinned in blocks, and rows of validation stay."""

import math

import numpy as np
import pytest

from kerastricks.doctor.rows import BLOCK, Rows, number

pytestmark = pytest.mark.tensorflow_only


def test_short_logs_are_kept_whole():
    rows = Rows(("step", "loss"), most=1000)
    for step in range(1000):
        rows.append((step, 1.0))
    assert len(rows.columns()["loss"]) == 1000
    assert rows.notes() == ()


def test_long_logs_keep_neighbours_and_all_validation_rows():
    rows = Rows(("step", "loss", "val_loss"), most=4 * BLOCK)
    for step in range(100 * BLOCK):
        rows.append((step, float(step), 1.0 if step % (10 * BLOCK) == 5 else math.nan))
    columns = rows.columns()
    assert len(columns["step"]) <= 5 * BLOCK
    assert np.isfinite(columns["val_loss"]).sum() == 10
    blocks = np.unique(columns["step"] // BLOCK)
    assert (np.diff(columns["step"]) == 1).mean() > 0.9
    assert blocks[0] == 0
    assert blocks[-1] >= 80
    assert "blocks of 64 consecutive ones were read, one of" in rows.notes()[0]


def test_cells_are_numbers_or_missing():
    assert number("50%") == 0.5
    assert math.isnan(number(""))
    assert math.isnan(number(None))
    assert number("nan") == math.inf
    assert math.isnan(number("nan", loss=False))
    with pytest.raises(ValueError, match="two"):
        number("two")
