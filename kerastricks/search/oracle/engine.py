"""keras-tuner's engine: an oracle in this process, or that of a chief over gRPC."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import grpc
import keras_tuner

from kerastricks.errors import SearchError
from kerastricks.search.folder import SearchFolder
from kerastricks.search.oracle.oracles import make_oracle
from kerastricks.search.plan import SearchPlan
from kerastricks.search.tuner_internals import limit_client_wait

_ALONE = "tuner0"  # keras-tuner's name of the only worker
_IDENTITY = ("KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT", "KERASTUNER_TUNER_ID")
_RETRIED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
_CHIEF_GONE_SECONDS = 600.0
T = TypeVar("T")


class Tuner(keras_tuner.engine.base_tuner.BaseTuner):
    """keras-tuner's folders, chiefs and workers; trials are run by `TrialRunner`."""

    def save(self) -> None:
        """Saves the oracle, which has all the state; keras-tuner's empty file beside it is not written atomically."""
        self.oracle.save()


def open_oracle(plan: SearchPlan, folder: SearchFolder, worker: str = _ALONE) -> Any:
    """Opens the oracle of a search with its state, in this process.

    Args:
        plan: of the search.
        folder: of the search.
        worker: which keeps its trial; those of all others are queued again. "" leaves all as they are.
    """
    for name in _IDENTITY:  # left by a distributed search in this shell
        os.environ.pop(name, None)
    oracle = _tuner(plan, folder).oracle
    if folder.oracle.exists():
        oracle.reload()
    if worker:
        gone = [name for name in oracle.ongoing_trials if name != worker]
        for name in sorted(gone, key=lambda name: oracle.ongoing_trials[name].trial_id, reverse=True):
            oracle.release(name)  # the last to be queued is the first to be handed out
    return oracle


def serve(plan: SearchPlan, folder: SearchFolder, host: str, port: int) -> Any:
    """Creates the tuner of a chief, whose `search` serves for ever, and raises where the port is taken."""
    _set_identity(host, port, "chief")
    tuner = _tuner(plan, folder)
    if folder.oracle.exists():
        tuner.oracle.reload()
    return tuner


class Client:
    """A client of the chief's oracle that retries while the chief restarts.

    keras-tuner's own client waits for an hour, even for a chief that has ended.

    Args:
        plan: of the search.
        folder: of the search, on a file system that the chief shares.
        worker: name of this one.
        host: of the chief.
        port: of the chief.
    """

    def __init__(self, plan: SearchPlan, folder: SearchFolder, worker: str, host: str, port: int) -> None:
        limit_client_wait(60)
        _set_identity(host, port, worker)
        self._oracle = _tuner(plan, folder).oracle
        self._folder = folder
        self._target = f"{host}:{port}"
        self._channel = grpc.insecure_channel(self._target)

    def create_trial(self, worker: str) -> Any:
        """Asks for a trial as from an oracle; its status is "STOPPED" too where the search has ended."""
        return self._ask(lambda: self._oracle.create_trial(worker), ended=_Stopped())

    def update_trial(self, trial_id: str, metrics: dict[str, float], step: int = 0) -> Any:
        """Reports metrics as to an oracle."""
        return self._ask(lambda: self._oracle.update_trial(trial_id, metrics, step=step), ended=_Stopped())

    def end_trial(self, trial: Any) -> None:
        """Ends a trial as with an oracle."""
        self._ask(lambda: self._oracle.end_trial(trial), ended=None)

    def _ask(self, call: Callable[[], T], ended: Any) -> T | Any:
        silent_since = time.monotonic()
        while True:
            if self._folder.finished.exists():
                return ended
            try:
                grpc.channel_ready_future(self._channel).result(timeout=5)
                return call()
            except grpc.FutureTimeoutError:
                pass
            except grpc.RpcError as error:
                if error.code() not in _RETRIED:
                    raise
            if time.monotonic() - silent_since > _CHIEF_GONE_SECONDS:
                raise SearchError(
                    f"no chief answers at {self._target} for {_CHIEF_GONE_SECONDS / 60:.0f} minutes: if the search has "
                    f"stopped, resume with kerastricks tune --resume --out {self._folder.path}"
                )


class _Stopped:
    """The trial of a search that has ended."""

    status = "STOPPED"


def _tuner(plan: SearchPlan, folder: SearchFolder) -> Tuner:
    with quiet():
        return Tuner(make_oracle(plan), directory=str(folder.path.parent), project_name=folder.path.name)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences keras-tuner's printing."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        yield
    sys.stdout.flush()


def _set_identity(host: str, port: int, name: str) -> None:
    """Sets the variables that keras-tuner reads when a tuner is created, and again when it searches."""
    os.environ |= dict(zip(_IDENTITY, (host, str(port), name), strict=True))
