"""The files of callbacks that keep weights on the way."""

import json
import re
from pathlib import Path
from typing import Any

import keras

from kerastricks.errors import ConfigError
from kerastricks.files import whole, write_json

RECORD = "members.json"


class MemberFiles(keras.callbacks.Callback):
    """Writes models as NN.keras, and members.json which says what they are.

    A file is written under a temporary name and renamed. What is no longer kept is removed when the next epoch begins
    and not before: whoever goes on from a checkpoint that is older than the last epoch still finds its files. All that
    is known is in plain attributes.

    Args:
        folder: for these files alone; made where it is missing.
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
        """Where the files are."""
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
        """Writes the model as it is now, and says what the record shall say of it."""
        name = f"{number:02}.keras"
        # `fit` of kerastricks trains logits, and has this to save what one uses.
        save = getattr(self.model, "save_probabilities", self.model.save)
        with whole(self._folder / name) as temporary:
            save(temporary)
        scores = {f"val_{metric}": _number((logs or {}).get(f"val_{metric}")) for metric in ("accuracy", "loss")}
        return {"file": name, "epoch": epoch + 1, "step": step, **scores}

    def _write_record(self) -> None:
        record = {"kind": self.kind, "count": self.count, "members": self.members}
        write_json(self._folder / RECORD, record)

    def _settle(self) -> None:
        """Brings the folder to what the attributes say."""
        kept = {member["file"] for member in self.members}
        for path in self._folder.iterdir():
            if re.fullmatch(r"(\.tmp-(\d+-)?)?\d+\.keras", path.name) and path.name not in kept:
                path.unlink()
        self._write_record()


def read_record(folder: Path) -> list[dict[str, Any]]:
    """The members of a folder's members.json; none where there is no such file."""
    path = folder / RECORD
    return json.loads(path.read_text(encoding="utf-8"))["members"] if path.exists() else []


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
