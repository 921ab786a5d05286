"""keras-tuner's engine: an oracle in this process, or a chief's that is asked by gRPC."""

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
_WHO_IS_WHO = ("KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT", "KERASTUNER_TUNER_ID")
_RETRIED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
_CHIEF_GONE_SECONDS = 600.0
T = TypeVar("T")


class Tuner(keras_tuner.engine.base_tuner.BaseTuner):
    """The part of keras-tuner that knows folders, chiefs and workers; trials are run by `TrialRunner`."""

    def save(self) -> None:
        """The oracle has all the state there is; keras-tuner's empty file beside it is not written whole."""
        self.oracle.save()


def open_oracle(plan: SearchPlan, folder: SearchFolder, worker: str = _ALONE) -> Any:
    """The oracle of a search with its state, in this process.

    Args:
        plan: of the search.
        folder: of the search.
        worker: whose trial stays its own; those of all others are given out again. "" leaves all where they are.
    """
    for name in _WHO_IS_WHO:  # of a search on many machines that this shell was used for
        os.environ.pop(name, None)
    oracle = _tuner(plan, folder).oracle
    if folder.oracle.exists():
        oracle.reload()
    if worker:
        gone = [name for name in oracle.ongoing_trials if name != worker]
        for name in sorted(gone, key=lambda name: oracle.ongoing_trials[name].trial_id, reverse=True):
            oracle.release(name)  # the last to be put back is the first to be given out
    return oracle


def serve(plan: SearchPlan, folder: SearchFolder, host: str, port: int) -> Any:
    """The tuner of a chief, whose `search` serves for ever, and raises where the port cannot be had."""
    _say_who_is_who(host, port, "chief")
    tuner = _tuner(plan, folder)
    if folder.oracle.exists():
        tuner.oracle.reload()
    return tuner


class Client:
    """A chief's oracle, asked again while the chief is being started again.

    keras-tuner's own client waits for an hour, also for a chief that has ended.

    Args:
        plan: of the search.
        folder: of the search, on a file system that the chief shares.
        worker: this one's name.
        host: of the chief.
        port: of the chief.
    """

    def __init__(self, plan: SearchPlan, folder: SearchFolder, worker: str, host: str, port: int) -> None:
        limit_client_wait(60)
        _say_who_is_who(host, port, worker)
        self._oracle = _tuner(plan, folder).oracle
        self._folder = folder
        self._target = f"{host}:{port}"
        self._channel = grpc.insecure_channel(self._target)

    def create_trial(self, worker: str) -> Any:
        """As an oracle's; "STOPPED" too where the search has ended."""
        return self._ask(lambda: self._oracle.create_trial(worker), ended=_Stopped())

    def update_trial(self, trial_id: str, metrics: dict[str, float], step: int = 0) -> Any:
        """As an oracle's."""
        return self._ask(lambda: self._oracle.update_trial(trial_id, metrics, step=step), ended=_Stopped())

    def end_trial(self, trial: Any) -> None:
        """As an oracle's."""
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
    """What a search that has ended gives out."""

    status = "STOPPED"


def _tuner(plan: SearchPlan, folder: SearchFolder) -> Tuner:
    with quiet():
        return Tuner(make_oracle(plan), directory=str(folder.path.parent), project_name=folder.path.name)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what keras-tuner prints."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        yield
    sys.stdout.flush()


def _say_who_is_who(host: str, port: int, name: str) -> None:
    """keras-tuner reads it when a tuner is made, and again when it searches."""
    os.environ |= dict(zip(_WHO_IS_WHO, (host, str(port), name), strict=True))
