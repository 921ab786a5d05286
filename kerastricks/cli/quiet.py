"""Imports TensorFlow without its start-up messages, which no setting silences."""

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kerastricks.errors import UsageError
from kerastricks.keras_hook import refusal


@contextmanager
def stderr_kept_back() -> Iterator[None]:
    """Buffer standard error of C++ code, and show it only on failure.

    Ctrl-C takes effect at its end: imports that catch every exception would swallow it.
    """
    pressed: list[int] = []
    before: Any = None
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        except (UsageError, KeyboardInterrupt):
            raise  # the message is complete
        except BaseException:
            os.dup2(kept, 2)
            file.seek(0)
            os.write(2, file.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            if before is not None:
                signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt


def import_keras() -> None:
    """Import Keras and TensorFlow and let them look for devices."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with stderr_kept_back():
        import keras  # noqa: F401

        import_tensorflow()


def import_tensorflow() -> None:
    """Import TensorFlow and let it look for devices."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with stderr_kept_back():
        try:
            import tensorflow as tf
        except Exception as error:  # a Keras of its own reads keras.json
            refused = refusal(error)
            if refused is None:
                raise
            raise refused from error

        tf.config.list_logical_devices()
        tf.get_logger().setLevel("ERROR")
