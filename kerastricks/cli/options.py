"""Types of the options of all commands, each with its bounds, declared once.

A value that no command could use is refused when the line is parsed, before TensorFlow is imported.
"""

import errno
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import click

from kerastricks import bounds
from kerastricks.addresses import check_remote, is_remote, public_url
from kerastricks.bounds import CONFIG, Bounds, is_text, shown
from kerastricks.errors import RunFailedError, UsageError
from kerastricks.files import replacing
from kerastricks.remote import fetched_model

_LONGEST_NAME = 200  # bytes: a file system takes 255, and temporary names add some


class Number(click.ParamType):
    """An integer or a float within bounds.

    Args:
        legal: its bounds.
    """

    def __init__(self, legal: Bounds) -> None:
        self.bounds = legal
        self.name = "integer" if legal.whole else "float"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float:
        """The number that a text stands for."""
        try:
            number = int(value) if self.bounds.whole else float(value)
        except (ValueError, OverflowError):
            self.fail(f"must be a {'whole ' if self.bounds.whole else ''}number. Received: {shown(value)}", param, ctx)
        if not self.bounds.holds(number):
            self.fail(f"must be {self.bounds.rule}. Received: {shown(number)}", param, ctx)
        return number


class Text(click.ParamType):
    """A text that can be printed, written to a file and used in a path: a spec, a class, an address.

    Args:
        one_line: whether it may hold no line break or other control character.
        longest: how many characters it may have.
    """

    name = "text"

    def __init__(self, one_line: bool = True, longest: int = 300) -> None:
        self.one_line = one_line
        self.longest = longest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The text itself."""
        if isinstance(value, str) and not is_text(value):
            self.fail(f"must be valid UTF-8 without NUL. Received: {shown(value)}", param, ctx)
        if isinstance(value, str) and self.one_line and any(ord(letter) < 32 or ord(letter) == 127 for letter in value):
            self.fail(f"must be one line without control characters. Received: {shown(value)}", param, ctx)
        if isinstance(value, str) and len(value) > self.longest:
            self.fail(f"must have at most {self.longest:,} characters. Received: {shown(value)}", param, ctx)
        return value


class Choice(click.Choice):
    """One of a few words."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The word itself."""
        return super().convert(TEXT.convert(value, param, ctx), param, ctx)


class Name(Text):
    """A plain name of a file or folder, without the folder that it is in."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The name itself."""
        value = super().convert(value, param, ctx)
        if not value or "/" in value or value.startswith(".") or len(value.encode()) > _LONGEST_NAME:
            self.fail(
                f"must be a plain name, without folders, of at most {_LONGEST_NAME} bytes. Received: {shown(value)}",
                param,
                ctx,
            )
        return value


class PathText(Text):
    """A path; "~" is the home directory.

    Args:
        as_text: whether it may also be a name, such as digits, and is returned as text.
        spec: whether it may also be a spec, which may be too long for a path.
        any_bytes: whether a name may be invalid UTF-8, as those of images may.
        kind: "file" or "folder", which it is if it is there; "" for either.
        fetched: whether a remote file or run folder is copied to this machine, and the path is the copy's.
    """

    name = "path"

    def __init__(
        self, as_text: bool = False, spec: bool = False, any_bytes: bool = False, kind: str = "", fetched: bool = False
    ) -> None:
        super().__init__(one_line=False, longest=10_000)
        self.fetched = fetched
        self.as_text = as_text
        self.spec = spec
        self.any_bytes = any_bytes
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A `Path`, or the text where that may be a name."""
        text = os.fspath(value)
        if not text:
            self.fail("is empty: name a file or folder", param, ctx)
        if is_remote(text):
            super().convert(text, param, ctx)
            if self.fetched:
                check_remote(text)
                return str(fetched_model(text)) if self.as_text else fetched_model(text)
            if self.as_text:
                return public_url(text)
            self.fail(f"must be a local path. Received: {public_url(text)}", param, ctx)
        if not self.any_bytes or "\0" in text:
            super().convert(text, param, ctx)
        if text.startswith("~"):
            user, text = text, os.path.expanduser(text)
            if text == user and not os.path.lexists(text):
                self.fail(f"{user}: no such home directory: ./{user} is a file of that name", param, ctx)
        if not self.spec or "(" not in text:
            try:
                os.lstat(text)
            except OSError as error:
                if error.errno in (errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES):
                    self.fail(f"{shown(text)}: {error.strerror}", param, ctx)
        if self.kind == "folder" and os.path.lexists(text) and not os.path.isdir(text):
            self.fail(f"{text}: is a file: name a folder", param, ctx)
        if self.kind == "file" and os.path.isdir(text):
            self.fail(f"{text}: is a folder: name a file", param, ctx)
        return text if self.as_text else Path(text)


class Assignment(Text):
    """FIELD=VALUE; a value is checked with the rest of the configuration, except for the path of the data."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The text itself."""
        text = super().convert(value, param, ctx)
        field, _, data = text.partition("=")
        if field.strip() == "data":
            return f"{field}={PathText(as_text=True).convert(data, param, ctx)}"
        return text


class OutputFile(PathText):
    """A file that a command writes; it must not exist, since nothing is overwritten.

    Args:
        suffix: that its name must end in; "" for any.
        streams: whether it may be a pipe, a device or this command's own output as well.
    """

    def __init__(self, suffix: str = "", streams: bool = False) -> None:
        super().__init__()
        self.suffix = suffix
        self.streams = streams

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The `Path` to write to; a link is resolved, so that it is not replaced."""
        path = super().convert(value, param, ctx)
        try:
            return self.check(path)
        except UsageError as error:
            self.fail(str(error), param, ctx)

    def check(self, path: Path) -> Path:
        """The path, all links in it followed.

        Raises:
            UsageError: where it cannot be written, or something is there.
        """
        if path.suffix.lower() != self.suffix and self.suffix:
            raise UsageError(f"{path}: must be a {self.suffix} in a folder that is there and can be written to")
        if self.streams and (_own_output(path) is not None or _is_stream(path)):
            return path
        real = Path(os.path.realpath(path))
        if os.path.isdir(real):
            raise UsageError(f"{path}: is a folder: name a file in it")
        if os.path.lexists(real):
            raise UsageError(f"{path} exists already and is not overwritten: delete it or give another name")
        if len(os.fsencode(real.name)) > _LONGEST_NAME:
            raise UsageError(f"{shown(str(path))}: a name has at most {_LONGEST_NAME} bytes")
        if not os.access(real.parent, os.W_OK | os.X_OK):
            there = "cannot be written to" if real.parent.is_dir() else "is not there: make it first"
            raise UsageError(f"{path}: the folder {real.parent} {there}")
        return real if path.is_symlink() else path


def free_name(name: str) -> Path:
    """A new file in the working directory: preview.png, or preview-2.png and so on.

    Raises:
        UsageError: where nothing can be written there.
    """
    path, number = Path(name), 2
    while os.path.lexists(path):
        path, number = Path(f"{Path(name).stem}-{number}{Path(name).suffix}"), number + 1
    return OutputFile(path.suffix).check(path)


def write_output(path: Path, write: Callable[[TextIO], None]) -> None:
    """Write a text file that `OutputFile` has checked, atomically, or into a pipe or device.

    Args:
        path: of the file.
        write: is called with the open file. Letters that are not valid UTF-8 (of file names) are written as "\\xff".

    Raises:
        UsageError: where a file has come to be there meanwhile.
        RunFailedError: where it cannot be written.
    """
    try:
        _write(path, write)
    except BrokenPipeError:  # the reader has seen enough
        raise
    except OSError as error:
        raise RunFailedError(f"{path}: cannot be written ({error.strerror})") from None


def _write(path: Path, write: Callable[[TextIO], None]) -> None:
    how: dict[str, Any] = {"encoding": "utf-8", "errors": "backslashreplace", "newline": ""}
    own = _own_output(path)
    if own is not None or _is_stream(path):
        if own is not None:
            (sys.stdout if own == 1 else sys.stderr).flush()
        # Its own output is not opened again: that would truncate what is there already.
        with open(os.dup(own) if own is not None else path, "w", **how) as file:
            write(file)
        return
    try:
        with replacing(path, exclusive=True) as temporary, open(temporary, "w", **how) as file:
            write(file)
    except FileExistsError:
        raise UsageError(f"{path} exists already and is not overwritten: give another name") from None


def _is_stream(path: Path) -> bool:
    """Whether it is a pipe or a device such as a terminal, and not a disk."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def _own_output(path: Path) -> int | None:
    """1 or 2 if the path, such as /dev/stdout, is this process's own output."""
    for descriptor in (1, 2):
        try:
            if os.path.samestat(path.stat(), os.fstat(descriptor)):
                return descriptor
        except OSError:
            continue
    return None


def number(low: float, high: float | None = None, *, whole: bool = True, above: bool = False) -> Number:
    """A number that only one command takes."""
    return Number(Bounds(low, high, whole=whole, above=above))


def field(name: str) -> Number:
    """A number that is a field of the configuration, with its bounds."""
    return Number(CONFIG[name])


SEED = Number(bounds.SEED)
SHARE = Number(bounds.FRACTION)
SEEDS = number(2, 1000)
SECONDS = number(0, 3600, whole=False)
PORT = number(0, 65535)
TEXT = Text()
SPEC = Text(one_line=False, longest=10_000)
CLASSES = Text(longest=100_000)
NAME = Name()
PATH = PathText()
RUN = PathText(fetched=True)
FOLDER = PathText(kind="folder")
FILE = PathText(kind="file")
IMAGES = PathText(any_bytes=True)
SOURCE = PathText(as_text=True)
MODEL = PathText(as_text=True, spec=True, fetched=True)
PNG = OutputFile(".png")


def assignments(command: Any) -> Any:
    """--set FIELD=VALUE, repeatable."""
    return click.option(
        "--set",
        "assignments",
        multiple=True,
        type=Assignment(one_line=False, longest=100_000),
        metavar="FIELD=VALUE",
        help="Any field of the configuration.",
    )(command)


def out(command: Any) -> Any:
    """--out, the folder that gets run folders."""
    return click.option("--out", type=PATH, default=Path("saved_models"), show_default=True)(command)


def cache_dir(command: Any) -> Any:
    """--cache-dir of commands that train on files."""
    return click.option(
        "--cache-dir",
        type=FOLDER,
        metavar="DIR",
        help="Folder on a local disk to cache decoded images for random_resized_crop.",
    )(command)
