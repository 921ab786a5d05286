"""A run folder: its name, its files, and that nothing in it is overwritten or half-written."""

import itertools
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from kerastricks.errors import RunFolderError


class RunFolder:
    """Paths and records of one run.

    Args:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.json"
        self.summary = path / "summary.json"
        self.metrics = path / "metrics.jsonl"
        self.batch_loss = path / "batch_loss.f32"
        self.skipped = path / "skipped.jsonl"
        self.model = path / "model.keras"
        self.curves = path / "curves.png"
        self.card = path / "card.md"
        self.recipe = path / "recipe.py"
        self.checkpoint = path / "checkpoint.npz"

    @classmethod
    def create(cls, out: Path, name: str | None, model: str, data: str) -> "RunFolder":
        """A new folder: `out/name`, or `out/MODEL-DATA-N` with the first number that is free.

        Raises:
            RunFolderError: where the name is taken or illegal, or the place cannot be written to.
        """
        if name is not None and (Path(name).name != name or name.startswith(".")):
            raise RunFolderError(f"--name must be a plain name, without folders. Received: {name!r}")
        _refuse_glob(out.resolve() / (name or ""))
        try:
            out.mkdir(parents=True, exist_ok=True)
            if name is not None:
                path = out / name
                path.mkdir()
                return cls(path)
            data = _plain(data)
            number = 1
            while True:
                path = out / f"{model.replace('/', '-')}-{data}-{number}"
                try:
                    path.mkdir()  # fails if another process was faster
                    return cls(path)
                except FileExistsError:
                    number += 1
        except FileExistsError:
            raise RunFolderError(
                f"{out / (name or '')} exists already and nothing is overwritten: choose another --name, or go on "
                f"with --resume {out / (name or '')}"
            ) from None
        except OSError as error:
            raise RunFolderError(f"{out}: cannot be written to ({error.strerror}): choose another --out") from None

    @staticmethod
    def free_name(out: Path, model: str, data: str) -> str:
        """MODEL-DATA-N with the first number that nothing in `out` has, for a series of runs."""
        base = f"{model.replace('/', '-')}-{_plain(data)}"
        names = (f"{base}-{number}" for number in itertools.count(1))
        return next(name for name in names if not (out / name).exists() and not _any(out, f"{name}-s"))

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """An existing one.

        Raises:
            RunFolderError: for a folder that no run wrote.
        """
        run = cls(path)
        if not run.config.is_file():
            raise RunFolderError(
                f"{path}: no run folder (no config.json inside): `kerastricks train` and `finetune` write them"
            )
        return run

    def read(self, path: Path) -> dict[str, Any]:
        """A JSON record.

        Raises:
            RunFolderError: where it is missing or damaged.
        """
        needed = {self.config: "config", self.summary: "accuracy"}.get(path)
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(record, dict) or (needed is not None and needed not in record):
                raise ValueError(f"no {needed!r} in it")
            return record
        except FileNotFoundError:
            raise RunFolderError(f"{path}: missing: the run is not finished: go on with --resume {self.path}") from None
        except (OSError, ValueError) as error:
            raise RunFolderError(f"{path}: cannot be read ({error})") from None

    def write(self, path: Path, record: dict[str, Any]) -> None:
        """Writes a JSON record whole."""
        write_text(path, json.dumps(record, indent=2) + "\n")

    def remove_exports(self) -> None:
        """Removes the SavedModels of an unfinished run."""
        for path in self.path.iterdir():
            if re.fullmatch("[0-9]+", path.name) and not self.summary.exists():
                shutil.rmtree(path)

    def clean(self) -> None:
        """Removes what an interrupted process left under temporary names."""
        for path in self.path.glob(".tmp-*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _plain(data: str) -> str:
    return re.sub(r"[^\w.-]+", "-", data).strip("-.") or "data"


def _any(out: Path, start: str) -> bool:
    return out.is_dir() and any(path.name.startswith(start) for path in out.iterdir())


def _refuse_glob(path: Path) -> None:
    """TensorFlow reads the path of a SavedModel as a pattern: better refused now than after the training."""
    found = sorted(set("[]*?") & set(str(path)))
    if found:
        raise RunFolderError(
            f"{path}: TensorFlow cannot load from a path with {' '.join(found)}: choose --out and --name"
        )


def write_text(path: Path, text: str) -> None:
    """Writes a file under a temporary name and renames it."""
    temporary = path.with_name(f".tmp-{path.name}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
