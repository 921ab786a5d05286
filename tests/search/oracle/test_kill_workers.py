"""A chief and its workers, killed: each trial is done once, with the values of an undisturbed search."""

import os
import socket
import subprocess
import sys

import pytest
from search_processes import Search, kill, processes_of

pytestmark = [pytest.mark.tensorflow_only, pytest.mark.slow]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    search = Search(tmp_path_factory.mktemp("undisturbed") / "search", trials=4)
    search.run()
    return search.outcomes


def test_chief_and_worker_killed(tmp_path, undisturbed):
    search = Search(tmp_path / "search", trials=4)
    process = search.start("--workers", "2")
    search.wait_for("trial_0000/run/config.json", "trial_0001/run/config.json", process=process)
    kill(processes_of(process, "oracle.chief")[0])
    kill(next(one for one in processes_of(process, "tune-worker") if "worker-0" in one.cmdline()))
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "the chief died" in errors
    assert "worker-0 died" in errors
    assert search.outcomes == undisturbed


def test_whole_family_killed_and_resumed_by_one_worker(tmp_path, undisturbed):
    search = Search(tmp_path / "search", trials=4)
    process = search.start("--workers", "2")
    search.wait_for("trial_0001/run/config.json", process=process)
    kill(process)  # all the others end by themselves
    search.run(resume=True)
    assert search.outcomes == undisturbed


def test_trial_of_a_worker_that_is_gone_for_good_is_done_by_another(tmp_path, undisturbed):
    search = Search(tmp_path / "search", trials=4)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = search.start("--workers", "1", "--port", str(port), KERASTRICKS_LEASE_SECONDS="4")
    search.wait_for("trial_0000/run/config.json", process=process)
    worker = [sys.executable, "-m", "kerastricks", "tune-worker", str(search.folder), "--chief", f"127.0.0.1:{port}"]
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    other = subprocess.Popen([*worker, "--name", "far"], env=environment, stderr=subprocess.PIPE, text=True)
    search.wait_for("workers/far.json", process=process)
    while '"trial": "0' not in (search.folder / "workers/far.json").read_text():
        assert other.poll() is None, other.communicate()[1]
    kill(other)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert search.outcomes == undisturbed
    assert {one.worker for one in search.records} == {"worker-0"}
    # One that comes when all is over ends cleanly.
    late = subprocess.run([*worker, "--name", "late"], env=environment, capture_output=True, text=True, timeout=120)
    assert late.returncode == 0, late.stderr
    assert "nothing is left" in late.stderr
