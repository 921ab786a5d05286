"""A chief and its clients over gRPC, in one process."""

import os
import socket
import threading
import time

import pytest
from made_plan import made_folder, made_plan, metrics_of

from kerastricks.errors import SearchError
from kerastricks.search.folder import write_json
from kerastricks.search.oracle import chief, engine
from kerastricks.search.oracle.engine import Client, open_oracle, quiet, serve
from kerastricks.search.publish import Publisher
from kerastricks.search.space.parameter import Parameter

pytestmark = pytest.mark.tensorflow_only

JIT = Parameter("jit", "choice", values=(True, False))


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    for name in engine._IDENTITY:
        monkeypatch.setenv(name, "")  # so that it is put back
        os.environ.pop(name)


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def begin(plan, folder, port):
    """The oracle of a chief that serves."""
    tuner = serve(plan, folder, "127.0.0.1", port)
    thread = threading.Thread(target=tuner.search, daemon=True)
    thread.start()
    until = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return tuner.oracle, thread
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.05)


def test_workers_take_different_trials_to_the_end(tmp_path, port):
    plan = made_plan(trials=3)
    folder = made_folder(tmp_path, plan)
    oracle, _ = begin(plan, folder, port)
    one, two = (Client(plan, folder, name, "127.0.0.1", port) for name in ("one", "two"))
    first, second = one.create_trial("one"), two.create_trial("two")
    assert (first.trial_id, second.trial_id) == ("0000", "0001")
    assert one.create_trial("one").trial_id == "0000"  # its own, as after a kill
    for client, trial in ((one, first), (two, second)):
        for epoch in (1, 2, 3):
            told = client.update_trial(trial.trial_id, metrics_of(trial.hyperparameters.values, epoch), step=epoch)
            assert told.status == "RUNNING"
        trial.status = "COMPLETED"
        client.end_trial(trial)
    third = two.create_trial("two")
    assert third.trial_id == "0002"
    assert one.create_trial("one").status == "IDLE"
    # Taken away from two, it is one's; what two still says changes nothing.
    oracle.release("two")
    assert one.create_trial("one").trial_id == "0002"
    one.update_trial("0002", metrics_of(third.hyperparameters.values, 1), step=1)
    third.status = "COMPLETED"
    one.end_trial(third)
    assert two.update_trial("0002", {"val_accuracy": 0.0}, step=2).status == "STOPPED"
    assert one.create_trial("one").status == "STOPPED"
    assert oracle.is_over
    records = oracle.records()
    assert [(record.trial, record.status, record.attempts) for record in records] == [
        ("0000", "completed", 1),
        ("0001", "completed", 1),
        ("0002", "completed", 1),
    ]
    calm = open_oracle(plan, made_folder(tmp_path, plan, "calm"))  # whatever this shell has been used for
    assert [calm.create_trial(name).hyperparameters.values for name in "abc"] == [one.values for one in records]


def test_median_rule_and_values_that_are_true_or_false_come_over(tmp_path, port):
    plan = made_plan("grid", (JIT,), trials=2)
    folder = made_folder(tmp_path, plan)
    oracle, _ = begin(plan, folder, port)
    oracle.first_steps = 1
    client = Client(plan, folder, "far", "127.0.0.1", port)
    trial = client.create_trial("far")
    assert bool(trial.hyperparameters.values["jit"]) is True
    oracle._curve = lambda trial: {1: 0.5 if trial.status == "COMPLETED" else 0.1}
    for other in ("a", "b", "c", "d"):
        oracle.trials[other] = type(trial)(trial.hyperparameters, other, "COMPLETED")
    assert client.update_trial(trial.trial_id, {"val_accuracy": 0.1}, step=1).status == "STOPPED"


def test_one_who_comes_late_is_told_that_all_is_over(tmp_path, port):
    plan = made_plan()
    folder = made_folder(tmp_path, plan)
    write_json(folder.finished, {"trials": 6})
    client = Client(plan, folder, "late", "127.0.0.1", port)  # nobody listens there
    assert client.create_trial("late").status == "STOPPED"
    assert client.update_trial("0000", {}).status == "STOPPED"
    client.end_trial(None)


def test_a_chief_that_is_gone_for_good_is_named(tmp_path, port, monkeypatch):
    monkeypatch.setattr(engine, "_CHIEF_GONE_SECONDS", 1.0)
    plan = made_plan()
    folder = made_folder(tmp_path, plan)
    client = Client(plan, folder, "far", "127.0.0.1", port)
    with pytest.raises(SearchError) as refused:
        client.create_trial("far")
    assert f"no chief answers at 127.0.0.1:{port}" in str(refused.value)
    assert f"--resume --out {folder.path}" in str(refused.value)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_chief_whose_port_cannot_be_had_ends(tmp_path, capfd):
    plan = made_plan()
    folder = made_folder(tmp_path, plan)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        tuner = serve(plan, folder, "127.0.0.1", taken.getsockname()[1])
        server = threading.Thread(target=tuner.search, daemon=True)
        server.start()
        assert not chief._watch(tuner.oracle, Publisher(plan, folder), chief.Leases(folder, 30), server)


def test_a_chief_ends_with_the_search(tmp_path):
    plan = made_plan(trials=1)
    folder = made_folder(tmp_path, plan)
    oracle = open_oracle(plan, folder, "")
    publisher, leases = Publisher(plan, folder), chief.Leases(folder, 30)
    server = threading.current_thread()

    def work():
        time.sleep(0.5)
        trial = oracle.create_trial("a")
        oracle.update_trial(trial.trial_id, {"val_accuracy": 0.5}, step=1)
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
        oracle.create_trial("a")

    threading.Thread(target=work, daemon=True).start()
    assert chief._watch(oracle, publisher, leases, server)
    assert len(folder.trials.read_text().splitlines()) == 1
    assert folder.page.exists()


def test_a_state_that_was_written_half_keeps_no_chief_from_starting(tmp_path, port):
    """keras-tuner writes a file of its own in place, which has nothing in it."""
    plan = made_plan()
    folder = made_folder(tmp_path, plan)
    begin(plan, folder, port)
    assert not list(folder.path.glob("chief.json"))
    with quiet():
        serve(plan, folder, "127.0.0.1", port)
    assert os.environ["KERASTUNER_TUNER_ID"] == "chief"
