"""Keeps the weights of the best epochs."""

from pathlib import Path
from typing import Any

from kerastricks.callbacks.keep import MemberFiles
from kerastricks.errors import ConfigError


class KeepTop(MemberFiles):
    """Saves the model after each of the `count` epochs with the highest validation accuracy.

    Of equal accuracies the lower validation loss wins, then the earlier epoch. A file has the number of its epoch,
    07.keras, and is removed when a better one has come. members.json says what they are, the best first. Epochs of one
    training differ little, and its best ones least: what their mean gains is mostly the noise of a single epoch.

    Args:
        folder: for these files alone; made where it is missing. What is in it from another training is removed.
        count: how many, 1 or more.

    Raises:
        ConfigError: for a count below 1; after an epoch without validation.

    Example:
        >>> from kerastricks.callbacks import KeepTop
        >>> KeepTop("members", 3).kind
        'top'
    """

    def __init__(self, folder: Path | str, count: int = 3) -> None:
        super().__init__(folder, "top", count)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        missing = [name for name in ("val_accuracy", "val_loss") if name not in (logs or {})]
        if missing:
            raise ConfigError(f"KeepTop goes by {missing[0]}, which is not in the logs: give fit validation_data")
        assert logs is not None
        new = (round(float(logs["val_accuracy"]), 6), -float(logs["val_loss"]))
        if len(self.members) < self.count or new > _rank(self.members[-1]):
            step = self.steps_before + self._last_batch + 1
            saved = self._save(epoch + 1, epoch, step, logs)
            # Stable: of equals the earlier one stays in front.
            self.members = sorted([*self.members, saved], key=_rank, reverse=True)[: self.count]
            self._write_record()
        super().on_epoch_end(epoch, logs)


def _rank(member: dict[str, Any]) -> tuple[float, float]:
    return round(member["val_accuracy"], 6), -member["val_loss"]
