"""Keeps the weights of the last epochs."""

from pathlib import Path
from typing import Any

from kerastricks.callbacks.keep import MemberFiles


class KeepLast(MemberFiles):
    """Saves the model after each epoch, and keeps the last `count` of them.

    A file has the number of its epoch, 07.keras; members.json says what they are. The mean of their weights is a
    running average without a decay to choose; the mean of their predictions costs as many passes as there are.

    Args:
        folder: for these files alone; made where it is missing. What is in it from another training is removed.
        count: how many, 1 or more.

    Raises:
        ConfigError: for a count below 1.

    Example:
        >>> from kerastricks.callbacks import KeepLast
        >>> KeepLast("members", 3).kind
        'last'
    """

    def __init__(self, folder: Path | str, count: int = 3) -> None:
        super().__init__(folder, "last", count)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        step = self.steps_before + self._last_batch + 1
        self.members = [*self.members, self._save(epoch + 1, epoch, step, logs)][-self.count :]
        self._write_record()
        super().on_epoch_end(epoch, logs)
