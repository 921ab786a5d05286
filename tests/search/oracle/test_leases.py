"""When a chief gives up a worker, on a clock made by hand."""

import json

import pytest
from made_plan import made_folder, made_plan

from kerastricks.search.oracle.chief import Leases

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture
def folder(tmp_path):
    folder = made_folder(tmp_path, made_plan())
    folder.workers.mkdir()
    return folder


def beat(folder, name, number):
    (folder.workers / f"{name}.json").write_text(json.dumps({"beat": number}))


def test_a_worker_that_beats_is_never_given_up(folder):
    leases = Leases(folder, 30)
    for second in range(0, 200, 20):
        beat(folder, "a", second)
        assert leases.expired(["a"], 1000.0 + second) == []


def test_one_that_is_silent_is_given_up_once(folder):
    leases = Leases(folder, 30)
    beat(folder, "a", 5)
    assert leases.expired(["a"], 100.0) == []
    assert leases.expired(["a"], 130.0) == []  # as long as it may
    assert leases.expired(["a"], 130.1) == ["a"]
    assert leases.expired(["a"], 130.2) == []  # it has another lease, should it have another trial


def test_only_the_silent_one_is_given_up(folder):
    leases = Leases(folder, 30)
    for second, number in ((0, 1), (20, 2), (40, 3)):
        beat(folder, "a", number)
        beat(folder, "b", 1)
        found = leases.expired(["a", "b"], float(second))
    assert found == ["b"]


def test_one_that_never_wrote_has_its_time_too(folder):
    leases = Leases(folder, 30)
    assert leases.expired(["a"], 0.0) == []
    assert leases.expired(["a"], 31.0) == ["a"]


def test_a_record_that_is_being_written_is_no_silence(folder):
    leases = Leases(folder, 30)
    beat(folder, "a", 1)
    assert leases.expired(["a"], 0.0) == []
    (folder.workers / "a.json").write_text('{"bea')
    assert leases.expired(["a"], 20.0) == []
    beat(folder, "a", 2)
    assert leases.expired(["a"], 40.0) == []


def test_a_clock_of_another_machine_does_not_matter(folder):
    """It is the count that changes, also backwards: a worker that was started again counts from the start."""
    leases = Leases(folder, 30)
    beat(folder, "a", 900)
    assert leases.expired(["a"], 0.0) == []
    beat(folder, "a", 1)
    assert leases.expired(["a"], 31.0) == []
    assert leases.expired(["a"], 60.0) == []


def test_time_without_a_trial_is_not_counted(folder):
    leases = Leases(folder, 30)
    beat(folder, "a", 7)
    assert leases.expired(["a"], 0.0) == []
    assert leases.expired([], 10.0) == []  # it has ended its trial, and died
    # Started again, it takes a trial at the very count that was seen last.
    assert leases.expired(["a"], 100.0) == []
    assert leases.expired(["a"], 131.0) == ["a"]
