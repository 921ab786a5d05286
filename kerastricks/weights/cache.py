"""Converted weights, kept: a Keras weights file and its checksum in a folder of their own."""

import contextlib
import os
import secrets
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from kerastricks.weights.files import sha256_of

# Part of each name: another one where the conversion changes.
_FORMAT = 1
_DAY = 24 * 3600
FILE = "model.weights.h5"
_SUM = f"{FILE}.sha256"


def cache_folder() -> Path:
    """Where converted weights are kept: $KERASTRICKS_CACHE/weights, or ~/.cache/kerastricks/weights."""
    base = os.environ.get("KERASTRICKS_CACHE")
    return (Path(os.path.expanduser(base)) if base else Path(os.path.expanduser("~/.cache/kerastricks"))) / "weights"


@contextlib.contextmanager
def cached_weights(key: str, write: Callable[[Path], None]) -> Iterator[Path]:
    """The file of a key: found and compared with its checksum, or written now.

    It is written under another name and renamed with its checksum in one step, so that several processes may do so at
    once: the first wins and the others use its file. Where the folder cannot be written, the file is a temporary
    one, and a warning says so.

    Args:
        key: name of the weights and of the file they come from.
        write: writes the file at a path that ends in `.weights.h5`.

    Yields:
        Its path.
    """
    home = cache_folder() / f"{key}-{_FORMAT}"
    if _is_whole(home):
        yield home / FILE
        return
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(home.parent)
        if home.exists():
            warnings.warn(f"{home}: converted weights that are damaged: they are converted again", stacklevel=4)
            away = home.with_name(f".{key}-{secrets.token_hex(4)}.unfinished")
            with contextlib.suppress(FileNotFoundError):  # another process was first
                home.rename(away)
            shutil.rmtree(away, ignore_errors=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{key}-", suffix=".unfinished", dir=home.parent))
    except OSError as error:
        warnings.warn(
            f"{home.parent}: converted weights are not kept ({error.strerror or error}) and converted at each use: set "
            "KERASTRICKS_CACHE to a folder that can be written",
            stacklevel=4,
        )
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder, FILE))
            yield Path(folder, FILE)
        return
    try:
        write(draft / FILE)
        (draft / _SUM).write_text(f"{sha256_of(draft / FILE)}  {FILE}\n", encoding="ascii")
        draft.chmod(0o755)
        with contextlib.suppress(OSError):  # another process was first
            draft.rename(home)
        yield (home if _is_whole(home) else draft) / FILE
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _remove_leftovers(folder: Path) -> None:
    """What a process left that was killed."""
    for path in folder.glob(".*.unfinished"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _DAY:
                shutil.rmtree(path, ignore_errors=True)


def _is_whole(home: Path) -> bool:
    try:
        return (home / _SUM).read_text(encoding="ascii").split()[:1] == [sha256_of(home / FILE)]
    except (OSError, ValueError):
        return False
