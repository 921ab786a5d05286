"""Names of built-in data sets, of files and folders that hold no images, and patterns of groups in names."""

import importlib.util
import os
import re
import unicodedata
import warnings
from pathlib import Path, PurePosixPath

from kerastricks import recipes
from kerastricks.addresses import check_remote, is_remote
from kerastricks.errors import DataError, MissingExtraError, UnknownNameError

BUILTIN_NAMES = ("cifar10", "cifar100", "digits", "fashion_mnist", "mnist")

TFDS_PREFIX = "tfds:"  # data sets of tensorflow_datasets, where it is installed
HF_PREFIX = "hf:"  # data sets of Hugging Face's datasets, where it is installed

# Beside or inside classes, put there by systems and tools; what starts with a dot is ignored as well.
_SYSTEM_FOLDERS = {
    "__macosx", "__pycache__", "$recycle.bin", "system volume information", "lost+found", "found.000",
    "@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "network trash folder",
    "temporary items",
}  # fmt: skip
_SYSTEM_FILES = {
    "thumbs.db", "thumbs.db:encryptable", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r",
    "picasa.ini", "zbthumbnail.info",
}  # fmt: skip
# Ends of names of what stands beside images: annotations, notes, tables, arrays, documents, archives, code, films.
_OTHER = re.compile(
    r"\.(?:xml|json|jsonl|ndjson|geojson|txt|csv|tsv|ya?ml|toml|ini|cfg|conf|names|pbtxt|pts|srt|vtt"
    r"|md|rst|html?|css|js|log|tex|bib|pdf|docx?|odt|rtf|xlsx?|ods|pptx?"
    r"|npy|npz|mat|pkl|pickle|h5|hdf5|parquet|feather|arrow|db|sqlite3?|lmdb|tfrecord|pb|keras|onnx|pth?|ckpt"
    r"|safetensors|zip|tar|gz|tgz|bz2|xz|7z|rar|md5|sha1|sha256|py|pyc|ipynb|m|sh|bat|ps1|exe|dll"
    r"|lnk|url|webloc|torrent|xmp|aae|wav|mp3|m4a|flac|ogg|mp4|m4v|mov|avi|mkv|webm|mpe?g|wmv|3gp)",
    re.IGNORECASE,
)
_IMAGE = re.compile(
    r"\.(?:jpe?g|jpe|jfif|mpo|a?png|gif|bmp|dib|webp|tiff?|hei[cf]|avif|jxl|jp2|p[pgb]m|tga|psd|svg|ico|dng|cr2|nef|arw)",
    re.IGNORECASE,
)

# Several large files at once: "train-{000..012}.tar", "data/*.parquet".
_PATTERN = re.compile(r"(?:\*|\{\d+\.\.\d+\}).*\.(?:parquet|tar)$", re.IGNORECASE)


def is_ignored(part: str) -> bool:
    """Whether a file or folder is ignored by its name: hidden, or a folder of the system."""
    return part.startswith(".") or part.lower() in _SYSTEM_FOLDERS


def is_no_image(name: str) -> bool:
    """Whether the name of a file says that it is no image: an annotation, a note, a thumbnail cache.

    Such a file is an image all the same if its content is one; where it is none, nothing is missing.
    """
    path = PurePosixPath(name)
    return path.name.lower() in _SYSTEM_FILES or _OTHER.fullmatch(path.suffix) is not None


def is_file_name(name: str) -> bool:
    """Whether a name is that of a file and not of a class: it has the suffix of one."""
    return is_no_image(name) or _IMAGE.fullmatch(PurePosixPath(name).suffix) is not None


def kind_of(name: str) -> str:
    """Name of a kind of files: "*.xml", or "Thumbs.db"."""
    path = PurePosixPath(name)
    return path.name if path.name.lower() in _SYSTEM_FILES else f"*{path.suffix.lower()}"


def canonical(name: str) -> str:
    """Normalize a name (NFC): equal for names that look equal, however a system spells their accents."""
    return unicodedata.normalize("NFC", name)


def check_source(source: str) -> None:
    """Refuses what is neither a file nor a name, before anything slow is imported.

    Raises:
        UnknownNameError: for a name that no data set and no recipe has.
        DataError: for a path where nothing is.
        MissingExtraError: for `tfds:NAME` without tensorflow_datasets, `hf:NAME` without datasets.
    """
    if is_remote(source):
        check_remote(source)
        return
    path = Path(os.path.expanduser(source))
    if os.path.exists(path) or source in BUILTIN_NAMES:
        return
    without_columns = re.sub(r"\?[^/?]*=[^?]*$", "", os.path.expanduser(source))
    if os.path.exists(without_columns) or _PATTERN.search(without_columns):
        return
    if source.startswith(TFDS_PREFIX):
        if importlib.util.find_spec("tensorflow_datasets") is None:
            raise MissingExtraError("tensorflow_datasets", "tfds")
        return
    if source.startswith(HF_PREFIX):
        if importlib.util.find_spec("datasets") is None:
            raise MissingExtraError("datasets", "hf")
        return
    if path.suffix or len(path.parts) > 1:
        raise DataError(f"{source}: no such file or folder")
    raise UnknownNameError(
        "data set, recipe or file", source, {*BUILTIN_NAMES, *recipes.names()}, "kerastricks train --help"
    )


def pattern_problem(pattern: str) -> str | None:
    """Say in a few words why a pattern of groups cannot be used; None where it can."""
    try:
        compiled = compile_pattern(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return f"a regular expression ({str(error) or 'it is nested too deeply'})"
    if not compiled.groups:
        return 'a regular expression with a capture group, "([^/]*)_[0-9]+[.]jpg"'
    return None


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a pattern of groups; re.error where it is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what a later Python may read in another way
        return re.compile(pattern)
