"""The line per epoch, where no terminal is."""

import io

import pytest
from rich.console import Console

from kerastricks.callbacks import progress_line

pytestmark = pytest.mark.tensorflow_only


def shown(monkeypatch, seconds_a_step, steps):
    """What an epoch of so many steps prints, by the clock of a machine."""
    now = [1000.0]
    monkeypatch.setattr(progress_line.time, "perf_counter", lambda: now[0])
    printed = io.StringIO()
    line = progress_line.ProgressLine(8, console=Console(file=printed, width=200))
    line.set_params({"epochs": 1, "steps": steps})
    line.on_train_begin()
    line.on_epoch_begin(0)
    for batch in range(steps):
        now[0] += seconds_a_step
        line.on_train_batch_end(batch, {"loss": 1.0})
    line.on_epoch_end(0, {"loss": 1.0})
    return printed.getvalue().splitlines()


def test_a_short_epoch_is_one_line(monkeypatch):
    assert len(shown(monkeypatch, 0.05, 100)) == 1


@pytest.mark.parametrize(
    ("seconds_a_step", "shares"),
    [
        (2.0, [f"{tenth}0%" for tenth in range(1, 10)]),  # every tenth
        (0.5, ["21%", "42%", "63%"]),  # ten seconds apart or more
        (20.0, ["4%", "8%", "12%"]),  # every minute
    ],
)
def test_a_long_epoch_tells_where_it_is(monkeypatch, seconds_a_step, shares):
    lines = shown(monkeypatch, seconds_a_step, 100)
    found = [line.split()[2] for line in lines[:-1]]
    assert found[: len(shares)] == shares
    assert "loss 1.0000" in lines[0]
    assert "%" not in lines[-1]
