"""Callbacks that save models during a training as members of an ensemble: the last, the best, or at given steps."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from kerastricks.errors import ConfigError
from kerastricks.files import read_json, whole, write_json

RECORD = "members.json"


class MemberFiles(keras.callbacks.Callback):
    """Writes models as NN.keras, and members.json which says what they are.

    A file is written under a temporary name and renamed. What is no longer kept is removed when the next epoch begins
    and not before: a run resumed from a checkpoint that is older than the last epoch still finds its files. All
    state is in plain attributes.

    Args:
        folder: for these files only; made where it is missing.
        kind: for the record: "snapshots", "top" or "last".
        count: of members in the end, 1 or more.
    """

    def __init__(self, folder: Path | str, kind: str, count: int) -> None:
        super().__init__()
        if count < 1:
            raise ConfigError(f"count must be 1 or more. Received: count={count}")
        self._folder = Path(folder)
        self.kind = kind
        self.count = count
        self.members: list[dict[str, Any]] = []
        self.steps_before = 0  # of whole epochs
        self._last_batch = -1

    @property
    def folder(self) -> Path:
        """Folder of the files."""
        return self._folder

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self.members, self.steps_before = [], 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if epoch and not self.steps_before:  # of a `fit` with `initial_epoch`, which brings no attributes back
            self.members = [member for member in read_record(self._folder) if member["epoch"] <= epoch]
            self.steps_before = epoch * ((self.params or {}).get("steps") or 0)
        self._settle()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._last_batch = batch

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.steps_before += self._last_batch + 1

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._settle()

    def _save(self, number: int, epoch: int, step: int, logs: dict[str, Any] | None) -> dict[str, Any]:
        """Writes the current model, and returns its entry for the record."""
        name = f"{number:02}.keras"
        # `fit` of kerastricks trains logits, and has this to save what one uses.
        save = getattr(self.model, "save_probabilities", self.model.save)
        with whole(self._folder / name) as temporary:
            save(temporary)
        scores = {metric: _number((logs or {}).get(metric)) for metric in self._recorded()}
        return {"file": name, "epoch": epoch + 1, "step": step, **scores}

    def _recorded(self) -> list[str]:
        """Names of the metrics that the record has of each member."""
        return ["val_accuracy", "val_loss"]

    def _write_record(self) -> None:
        record = {"kind": self.kind, "count": self.count, "members": self.members}
        write_json(self._folder / RECORD, record)

    def _settle(self) -> None:
        """Removes files that are no longer kept, and writes the record."""
        kept = {member["file"] for member in self.members}
        for path in self._folder.iterdir():
            if re.fullmatch(r"(\.tmp-(\d+-)?)?\d+\.keras", path.name) and path.name not in kept:
                path.unlink()
        self._write_record()


class KeepLast(MemberFiles):
    """Saves the model after each epoch, and keeps the last `count` of them.

    A file has the number of its epoch, 07.keras; members.json says what they are. The mean of their weights is a
    running average without a decay to choose; the mean of their predictions costs as many passes as there are.

    Args:
        folder: for these files only; made where it is missing. What is in it from another training is removed.
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


class KeepSnapshots(MemberFiles):
    """Saves the model after each of `steps`, as 01.keras, 02.keras, ..., and what they are in members.json.

    With a rate that falls to nothing and starts again, each end of a cycle is a minimum of its own, and their mean is
    an ensemble for the price of one training. Early members are worse than a training of the whole length, and members
    of one run differ less than those of several seeds. A step within an epoch has no validation scores there, unless
    `score` measures them.

    Args:
        folder: for these files only; made where it is missing. What is in it from another training is removed.
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


class KeepTop(MemberFiles):
    """Saves the model after each of the `count` epochs with the highest validation accuracy.

    Of equal accuracies the lower validation loss wins, then the earlier epoch. A file has the number of its epoch,
    07.keras, and is removed when a better one has come. members.json says what they are, the best first. Epochs of one
    training differ little, and its best ones least: what their mean gains is mostly the noise of a single epoch.

    Args:
        folder: for these files only; made where it is missing. What is in it from another training is removed.
        count: how many, 1 or more.
        monitor: another metric of validation to go by: "val_macro_f1". One that ends in "loss" shall fall.

    Raises:
        ConfigError: for a count below 1; after an epoch without validation, or whose logs lack `monitor`.

    Example:
        >>> from kerastricks.callbacks import KeepTop
        >>> KeepTop("members", 3).kind
        'top'
    """

    def __init__(self, folder: Path | str, count: int = 3, monitor: str = "val_accuracy") -> None:
        super().__init__(folder, "top", count)
        self.monitor = monitor

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        missing = [name for name in (self.monitor, "val_accuracy", "val_loss") if name not in (logs or {})]
        if missing:
            raise ConfigError(
                f"KeepTop goes by {missing[0]}, which is not in the logs: give fit validation_data, and compile with "
                "that metric"
            )
        assert logs is not None
        new = validation_rank(logs, self.monitor)
        if len(self.members) < self.count or new > self._rank(self.members[-1]):
            step = self.steps_before + self._last_batch + 1
            saved = self._save(epoch + 1, epoch, step, logs)
            # Stable: of equals the earlier one stays in front.
            self.members = sorted([*self.members, saved], key=self._rank, reverse=True)[: self.count]
            self._write_record()
        super().on_epoch_end(epoch, logs)

    def _recorded(self) -> list[str]:
        return list(dict.fromkeys([*super()._recorded(), self.monitor]))

    def _rank(self, member: dict[str, Any]) -> tuple[float, float]:
        return validation_rank(member, self.monitor)


def validation_rank(scores: Mapping[str, Any], monitor: str = "val_accuracy") -> tuple[float, float]:
    """A key that sorts scores of validation from worse to better.

    Args:
        scores: by their names in the logs.
        monitor: the metric that decides; of equal values the loss. One that ends in "loss" shall fall.
    """
    value = round(float(scores[monitor]), 6)
    return -value if monitor.endswith("loss") else value, -float(scores["val_loss"])


def read_record(folder: Path) -> list[dict[str, Any]]:
    """The members of a folder's members.json; none where there is no such file."""
    path = folder / RECORD
    return read_json(path)["members"] if path.exists() else []


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
