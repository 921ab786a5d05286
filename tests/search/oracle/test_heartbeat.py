"""What a worker says about itself."""

import json
import os
import threading
import time

import pytest

from kerastricks.files import try_read_json
from kerastricks.search.oracle import worker as heartbeat
from kerastricks.search.oracle.worker import Heartbeat

pytestmark = pytest.mark.tensorflow_only


def wait_for(condition, seconds=10.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.01)


def test_it_beats_without_being_asked_to(tmp_path, quick):
    Heartbeat(tmp_path / "workers", "far")
    path = tmp_path / "workers" / "far.json"
    wait_for(path.exists)
    first = try_read_json(path)
    assert first["pid"] == os.getpid()
    wait_for(lambda: try_read_json(path)["beat"] >= first["beat"] + 3)


def test_what_is_said_stays_until_it_is_said_anew(tmp_path, quick):
    heart = Heartbeat(tmp_path, "far")
    path = tmp_path / "far.json"
    heart.say(trial="0003", epoch=0, metrics={})
    heart.say(epoch=2)
    record = try_read_json(path)
    assert (record["trial"], record["epoch"], record["metrics"]) == ("0003", 2, {})
    beat = record["beat"]
    wait_for(lambda: try_read_json(path)["beat"] > beat)
    assert try_read_json(path)["trial"] == "0003"
    heart.say(trial=None)
    assert try_read_json(path)["trial"] is None


def test_a_reader_never_sees_half_a_record(tmp_path, quick):
    heart = Heartbeat(tmp_path, "far")
    wait_for((tmp_path / "far.json").exists)
    done = threading.Event()

    def talk():
        for number in range(200):
            heart.say(metrics={str(key): number for key in range(300)})
        done.set()

    threading.Thread(target=talk).start()
    while not done.is_set():
        json.loads((tmp_path / "far.json").read_text())


def test_a_disk_that_takes_nothing_ends_no_worker(tmp_path, quick):
    heart = Heartbeat(tmp_path / "workers", "far")
    wait_for((tmp_path / "workers" / "far.json").exists)
    with heart._lock:  # between two beats
        for path in (tmp_path / "workers").iterdir():
            path.unlink()
        (tmp_path / "workers").rmdir()
    heart.say(trial="0001")
    (tmp_path / "workers").mkdir()
    wait_for((tmp_path / "workers" / "far.json").exists)
    assert try_read_json(tmp_path / "workers" / "far.json")["trial"] == "0001"
