"""A run folder: its name, its files and records; nothing is overwritten, and writes are atomic."""

import itertools
import re
import shutil
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kerastricks.errors import DataError, RunFolderError
from kerastricks.files import begun_folder, read_json, take_name, write_json
from kerastricks.progress import megabytes

# With the longest suffix of a series and the numbers of a default name, below the 255 bytes of a file system.
_LONGEST_NAME = 200
_LONGEST_PATH = 3800  # of the 4,096 bytes of Linux, with what is inside of a run folder


class RunFolder:
    """Paths and records of one run.

    Args:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._place(path)

    def _place(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.json"
        self.summary = path / "summary.json"
        self.metrics = path / "metrics.jsonl"
        self.batch_loss = path / "batch_loss.f32"
        self.skipped = path / "skipped.jsonl"
        self.model = path / "model.keras"
        self.curves = path / "curves.png"
        self.card = path / "card.md"
        self.report = path / "report.html"
        self.recipe = path / "recipe.py"
        self.checkpoint = path / "checkpoint.npz"

    @classmethod
    @contextmanager
    def begin(cls, out: Path, name: str | None, model: str, data: str, option: str = "--out") -> Iterator["RunFolder"]:
        """Make a new folder, to be filled: `out/name`, or `out/MODEL-DATA-N` with the first number that is free.

        It gets its name at the end of the block, when its first state is in it: an error, and a process that is
        killed, leave nothing there. `name` is known from the beginning. An empty folder of that name is taken over.

        Args:
            out: the folder of run folders.
            name: of the run; None for MODEL-DATA-N.
            model: for the default name.
            data: for the default name.
            option: that chose `out`, for messages.

        Raises:
            RunFolderError: where the name is taken or illegal, or the place cannot be written to.
        """
        names = cls._names(out, name, model, data)
        try:
            out.mkdir(parents=True, exist_ok=True)
            folder = begun_folder(out)
            path = folder.__enter__()
        except OSError as error:
            raise RunFolderError(f"{out}: cannot be written to ({error.strerror}): choose another {option}") from None
        try:
            run = cls(path)
            run.name = next(names)
            yield run
            while True:
                try:
                    take_name(path, out / run.name)
                    break
                except FileExistsError:  # another process was faster
                    run.name = next(names)
            run._place(out / run.name)
        finally:
            folder.__exit__(None, None, None)

    @classmethod
    def free(cls, out: Path, name: str | None, model: str, data: str) -> "RunFolder":
        """Name the folder that `begin` would make, for a job whose first state comes later; only `out` is made.

        Raises:
            RunFolderError: as `begin`.
        """
        found = next(cls._names(out, name, model, data))
        try:
            out.mkdir(parents=True, exist_ok=True)
            with begun_folder(out):
                pass
        except OSError as error:
            raise RunFolderError(f"{out}: cannot be written to ({error.strerror}): choose another --out") from None
        return cls(out / found)

    @staticmethod
    def _names(out: Path, name: str | None, model: str, data: str) -> Iterator[str]:
        """The free names to try: only the given one, or all numbers."""
        base = f"{plain(model)}-{plain(data)}"
        check_name(out, name if name is not None else f"{base}-1", "--name" if name is not None else None)
        if name is not None:
            if not is_taken(out / name):
                yield name
            resume = f", or resume with --resume {out / name}" if (out / name / "config.json").exists() else ""
            raise RunFolderError(
                f"{out / name} exists already and nothing is overwritten: choose another --name{resume}"
            )
        numbered = (f"{base}-{number}" for number in itertools.count(1))
        yield from (found for found in numbered if not is_taken(out / found))

    @staticmethod
    def free_name(out: Path, model: str, data: str) -> str:
        """MODEL-DATA-N with the first number that nothing in `out` has, for a series of runs."""
        base = f"{plain(model)}-{plain(data)}"
        names = (f"{base}-{number}" for number in itertools.count(1))
        return next(name for name in names if not (out / name).exists() and not _any(out, f"{name}-s"))

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open an existing folder.

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
        """Read a JSON record.

        Raises:
            RunFolderError: where it is missing or damaged.
        """
        needed = {self.config: "config", self.summary: "accuracy"}.get(path)
        try:
            record = read_json(path)
            if not isinstance(record, dict) or (needed is not None and needed not in record):
                raise ValueError(f"no {needed!r} in it")
            return record
        except FileNotFoundError:
            raise RunFolderError(
                f"{path}: missing: the run is not finished: resume with --resume {self.path}"
            ) from None
        except (OSError, ValueError) as error:
            raise RunFolderError(f"{path}: cannot be read ({error})") from None

    def write(self, path: Path, record: dict[str, Any]) -> None:
        """Write a JSON record atomically.

        Raises:
            WriteError: where the disk does not take it.
        """
        write_json(path, record)

    def remove_exports(self) -> None:
        """Remove the SavedModels of an unfinished run."""
        for path in self.path.iterdir():
            if re.fullmatch("[0-9]+", path.name) and not self.summary.exists():
                shutil.rmtree(path)

    def clean(self) -> None:
        """Remove temporary files of an interrupted process."""
        for path in self.path.glob(".tmp-*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def plain(text: str) -> str:
    """A model's or data set's name reduced to the characters of default names: letters, digits, _ . and -."""
    found = re.sub(r"[^\w.-]+", "-", text).strip("-.").encode()[:60].decode(errors="ignore")
    return found.strip("-.") or "data"


def _any(out: Path, start: str) -> bool:
    return out.is_dir() and any(path.name.startswith(start) for path in out.iterdir())


def is_taken(path: Path) -> bool:
    """Whether the path is taken; an empty folder, as earlier versions left when killed, is not."""
    if path.is_dir() and not path.is_symlink():
        return any(path.iterdir())
    return path.exists() or path.is_symlink()


def check_name(out: Path, name: str, option: str | None = "--name") -> None:
    """Raise RunFolderError for a name or location of a run that a later step could not write, load or show.

    Args:
        out: the folder of run folders.
        name: of the run's folder.
        option: that gave the name; None where it was made from others.
    """
    given = f"{option} must be a plain name" if option else "the name of a run must be plain"
    if not name or Path(name).name != name or name.startswith((".", "-", "~")):
        raise RunFolderError(f"{given}, without folders, and not begin with . - or ~. Received: {name!r}")
    if not name.isprintable() or name != name.strip() or name.endswith("."):
        raise RunFolderError(
            f"{given}: printable UTF-8, without line breaks, and no space or . at its ends. Received: {name!r}"
        )
    size = len(name.encode())
    if size > _LONGEST_NAME:
        raise RunFolderError(f"{given} of at most {_LONGEST_NAME} bytes. Received: {size} bytes, {name[:30]!r}...")
    check_place(out / name, "--folder" if option == "--folder" else "--out and --name")


def check_place(path: Path, options: str = "--out") -> None:
    """Raise RunFolderError for the path of a folder that a later step could not write or load.

    TensorFlow reads the path of a SavedModel as a pattern, and as UTF-8: better refused now than after the training.
    """
    whole = str(path.absolute())
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in whole):
        raise RunFolderError(f"{whole!r}: must be UTF-8, without line breaks: choose {options}")
    found = sorted(set("[]*?\\") & set(str(path.resolve())))
    if found:
        raise RunFolderError(f"{path}: TensorFlow cannot load from a path with {' '.join(found)}: choose {options}")
    if len(str(path.resolve()).encode(errors="surrogateescape")) > _LONGEST_PATH:
        raise RunFolderError(f"{whole[:60]}...: the path is too long: choose {options}")
    above = next(parent for parent in path.absolute().parents if parent.exists())
    if not above.is_dir():
        another = options.partition(" ")[0]
        raise RunFolderError(f"{path}: cannot be written to ({above} is a file, no folder): choose another {another}")


def check_classes(class_names: Sequence[str]) -> None:
    """Raise DataError for a class whose name the export and the card cannot write."""
    for name in class_names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise DataError(f"class {name!r}: its name is not valid UTF-8: rename the folder, or the label") from None


def check_room(folder: Path, weights: int, trained: bool = True) -> None:
    """Raise RunFolderError where the disk has no room for the files of a run of so many weights.

    Args:
        folder: that the files are written into.
        weights: of the model.
        trained: whether there are checkpoints too.
    """
    # A checkpoint with two values of an optimizer for each weight, and its successor; model.keras; the SavedModel.
    needed = (8 if trained else 2) * 4 * weights + 5_000_000
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise RunFolderError(
            f"{folder}: the disk has {megabytes(free)} left, and the run needs about {megabytes(needed)}: make "
            "room, or choose another --out"
        )
