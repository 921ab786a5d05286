"""What a search shows while it runs."""

import io
import re
import subprocess
import sys

import pytest
from made_trials import trial
from rich.console import Console

from kerastricks.search.view import SearchView

pytestmark = pytest.mark.tensorflow_only


class Shown:
    """A view on a console of its own, with a clock that is set by hand."""

    def __init__(self, width=80, terminal=False, **arguments):
        self.file = io.StringIO()
        self.seconds = 0.0
        console = Console(file=self.file, width=width, force_terminal=terminal, highlight=False)
        arguments = {"total_trials": 10, "names": ["learning_rate", "batch_size"], **arguments}
        self.view = SearchView(console, "val_loss", "min", now=lambda: self.seconds, **arguments)

    def lines(self):
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.file.getvalue()).replace("\r", "\n").splitlines()


def test_a_file_gets_one_whole_line_for_each_trial_and_nothing_else():
    shown = Shown(width=80)
    values = {"learning_rate": 0.0031622, "batch_size": 64} | {f"value_{i}": i for i in range(20)}
    shown.view.begin("00", values)
    shown.view.epoch("00", 1, 3, {"val_loss": 0.9})
    shown.view.end(trial("00", 0.43125, seconds=75, **values))
    shown.view.close()
    (line,) = shown.lines()
    assert line.startswith(
        "trial 00  completed  val_loss 0.4313  1:15  best so far  learning_rate 0.00316  batch_size 64"
    )
    assert line.endswith("value_19 19")


def test_values_come_in_the_order_of_the_names_and_only_those_that_the_trial_has():
    shown = Shown(names=["schedule", "learning_rate", "warm_up_epochs"])
    shown.view.end(trial("00", 0.5, dropout=0.25, learning_rate=0.1, schedule="step"))
    assert shown.lines()[0].endswith("schedule step  learning_rate 0.1  dropout 0.25")


def test_the_mark_is_for_the_best_of_the_completed_ones():
    shown = Shown()
    for record in (
        trial("00", 0.5),
        trial("01", 0.6),
        trial("02", 0.1, "stopped", reason="worse than the median"),
        trial("03", float("nan")),
        trial("04", None, "failed", reason="killed by signal 9"),
        trial("05", 0.4),
    ):
        shown.view.end(record)
    assert ["best so far" in line for line in shown.lines()] == [True, False, False, False, False, True]


def test_a_maximum_is_marked_the_other_way_round():
    file = io.StringIO()
    view = SearchView(Console(file=file, width=200), "val_accuracy", "max", None, [])
    for name, score in (("00", 0.5), ("01", 0.4), ("02", 0.9)):
        view.end(trial(name, score, direction="max"))
    assert ["best so far" in line for line in file.getvalue().splitlines()] == [True, False, True]


def test_a_failure_says_its_reason_in_one_line():
    shown = Shown()
    shown.view.end(trial("04", None, "failed", reason="no memory\n [for] it", learning_rate=0.5))
    assert shown.lines() == ["trial 04  failed     val_loss -  0:10  no memory [for] it  learning_rate 0.5"]


@pytest.mark.parametrize("width", [80, 100, 200])
def test_on_a_terminal_no_line_is_wider_than_it(width):
    shown = Shown(width=width, terminal=True)
    values = {"learning_rate": 0.01, "batch_size": 64} | {f"a_long_name_{i}": "long value" for i in range(9)}
    for name in ("00", "01"):
        shown.view.begin(name, values)
    shown.view.epoch("01", 2, 30, {"val_loss": 0.9})
    shown.view.end(trial("00", 0.5, **values))
    shown.view.close()
    lines = shown.lines()
    assert max(map(len, lines)) <= width
    assert any(re.search(r"learning_rate 0.01.*\+\d+$", line) for line in lines if "completed" in line)


def test_running_trials_are_shown_live_on_a_terminal():
    shown = Shown(width=120, terminal=True, workers=2)
    shown.view.begin("00", {"learning_rate": 0.01})
    shown.view.begin("01", {"learning_rate": 0.02})
    shown.view.epoch("01", 2, 30, {"val_loss": 0.91})
    shown.file.truncate(0)
    shown.seconds = 65
    shown.view.tick()
    text = "\n".join(shown.lines())
    assert "trial 00  1:05  learning_rate 0.01" in text
    assert "trial 01  epoch 2/30  val_loss 0.9100  1:05  learning_rate 0.02" in text
    assert "0/10 trials" in text


def test_ticks_are_not_drawn_more_often_than_five_times_a_second():
    shown = Shown(terminal=True)
    shown.view.begin("00", {})
    before = len(shown.file.getvalue())
    for _ in range(100):
        shown.seconds += 0.001
        shown.view.tick()
    assert len(shown.file.getvalue()) == before
    shown.view.close()


def test_more_trials_than_there_is_room_for_are_counted():
    shown = Shown(terminal=True)
    for number in range(11):
        shown.view.begin(f"{number:02}", {})
    assert "… and 3 more" in "\n".join(shown.lines())
    shown.view.close()


def test_the_time_left_is_by_the_median_of_the_finished_ones():
    shown = Shown(total_trials=10, workers=2)
    for number, seconds in enumerate((10, 12, 1000)):
        shown.view.end(trial(f"{number:02}", 0.5, seconds=seconds))
    # Two run for 4 and 2 seconds, five wait.
    shown.view.begin("03", {})
    shown.seconds = 2
    shown.view.begin("04", {})
    shown.seconds = 4
    assert shown.view.seconds_left() == pytest.approx((5 * 12 + 8 + 10) / 2)


def test_before_the_first_is_finished_the_time_left_is_by_its_epochs():
    shown = Shown(total_trials=3)
    assert shown.view.seconds_left() is None
    shown.view.begin("00", {})
    shown.seconds = 10
    assert shown.view.seconds_left() is None
    shown.view.epoch("00", 2, 8, {})
    assert shown.view.seconds_left() == pytest.approx(2 * 40 + 30)


def test_without_a_total_no_time_is_promised():
    shown = Shown(total_trials=None)
    shown.view.end(trial("00", 0.5))
    assert shown.view.seconds_left() is None


def test_trials_of_an_earlier_run_count_and_are_not_printed():
    shown = Shown(records=[trial("00", 0.3)])
    shown.view.end(trial("01", 0.5))
    (line,) = shown.lines()
    assert "best so far" not in line
    shown.view.summary()
    assert shown.lines()[-1] == "2 trials: 2 completed, 0 stopped, 0 failed"


def test_the_summary_has_the_best_first_and_the_counts():
    shown = Shown()
    shown.view.records += [
        trial("00", 0.5, learning_rate=0.1),
        trial("01", 0.25, learning_rate=0.01, **{f"a_long_name_{i}": "value" for i in range(6)}),
        trial("02", 0.75, "stopped"),
        trial("03", None, "failed"),
    ]
    shown.view.summary(top=2)
    lines = shown.lines()
    assert lines[0].split() == ["trial", "val_loss", "time", "values"]
    rows = [line for line in lines if re.match(r"\d", line)]
    assert [row.split()[:2] for row in rows[:2]] == [["01", "0.2500"], ["00", "0.5000"]]
    assert lines[-1] == "4 trials: 2 completed, 1 stopped, 1 failed"
    assert max(map(len, lines)) <= 80


def test_a_search_without_any_score_says_so():
    shown = Shown()
    shown.view.end(trial("00", None, "failed", reason="no memory"))
    shown.view.summary()
    assert shown.lines()[1:] == ["no trial has a val_loss", "1 trials: 0 completed, 0 stopped, 1 failed"]


def test_it_loads_neither_keras_nor_tensorflow():
    code = "import sys, kerastricks.search.view as v; print({'keras', 'tensorflow', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
