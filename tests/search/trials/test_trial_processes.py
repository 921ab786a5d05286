"""Processes of trials, with a stand-in that imports nothing and does as its job says."""

import os
import signal
import sys
import time

import pytest

from kerastricks.search.trials import processes
from kerastricks.search.trials.processes import Processes, TrialProcess

pytestmark = pytest.mark.tensorflow_only

STAND_IN = f"""#!{sys.executable} -S
import json, os, signal, sys, time
say = lambda **event: print(json.dumps(event), flush=True)
started = os.environ["STARTED"]
with open(started, "a") as file:
    file.write(str(os.getpid()) + "\\n")
mode = os.environ.get("MODE", "")
if mode == "dies while it imports":
    print("MemoryError: no room", file=sys.stderr, flush=True)
    os._exit(9)
line = sys.stdin.readline()
if not line:
    os._exit(3)
job = json.loads(line)
if mode == "dies before it has its job" and len(open(started).readlines()) == 1:
    os._exit(1)
say(event="begun")
log = open(job["log"], "a")
os.dup2(log.fileno(), 2)
what = job["job"]
if what == "kill":
    print("  last words  \\n\\n", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
if what == "exit":
    print("Traceback\\nValueError: " + "x" * 500, file=sys.stderr, flush=True)
    os._exit(4)
if what == "wait":
    signal.signal(signal.SIGTERM, lambda *a: (say(event="interrupted"), os._exit(0)))
    say(event="epoch", epoch=0, epochs=0, metrics={{}})
    while True:
        time.sleep(0.01)
if what == "fail":
    say(event="failed", kind="diverged", reason="the loss is nan")
    os._exit(0)
for epoch in range(1, 4):
    say(event="epoch", epoch=epoch, epochs=3, metrics={{}})
    if not json.loads(sys.stdin.readline())["go_on"]:
        say(event="done", status="paused")
        os._exit(0)
say(event="done", status="completed")
"""


@pytest.fixture
def environment(tmp_path, monkeypatch):
    program = tmp_path / "python"
    program.write_text(STAND_IN)
    program.chmod(0o755)
    monkeypatch.setattr(processes.sys, "executable", str(program))
    return {**os.environ, "STARTED": str(tmp_path / "started")}


def started(environment):
    """Process ids, in the order they came."""
    try:
        with open(environment["STARTED"]) as file:
            return [int(line) for line in file]
    except FileNotFoundError:
        return []


def wait_for(condition):
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.fixture
def pool(environment):
    pool = Processes(environment)
    yield pool
    pool.close()


def run(pool, job, log, go_on=lambda epoch: True, **options):
    seen = []
    for event in pool.run({"job": job}, log, **options):
        if event["event"] == "epoch":
            pool.answer(go_on(event["epoch"]))
        seen.append(event)
    return seen


def test_a_job_says_its_epochs_and_is_answered(pool, tmp_path):
    seen = run(pool, "train", tmp_path / "log")
    assert [event["event"] for event in seen] == ["epoch", "epoch", "epoch", "done"]
    seen = run(pool, "train", tmp_path / "log", go_on=lambda epoch: epoch < 2)
    assert [event.get("epoch") for event in seen] == [1, 2, None]
    assert seen[-1] == {"event": "done", "status": "paused"}


def test_each_job_has_a_process_of_its_own_and_the_next_one_warms_up(pool, tmp_path, environment):
    for event in pool.run({"job": "train"}, tmp_path / "log"):
        wait_for(lambda: len(started(environment)) == 2)  # while this one works
        if event["event"] == "epoch":
            pool.answer(True)
    run(pool, "train", tmp_path / "log", warm_next=False)
    assert len(started(environment)) == 2
    run(pool, "train", tmp_path / "log", warm_next=False)
    assert len(set(started(environment))) == 3


def test_failure_that_it_tells_is_passed_on(pool, tmp_path):
    assert run(pool, "fail", tmp_path / "log", warm_next=False) == [
        {"event": "failed", "kind": "diverged", "reason": "the loss is nan"}
    ]


def test_killed_process_has_failed_with_signal_and_last_words(pool, tmp_path):
    (event,) = run(pool, "kill", tmp_path / "log", warm_next=False)
    assert (event["event"], event["kind"]) == ("failed", "crash")
    assert event["reason"] == (
        "its process was killed by SIGKILL (the system does that where memory runs out); its last line: last words"
    )


def test_process_that_ends_has_failed_with_code_and_one_short_line(pool, tmp_path, environment):
    (event,) = run(pool, "exit", tmp_path / "log", warm_next=False)
    assert event["reason"].startswith("its process ended with code 4; its last line: ValueError: xxx")
    assert len(event["reason"]) < 300
    assert len(started(environment)) == 1  # it had begun: whether it is tried again is for the oracle to say


@pytest.mark.parametrize("waits", [True, False])
def test_a_process_that_dies_while_it_waits_costs_nothing(pool, tmp_path, environment, waits):
    pool.warm()
    if waits:
        wait_for(lambda: started(environment))
        time.sleep(0.1)
    os.kill(pool._spare.pid, signal.SIGKILL)
    seen = run(pool, "train", tmp_path / "log", warm_next=False)
    assert [event["event"] for event in seen] == ["epoch", "epoch", "epoch", "done"]


def test_a_process_that_dies_with_its_job_in_hand_costs_nothing(tmp_path, environment):
    pool = Processes({**environment, "MODE": "dies before it has its job"})
    seen = run(pool, "train", tmp_path / "log", warm_next=False)
    assert [event["event"] for event in seen] == ["epoch", "epoch", "epoch", "done"]
    assert len(started(environment)) == 2
    pool.close()


def test_where_none_gets_to_work_it_says_why(tmp_path, environment):
    pool = Processes({**environment, "MODE": "dies while it imports"})
    seen = run(pool, "train", tmp_path / "log", warm_next=False)
    assert [event["event"] for event in seen] == ["failed"]
    assert seen[0]["reason"] == "its process ended with code 9; its last line: MemoryError: no room"
    assert len(started(environment)) == 3
    pool.close()


def alive(pid):
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False


def test_close_lets_the_one_that_works_save_and_ends_the_one_that_waits(tmp_path, environment):
    pool = Processes(environment)
    for _ in pool.run({"job": "wait"}, tmp_path / "log"):
        break  # Ctrl-C
    wait_for(lambda: len(started(environment)) == 2)
    pool.close()
    assert not any(map(alive, started(environment)))
    pool.close()  # again is no harm


def test_a_process_has_a_session_of_its_own(environment):
    one = TrialProcess(environment)
    assert os.getsid(one.pid) == one.pid  # Ctrl-C in the terminal is not for it
    one.kill()
