"""Query the workers of a data service through a small data set; their errors in one line."""

import queue
import re
import threading
import time
from typing import Any

import numpy as np
import tensorflow as tf

from kerastricks.data.service.address import Address

_MORE_SECONDS = 1.0  # for the other workers, when one has answered
_NODES = re.compile(r"\{\{.*?\}\}|\[\[.*?\]\]|\[Op:.*?\]")
_WORKER = re.compile(r"from worker (\S+?):? ")
_ITERATOR = re.compile(r"Iterator::\S+: ")


def ask(dataset: tf.data.Dataset, address: Address, seconds: float, one: bool = False) -> list[np.ndarray]:
    """Collect the answers of the workers, one each.

    Args:
        dataset: data set of one element, the question.
        address: address of the dispatcher, which answers.
        seconds: longest wait for the first.
        one: whether to ask whichever worker takes it, instead of all.

    Raises:
        tf.errors.OpError: for an error of a worker.
    """
    answers: queue.Queue[Any] = queue.Queue()

    def read() -> None:
        policies = tf.data.experimental.service.ShardingPolicy
        policy = policies.DYNAMIC if one else policies.OFF  # off: each makes all of it
        try:
            for answer in dataset.apply(tf.data.experimental.service.distribute(policy, str(address))):
                answers.put(answer.numpy())
            answers.put(None)
        except Exception as error:  # raised below
            answers.put(error)

    # A daemon: a worker that has died is waited for without end.
    threading.Thread(target=read, name="data-service-ask", daemon=True).start()
    found: list[np.ndarray] = []
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer = answers.get(timeout=max(deadline - time.monotonic(), 0.01))
        except queue.Empty:
            return found
        if answer is None:
            return found
        if isinstance(answer, Exception):
            raise answer
        found.append(answer)
        if one:
            return found
        deadline = time.monotonic() + _MORE_SECONDS


def a_worker_takes_steps(address: Address, seconds: float = 5.0) -> bool:
    """Whether a worker gets a step from the dispatcher and answers it within the timeout."""
    try:
        return bool(ask(tf.data.Dataset.range(1), address, seconds, one=True))
    except tf.errors.OpError:
        return False


def describe(error: Exception) -> str:
    """Describe an error in one line: worker and message of the innermost op, without nodes, at most 300 characters."""
    message = " ".join(str(getattr(error, "message", None) or error).partition("\n\n")[0].split())
    worker = _WORKER.search(message)
    reason = " ".join(_NODES.sub(" ", _ITERATOR.split(message)[-1]).split())[:300]
    return f"worker {worker[1]}: {reason}" if worker and not reason.startswith("Failed to get element") else reason
