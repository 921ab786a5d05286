"""The folder of a search: its files, and the lock that admits one process at a time."""

import contextlib
import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from kerastricks import files
from kerastricks.errors import RunFolderError, SearchError
from kerastricks.runs.folder import check_place, plain
from kerastricks.search.plan import SearchPlan
from kerastricks.search.trial_record import FILE_NAME

# What is in a folder before its search.json, beside the lock.
_BEFORE_THE_PLAN = {".lock", "recipe.py", "prepare.log", "pixels", "workers"}


class SearchFolder:
    """Paths and records of one search; the layout of trials is keras-tuner's.

    Args:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plan = path / "search.json"
        self.oracle = path / "oracle.json"
        self.trials = path / FILE_NAME
        self.page = path / "search.html"
        self.recipe = path / "recipe.py"
        self.pixels = path / "pixels"
        self.workers = path / "workers"
        self.runs = path / "runs"
        self.finished = path / "finished.json"
        self.lock = path / ".lock"

    @classmethod
    def create(cls, out: Path | None, data: str) -> "SearchFolder":
        """A new folder: `out`, or saved_models/tune-DATA-N with the first number that is free.

        Raises:
            SearchError: where something is there, or the place cannot be written to.
        """
        if out is not None:
            path = out
        else:
            numbered = (Path("saved_models") / f"tune-{plain(data)}-{number}" for number in itertools.count(1))
            path = next(one for one in numbered if not one.exists() or cls(one).is_left_over(unless_locked=True))
        try:
            check_place(path)
        except RunFolderError as error:
            raise SearchError(str(error)) from None
        try:
            path.mkdir(parents=True, exist_ok=True)
            files.remove_begun(path)  # of a search that was killed between these lines and its lock
            if any(path.iterdir()) and not cls(path).is_left_over():
                hint = "resume it by --resume, or choose" if cls(path).plan.exists() else "choose"
                raise SearchError(f"{path}: is not empty, and is never reused silently: {hint} another --out")
            with files.begun_folder(path):
                pass
        except OSError as error:
            raise SearchError(f"{path}: cannot be written to ({error.strerror}): choose another --out") from None
        return cls(path.resolve())

    @classmethod
    def open(cls, path: Path) -> "SearchFolder":
        """Opens an existing folder.

        Raises:
            SearchError: for a folder that no search wrote.
        """
        folder = cls(path.resolve())
        if not folder.plan.is_file():
            raise SearchError(f"{path}: no search folder (no search.json inside): `kerastricks tune` writes them")
        return folder

    def is_left_over(self, unless_locked: bool = False) -> bool:
        """Whether it holds only the remains of a search that was killed before its search.json.

        Args:
            unless_locked: and no search works in it.
        """
        names = {path.name for path in self.path.iterdir()} if self.path.is_dir() else set()
        if self.lock.name not in names or any(not name.startswith(".tmp") for name in names - _BEFORE_THE_PLAN):
            return False
        if unless_locked:
            try:
                with _held(self.lock, ""):
                    return True
            except SearchError:
                return False
        return True

    def remove_left_over(self) -> None:
        """Removes the remains of a search that was killed before its search.json; for the holder of the lock."""
        if not self.plan.exists() and self.is_left_over():
            for path in self.path.iterdir():
                if path != self.lock:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Locks out other searches; the system releases the lock, however this process ends.

        What a search has left that was killed before its search.json is removed.

        Raises:
            SearchError: where another one works in it.
        """
        with _held(self.lock, f"{self.path}: another search works in it: wait, or choose another --out"):
            self.remove_left_over()
            yield

    @contextmanager
    def locked_as(self, worker: str) -> Iterator[None]:
        """Locks out another worker of the same name: both would be given the same trial.

        Raises:
            SearchError: where there is one.
        """
        self.workers.mkdir(exist_ok=True)
        with _held(
            self.workers / f"{worker}.lock", f"{self.path}: a worker {worker!r} works in it: give another --name"
        ):
            yield

    def trial(self, trial_id: str) -> Path:
        """Folder of a trial, made where it is missing."""
        path = self.path / f"trial_{trial_id}"
        path.mkdir(exist_ok=True)
        return path

    def read_plan(self) -> SearchPlan:
        """Contents of search.json.

        Raises:
            SearchError: where it is damaged.
        """
        try:
            return SearchPlan(**files.read_json(self.plan))
        except (OSError, ValueError, TypeError) as error:
            raise SearchError(f"{self.plan}: cannot be read ({error}): start a new search") from None

    def write_plan(self, plan: SearchPlan) -> None:
        """Writes search.json atomically."""
        write_json(self.plan, plan.as_dict())

    def remove_pixels(self) -> None:
        """Removes the decoded pixels: a process killed meanwhile leaves all of them or none."""
        files.discard(self.pixels)

    @contextmanager
    def removed_unless_begun(self) -> Iterator[None]:
        """Remove a search that ends before it has a search.json; for the holder of the lock."""
        try:
            yield
        finally:
            if not self.plan.exists():
                with contextlib.suppress(OSError):
                    self.remove_left_over()  # the lock is last: without it what a kill leaves is not taken over
                shutil.rmtree(self.path, ignore_errors=True)


@contextmanager
def _held(path: Path, otherwise: str) -> Iterator[None]:
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise SearchError(otherwise) from None
    try:
        yield
    finally:
        lock.release()


def write_json(path: Path, record: Any) -> None:
    """Writes a JSON record atomically, so that it survives what kills the process or the machine."""
    files.write_json(path, record, indent=None, durable=True)
