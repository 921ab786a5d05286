"""A worker: takes trials from a chief and runs them."""

import signal
from typing import Any

from kerastricks.search.folder import SearchFolder
from kerastricks.search.oracle.engine import Client
from kerastricks.search.oracle.worker import Heartbeat
from kerastricks.search.trials.processes import Processes
from kerastricks.search.trials.runner import TrialRunner


def work(folder: SearchFolder, name: str, host: str, port: int, processes: Processes) -> None:
    """Until the chief says that nothing is left, or the search has ended.

    Args:
        folder: of the search, on a file system that the chief shares.
        name: of the worker: one that is started again under its name takes up its trial again.
        host: of the chief.
        port: of the chief.
        processes: where trials run.

    Raises:
        SearchError: where no chief answers.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, when the trial has saved its state.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    plan = folder.read_plan()
    heart = Heartbeat(folder.workers, name)
    processes.warm()
    client = Client(plan, folder, name, host, port)

    def begin(trial: str, values: dict[str, Any]) -> None:
        heart.say(trial=trial, values=values, epoch=0, epochs=plan.epochs, metrics={})

    def epoch(trial: str, number: int, epochs: int, metrics: dict[str, float]) -> None:
        heart.say(epoch=number, epochs=epochs, metrics=metrics)

    runner = TrialRunner(client, plan, folder, name, processes, begin, epoch, lambda trial: heart.say(trial=None))
    try:
        runner.run()
    finally:
        processes.close()
