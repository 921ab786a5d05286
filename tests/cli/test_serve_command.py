import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest
import requests
from model_server import export_half_plus

from kerastricks import cli

pytestmark = pytest.mark.tensorflow_only
ADDRESS = "/v1/models/half/versions/1:predict"


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository")
    (folder / "half").mkdir()
    export_half_plus(folder / "half" / "1", 3)
    return folder


class Process:
    """`kerastricks serve` as a process of its own."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kerastricks", "serve", *map(str, arguments), "--port", "0", "--grpc-port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"},
        )

    def ready(self):
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        return json.loads(line)

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        output, errors = self.process.communicate(timeout=120)
        return self.process.returncode, output, errors

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


@pytest.mark.slow
def test_sigterm_lets_running_requests_be_answered_and_ends_with_0(repository):
    with Process(repository, "--json") as server:
        where = server.ready()
        assert (where["models"], where["pid"]) == (["half"], server.process.pid)
        answers, stopping = [], threading.Event()

        def ask():
            with requests.Session() as session:
                while True:
                    began_before = not stopping.is_set()
                    try:
                        found = session.post(where["url"] + ADDRESS, json={"instances": [1.0]}, timeout=60)
                    except requests.ConnectionError:
                        answers.append("refused" if not began_before else "ended with the connection")
                        return
                    answers.append(found.status_code)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for one in threads:
            one.start()
        while len(answers) < 20:
            time.sleep(0.01)
        stopping.set()
        code, _, errors = server.stop()
        for one in threads:
            one.join()
        assert code == 0, errors
        assert errors.endswith("unloaded half/1\nstopped\n")
        assert "Traceback" not in errors
        assert set(answers) <= {200, "refused", "ended with the connection"}


@pytest.mark.slow
def test_processes_share_the_ports_and_one_that_dies_is_started_again(repository):
    with Process(repository, "--processes", 2, "--json") as server:
        where = server.ready()

        def servers():
            found = []
            for one in psutil.Process(server.process.pid).children():
                with contextlib.suppress(psutil.Error):  # it has just ended
                    found += [one] if "spawn_main" in " ".join(one.cmdline()) else []
            return found

        first = servers()
        assert len(first) == 2
        for _ in range(20):
            assert requests.post(where["url"] + ADDRESS, json={"instances": [1.0]}, timeout=60).json()
        text = requests.get(f"{where['url']}/metrics", timeout=60).text
        assert 'kerastricks_requests_total{api="rest",code="200",model="half"} 20.0' in text
        time.sleep(6)  # one that dies sooner ends them all
        first[0].kill()
        end = time.monotonic() + 120
        while len({one.pid for one in servers()} - {one.pid for one in first}) != 1:
            assert time.monotonic() < end
            time.sleep(0.1)
        while True:
            assert time.monotonic() < end
            try:
                if requests.post(where["url"] + ADDRESS, json={"instances": [1.0]}, timeout=60).ok:
                    break
            except requests.ConnectionError:
                continue
        code, _, errors = server.stop()
        assert code == 0, errors
        assert "ended with code -9: started again" in errors


@pytest.mark.slow
def test_processes_end_with_the_one_that_looks_after_them(repository):
    with Process(repository, "--processes", 2, "--json") as server:
        server.ready()
        children = psutil.Process(server.process.pid).children()
        server.process.kill()
        gone, alive = psutil.wait_procs(children, 60)
        assert len(gone) >= 2
        assert not alive


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["nothing"], "nothing: no such folder: give one with trained runs"),
        ([".", "--key", "setup.cfg"], "--certificate and --key are given together"),
        ([".", "--token-file", "nothing"], "nothing: cannot be read"),
        ([".", "--token-file", "empty"], "empty: a token is one line of printable ASCII"),
        ([".", "--max-batch", "0"], "must be 1 to 4,096"),
        ([".", "--port", "70000"], "must be 0 to 65,535"),
        ([".", "--config", "empty.config", "--port", "0", "--grpc-port", "0"], "No such file"),
    ],
)
def test_a_wrong_line_is_one_line(tmp_path, monkeypatch, capsys, line, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    (tmp_path / "empty").write_text("\n")
    assert cli.run(["serve", *line]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ")
    assert message in error
    assert "\n" not in error
