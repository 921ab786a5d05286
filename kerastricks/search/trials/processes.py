"""Processes that trials run in, one each and a spare; their messages; memory and GPUs of this machine.

A message between a search and the process of a trial is a line of JSON on the standard streams.
"""

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import psutil

from kerastricks.errors import SearchError

_STARTS = 3
_STOP_SECONDS = 60  # a step and a checkpoint; then it is killed
_IMPORTED_BYTES = 800 << 20  # a process that has imported TensorFlow and waits
_CGROUP = Path("/sys/fs/cgroup")


class TrialProcess:
    """A process that is importing, or ready for its one job.

    It has a session of its own: Ctrl-C in the terminal goes to the search, which stops the process. It ends when the
    search is gone.

    Args:
        environment: of the process.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (as long as the process)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "kerastricks.search.trials.trial_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
            env=dict(environment),
            start_new_session=True,
        )
        self._log: Path | None = None
        self.has_begun = False  # whether it has received its job

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def start(self, job: Mapping[str, Any], log: Path) -> None:
        """Sends the job.

        Args:
            job: name and arguments of a function of `jobs`.
            log: where its standard error goes.
        """
        self._log = log
        self._send({**job, "log": str(log)})

    def events(self) -> Iterator[dict[str, Any]]:
        """Yields its events up to the last, "done", "failed" or "interrupted". A process that dies has failed."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line)
            if event["event"] == "begun":
                self.has_begun = True
                continue
            yield event
            if event["event"] in ("done", "failed", "interrupted"):
                self._process.wait()
                return
        yield {"event": "failed", "kind": "crash", "reason": self._reason(self._process.wait())}

    def answer(self, go_on: bool) -> None:
        """Answers an epoch: whether to continue."""
        self._send({"go_on": go_on})

    def stop(self) -> None:
        """Has the process save its checkpoint, and waits until it is gone."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            # A process that hangs sends nothing more and does not end: reading from it has no timeout.
            late = threading.Timer(_STOP_SECONDS, self._process.kill)
            late.start()
            try:
                # Pending events must not keep it from ending; an epoch that is reported now continues to the signal.
                for event in self.events():
                    if event["event"] == "epoch":
                        self.answer(True)
                self._process.wait()
            except OSError:
                self.kill()
            finally:
                late.cancel()
        self.close()

    def kill(self) -> None:
        """Kills the process."""
        self._process.kill()
        self._process.wait()
        self.close()

    def close(self) -> None:
        """Closes its streams."""
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        # `events` notices a dead process.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()

    def _reason(self, code: int) -> str:
        last = self._last_words()
        said = f"; its last line: {last}" if last else ""
        if code >= 0:
            return f"its process ended with code {code}{said}"
        number = signal.Signals(-code)
        guess = " (the system does that where memory runs out)" if number == signal.SIGKILL else ""
        return f"its process was killed by {number.name}{guess}{said}"

    def _last_words(self) -> str:
        try:
            if self._log is not None and self._log.exists():
                text = self._log.read_bytes()
            else:
                self._errors.seek(0)
                text = self._errors.read()
        except (OSError, ValueError):
            return ""
        lines = [line.strip() for line in text.decode(errors="replace").splitlines() if line.strip()]
        return lines[-1][:200] if lines else ""


class Processes:
    """Runs jobs in processes of their own, and keeps a spare one warm.

    Args:
        environment: of the processes.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._spare: TrialProcess | None = None
        self._busy: TrialProcess | None = None

    def warm(self) -> None:
        """Starts the spare process, unless it is there."""
        if self._spare is None:
            self._spare = TrialProcess(self._environment)

    def run(self, job: Mapping[str, Any], log: Path, warm_next: bool = True) -> Iterator[dict[str, Any]]:
        """Runs a job in a process of its own and yields its events, which `answer` answers.

        Args:
            job: name and arguments of a function of `jobs`.
            log: where its standard error goes.
            warm_next: whether a spare process is started meanwhile.
        """
        for attempt in range(_STARTS):
            self.warm()
            self._busy, self._spare = self._spare, None
            assert self._busy is not None
            self._busy.start(job, log)
            if warm_next:
                self.warm()
            for event in self._busy.events():
                # A process that dies while it waits or imports has not begun: the trial loses nothing.
                if event["event"] != "failed" or self._busy.has_begun or attempt + 1 == _STARTS:
                    yield event
            begun = self._busy.has_begun
            self._busy.close()
            self._busy = None
            if begun:
                return

    def answer(self, go_on: bool) -> None:
        """Answers an epoch of the job that runs."""
        assert self._busy is not None
        self._busy.answer(go_on)

    def close(self) -> None:
        """Stops the job that runs, which saves its state, and the spare process."""
        if self._spare is not None:
            self._spare.kill()
        if self._busy is not None:
            self._busy.stop()
        self._spare = self._busy = None


class Channel:
    """The trial's end of the messages.

    Other output goes to standard error. When the search is gone, however it died, this process ends at once: nobody
    waits for its result.
    """

    def __init__(self) -> None:
        self._out: IO[str] = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._messages: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in sys.stdin:
            self._messages.put(json.loads(line))
        os._exit(3)

    def send(self, **message: Any) -> None:
        """Sends a message."""
        self._out.write(json.dumps(message) + "\n")
        self._out.flush()

    def receive(self) -> dict[str, Any]:
        """Waits for the next message."""
        return self._messages.get()


def check_memory(workers: int, trial_bytes: int) -> None:
    """Raises SearchError where trials and their processes would not fit into memory.

    A worker is a process that asks for trials, one that trains and one that is getting ready.

    Args:
        workers: at once.
        trial_bytes: measured in a training of this search.
    """
    each = trial_bytes + 2 * _IMPORTED_BYTES
    free = available_bytes()
    if workers > 1 and workers * each > free:
        fits = max(int(free // each), 1)
        raise SearchError(
            f"--workers {workers} would take about {workers * each / 2**30:.1f} GB ({each / 2**30:.1f} GB each) and "
            f"{free / 2**30:.1f} GB are free: give --workers {fits} or fewer"
        )


def available_bytes() -> int:
    """Free memory of the machine or container."""
    free = psutil.virtual_memory().available
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text())
        return free if limit == "max" else min(free, int(limit) - used)
    except (OSError, ValueError):
        return free


def gpus_of(workers: int, environment: Mapping[str, str]) -> list[str | None]:
    """Assigns each worker the GPU that it may see; None for all, where there are fewer than two.

    Args:
        workers: on this machine.
        environment: of the workers; this process may have hidden all GPUs from itself.
    """
    found = visible_gpus(environment)
    return [found[number % len(found)] if len(found) > 1 else None for number in range(workers)]


def visible_gpus(environment: Mapping[str, str]) -> list[str]:
    """The GPUs that processes of an environment may use, as CUDA_VISIBLE_DEVICES names them."""
    chosen = environment.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [one.strip() for one in chosen.split(",") if one.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    lines = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]  # parts of one are below it
    return [str(number) for number in range(len(lines))]


def end_with_parent() -> None:
    """Ends this process when its parent is gone: a thread watches standard input, which the parent holds open."""

    def watch() -> None:
        sys.stdin.buffer.read()
        os._exit(3)

    threading.Thread(target=watch, daemon=True).start()
