"""The process of one trial: imports everything, waits for its job, confirms it, does it and ends.

Run as `python -m kerastricks.search.trials.trial_process`.
"""

import os
import sys
import traceback
from pathlib import Path

from kerastricks.errors import Interrupted, TrainingDivergedError, UsageError
from kerastricks.search.trials.processes import Channel


def main() -> None:
    """Serves one job; the messages are in docs/search.md."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    channel = Channel()
    from kerastricks.search.trials import jobs  # imports Keras, which takes most of the time

    jobs.warm_up()
    job = channel.receive()
    channel.send(event="begun")
    log = os.open(Path(job["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    try:
        result = getattr(jobs, job["job"])(job, channel)
        channel.send(event="done", **result)
    except Interrupted:
        channel.send(event="interrupted")
    except TrainingDivergedError as error:
        channel.send(event="failed", kind="diverged", reason=str(error))
    except UsageError as error:
        channel.send(event="failed", kind="usage", reason=str(error))
    except BaseException as error:
        traceback.print_exc()
        channel.send(event="failed", kind="crash", reason=f"{type(error).__name__}: {error}")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # without waiting for TensorFlow's threads


if __name__ == "__main__":
    main()
