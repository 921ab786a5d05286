"""`kerastricks data-dispatcher`, `data-worker` and `train --data-service`."""

import importlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
from made_runs import summary_of
from service_processes import Cluster, listening_ports, outside_address

from kerastricks.cli import run
from kerastricks.data.service import address as reach

pytestmark = pytest.mark.tensorflow_only

QUICK = ("--model", "plain_cnn(widths=(4,))", "--set", "batch_size=16", "--set", "precision=float32")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("dispatcher"))
    try:
        cluster.workers(1)
        yield cluster
    finally:
        cluster.close()


@pytest.mark.slow  # two processes; tests/data/service has the heart of it
def test_servers_listen_on_one_port_and_to_this_machine_alone(cluster):
    for server in cluster.servers:
        port = int(server.address.rpartition(":")[2])
        assert listening_ports(server.process.pid) == {port}
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((outside_address(), port), timeout=5)


@pytest.mark.slow  # two processes; tests/data/service has the heart of it
def test_scripts_can_read_what_is_printed(cluster):
    dispatcher, worker = (server.ready() for server in cluster.servers)
    assert dispatcher == {
        "address": cluster.address,
        "work_dir": str(cluster.work_dir),
        "pid": cluster.servers[0].process.pid,
    }
    assert worker["pid"] == cluster.servers[1].process.pid
    assert re.fullmatch(r"grpc://127\.0\.0\.1:\d+", worker["address"])


@pytest.mark.slow  # two processes; tests/data/service has the heart of it
def test_train_takes_its_batches_from_the_service(cluster, image_folder, tmp_path, capsys, monkeypatch):
    # The module, which a function of the same name hides. Score and export have nothing to do with the service.
    runs_train = importlib.import_module("kerastricks.runs.training_run")
    monkeypatch.setattr(
        runs_train, "finish", lambda run, model, data, config, progress: summary_of(data=data.describe())
    )
    where = ("--data-service", cluster.address, "--out", str(tmp_path), "--name", "far")
    assert run(["train", str(image_folder), "--epochs", "2", *QUICK, *where, "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["data"]["images"]["train"] == 30
    assert f"training batches from {cluster.address}" in captured.err
    assert "epoch 2/2" in captured.err
    # Where batches were made is no part of the run: it can be resumed without.
    assert "grpc://" not in (tmp_path / "far" / "config.json").read_text()


@pytest.mark.slow  # tests/data/test_service.py has the heart of it
def test_ctrl_c_stops_a_training_that_waits_for_its_workers(cluster, tmp_path):
    command = ["train", "digits", "--epochs", "300", *QUICK, "--data-service", cluster.address]
    process = subprocess.Popen(
        [sys.executable, "-m", "kerastricks", *command, "--out", str(tmp_path), "--name", "far"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    worker = cluster.servers[1].process
    try:
        metrics = tmp_path / "far" / "metrics.jsonl"
        for _ in range(2400):
            if metrics.exists() and metrics.read_text():
                break
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.05)
        worker.send_signal(signal.SIGSTOP)
        time.sleep(2)  # what it had made is used up: the training waits inside TensorFlow
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 130, errors
        assert f"resume with: kerastricks train --resume {tmp_path / 'far'}" in errors
        assert "Traceback" not in errors
    finally:
        process.kill()
        worker.send_signal(signal.SIGCONT)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("data-worker", "--dispatcher", "localhost:5050"), "--dispatcher must be grpc://HOST:PORT"),
        (("data-worker",), "Missing option '--dispatcher'"),
        (("data-worker", "--dispatcher", "grpc://127.0.0.1:PORT"), "no dispatcher answers (Connection refused): start"),
        (
            ("data-worker", "--dispatcher", "grpc://127.0.0.1:9", "--host", "0.0.0.0"),
            "one address of this machine that",
        ),
        (("data-worker", "--dispatcher", "grpc://127.0.0.1:9", "--host", "198.51.100.7"), "no address of this machine"),
        (("data-dispatcher", "--port", "70000"), "must be 0 to 65,535. Received: 70000"),
        (("data-dispatcher", "--port", "0", "--work-dir", "/dev/null/x"), "/dev/null/x: cannot be written to"),
        (("train", "digits", "--data-service", "here"), "--data-service must be grpc://HOST:PORT"),
        (("train", "digits", "--data-service", "grpc://127.0.0.1:PORT"), "no dispatcher answers"),
    ],
)
def test_mistakes_are_one_line(arguments, message, capsys, monkeypatch):
    monkeypatch.setattr(reach, "WAIT_SECONDS", 0.3)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = str(closed.getsockname()[1])
        assert run([argument.replace("PORT", port) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1


@pytest.mark.slow
def test_a_second_dispatcher_gets_neither_the_port_nor_the_folder(cluster, tmp_path, capsys):
    port = cluster.address.rpartition(":")[2]
    assert run(["data-dispatcher", "--port", port, "--work-dir", str(tmp_path)]) == 2
    assert f"port {port} cannot be had (Address already in use): choose another --port" in capsys.readouterr().err
    assert run(["data-dispatcher", "--port", "0", "--work-dir", str(cluster.work_dir)]) == 2
    assert "another dispatcher uses it: name another --work-dir" in capsys.readouterr().err


def test_a_damaged_journal_is_one_line(tmp_path, capsys):
    journal = tmp_path / "work" / "tf_data_dispatcher_journal" / "journal_0"
    journal.parent.mkdir(parents=True)
    journal.write_bytes(b"no journal at all, but long enough")
    assert run(["data-dispatcher", "--port", "0", "--work-dir", str(tmp_path / "work")]) == 2
    error = capsys.readouterr().err
    assert "the dispatcher cannot start from it" in error
    assert error.count("\n") == 1


def test_others_are_let_in_only_with_a_warning(tmp_path, capsys, monkeypatch):
    from kerastricks.cli import data_dispatcher

    outside = outside_address()

    def look():
        port = int(capsys.readouterr().out.strip().rpartition(":")[2])
        socket.create_connection((outside, port), timeout=5).close()
        looked.append(port)

    looked = []
    warnings = []
    monkeypatch.setattr(data_dispatcher, "wait", look)
    monkeypatch.setattr(data_dispatcher, "prepare", lambda: warnings.append(capsys.readouterr().err))
    assert run(["data-dispatcher", "--host", outside, "--port", "0", "--work-dir", str(tmp_path / "work")]) == 0
    assert len(looked) == 1
    assert "without password or encryption" in warnings[0]
    assert (tmp_path / "work").stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_servers_stop_when_they_are_told_to(cluster, number):
    server = cluster.servers[1 if number == signal.SIGINT else 0]  # the worker first
    code, errors = server.stop(number)
    assert code == 0
    assert errors.endswith("stopped\n")
    assert errors.count("\n") == 2
