"""trials.jsonl and the order of trials."""

import json

import pytest
from made_trials import made_trials, trial

from kerastricks.errors import SearchError
from kerastricks.search.trial_record import counts, ranked, read_records, write_records

pytestmark = pytest.mark.tensorflow_only


def test_records_survive_the_file(tmp_path):
    records = made_trials(12)
    write_records(tmp_path / "trials.jsonl", records)
    assert read_records(tmp_path / "trials.jsonl") == records
    assert [path.name for path in tmp_path.iterdir()] == ["trials.jsonl"]


def test_what_is_no_number_is_null():
    curve = [{"epoch": 1, "val_loss": float("inf")}]
    line = trial("00", float("nan"), curve=curve, learning_rate=float("-inf")).line()
    found = json.loads(line, parse_constant=lambda name: pytest.fail(name))
    assert (found["score"], found["curve"][0]["val_loss"], found["values"]["learning_rate"]) == (None, None, None)


def test_a_name_with_line_separators_is_one_line(tmp_path):
    record = trial("00", 0.5, schedule="a\u2028b\nc")
    assert record.line().count("\n") == 1
    write_records(tmp_path / "trials.jsonl", [record])
    assert read_records(tmp_path / "trials.jsonl") == [record]


def test_no_file_is_no_trial(tmp_path):
    assert read_records(tmp_path / "trials.jsonl") == []


@pytest.mark.parametrize("damage", ['{"trial": "07", "sta', '{"trial": "07"}', "[1]", "{}"])
def test_a_damaged_line_is_named(tmp_path, damage):
    path = tmp_path / "trials.jsonl"
    path.write_text(trial("00", 0.5).line() + damage + "\n")
    with pytest.raises(SearchError, match=r"trials.jsonl, line 2: must be a finished trial") as caught:
        read_records(path)
    assert "\n" not in str(caught.value)


def test_completed_ones_come_first_then_the_better_then_the_earlier():
    records = [
        trial("00", 0.1, "stopped"),
        trial("01", 0.5),
        trial("02", 0.3),
        trial("03", None, "failed"),
        trial("04", 0.3),
        trial("05", float("nan")),
    ]
    assert [record.trial for record in ranked(records)] == ["02", "04", "01", "00"]
    assert counts(records) == {"completed": 4, "stopped": 1, "failed": 1}


def test_the_highest_is_first_where_the_maximum_is_asked():
    records = [trial("00", 0.1, direction="max"), trial("01", 0.5, direction="max")]
    assert [record.trial for record in ranked(records)] == ["01", "00"]
