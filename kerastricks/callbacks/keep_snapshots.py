"""Keeps the weights at given steps: the members of a snapshot ensemble."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kerastricks.callbacks.keep import MemberFiles
from kerastricks.errors import ConfigError


class KeepSnapshots(MemberFiles):
    """Saves the model after each of `steps`, as 01.keras, 02.keras, ..., and what they are in members.json.

    With a rate that falls to nothing and starts again, each end of a cycle is a minimum of its own, and their mean is
    an ensemble for the price of one training. Early members are worse than a training of the whole length, and members
    of one run differ less than those of several seeds. A step within an epoch has no validation scores there, unless
    `score` measures them.

    Args:
        folder: for these files alone; made where it is missing. What is in it from another training is removed.
        steps: optimizer steps after which the model is saved: `kerastricks.schedules.cycle_ends(total_steps, 5)`.
        score: gives {"val_accuracy": ..., "val_loss": ...} of the model as it is now; None for no scores within an
            epoch.

    Raises:
        ConfigError: for steps that do not rise from 1 or more.

    Example:
        >>> import kerastricks
        >>> ends = kerastricks.schedules.cycle_ends(total_steps=100, cycles=5)
        >>> ends, kerastricks.callbacks.KeepSnapshots("members", ends).count
        ([20, 40, 60, 80, 100], 5)

    Reference:
        Huang et al.: Snapshot Ensembles: Train 1, get M for free, arXiv 1704.00109, section 3.
    """

    def __init__(
        self, folder: Path | str, steps: Sequence[int], score: Callable[[], dict[str, float]] | None = None
    ) -> None:
        steps = [int(step) for step in steps]
        if not steps or steps[0] < 1 or steps != sorted(set(steps)):
            raise ConfigError(f"steps must be numbers that rise from 1 or more. Received: steps={steps}")
        super().__init__(folder, "snapshots", len(steps))
        self._steps = tuple(steps)
        self._score = score
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_begin(epoch, logs)
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_train_batch_end(batch, logs)
        # The last step of an epoch is kept when it has been validated.
        if self._is_due(batch + 1) and batch + 1 != (self.params or {}).get("steps"):
            self._keep(self._epoch, batch + 1, self._score() if self._score is not None else None)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._is_due(self._last_batch + 1):
            self._keep(epoch, self._last_batch + 1, logs)
        super().on_epoch_end(epoch, logs)

    def _is_due(self, batches: int) -> bool:
        done = len(self.members)
        return done < self.count and self.steps_before + batches >= self._steps[done]

    def _keep(self, epoch: int, batches: int, logs: dict[str, Any] | None) -> None:
        step = self.steps_before + batches
        self.members = [*self.members, self._save(len(self.members) + 1, epoch, step, logs)]
        self._write_record()
