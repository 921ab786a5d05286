"""Files and folders written whole: under a temporary name, then renamed; an error names the file."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

import kerastricks
from kerastricks.errors import DataError, WriteError, first_line
from kerastricks.files import (
    append_line,
    begun_folder,
    discard,
    read_json,
    read_json_lines,
    replacing,
    take_name,
    try_read_json,
    whole,
    write_error,
    write_json,
    write_text,
    written,
)

pytestmark = pytest.mark.tensorflow_only
PACKAGE = Path(kerastricks.__file__).parent


def test_a_file_is_written_whole_and_nothing_else_is_left(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1}, durable=True)
    append_line(tmp_path / "lines", "one")
    append_line(tmp_path / "lines", "two", durable=True)
    assert (tmp_path / "a.json").read_text() == '{\n  "b": 1\n}\n'
    assert (tmp_path / "lines").read_text() == "one\ntwo\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "lines"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), ValueError()])
def test_what_was_there_before_stays_after_an_error(error, tmp_path):
    write_text(tmp_path / "a", "before")
    expected = WriteError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected), whole(tmp_path / "a") as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise error
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "before"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "quota is used up"),
        (OSError(errno.EFBIG, "File too large"), "file too large"),
        (OSError(errno.EACCES, "Permission denied"), "Permission denied"),
        # As TensorFlow and HDF5 say it.
        (RuntimeError("/tmp/x/variables.data; No space left on device"), "the disk is full"),
        (RuntimeError("Can't close file (errno = 28, error message = 'full')"), "the disk is full"),
        (OSError("1000000 requested and 124984 written"), "the disk is full"),
        (OSError("Unable to write data (file write failed: errno = 27)"), "file too large"),
    ],
)
def test_an_error_names_the_file_and_why(error, reason, tmp_path):
    with pytest.raises(WriteError, match=rf"cards\.md: cannot be written \(.*{reason}"), written(tmp_path / "cards.md"):
        raise error


def test_errors_that_are_no_writing_stay_as_they_are(tmp_path):
    for error in (ValueError("a bad value"), DataError("no images")):
        assert write_error(tmp_path, error) is None


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_file_that_grows_too_large_is_named(tmp_path):
    code = """
import resource, signal, sys
from pathlib import Path
from kerastricks.files import write_text
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
write_text(Path(sys.argv[1]), "x" * 5000)
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "long"], capture_output=True, text=True, check=False)
    assert "long: cannot be written (file too large)" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_begun_folder_gets_its_name_or_is_gone(tmp_path):
    with begun_folder(tmp_path) as begun:
        (begun / "state").write_text("first")
        take_name(begun, tmp_path / "mine")
    with pytest.raises(KeyboardInterrupt), begun_folder(tmp_path) as begun:
        raise KeyboardInterrupt
    with pytest.raises(FileExistsError), begun_folder(tmp_path) as begun:
        take_name(begun, tmp_path / "mine")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert (tmp_path / "mine" / "state").read_text() == "first"


def test_an_empty_folder_and_no_file_is_taken_over(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("mine")
    with begun_folder(tmp_path) as begun:
        (begun / "state").write_text("first")
        with pytest.raises(FileExistsError):
            take_name(begun, tmp_path / "file")
        take_name(begun, tmp_path / "empty")
    assert (tmp_path / "empty" / "state").exists()
    assert (tmp_path / "file").read_text() == "mine"


def test_what_a_killed_process_left_is_removed_and_what_a_live_one_makes_is_not(tmp_path):
    dead = tmp_path / ".tmp-begun-0123"
    dead.mkdir()
    (dead / "half").write_text("")
    with begun_folder(tmp_path) as alive:
        assert not dead.exists()
        with begun_folder(tmp_path) as other:
            assert alive.exists()
            assert other != alive
    assert os.listdir(tmp_path) == []


def test_an_exclusive_write_leaves_what_came_to_be_there(tmp_path):
    path = tmp_path / "new"
    with replacing(path, exclusive=True) as temporary:
        temporary.write_text("mine")
    with pytest.raises(FileExistsError), replacing(path, exclusive=True) as temporary:
        temporary.write_text("other")
    assert path.read_text() == "mine"
    assert os.listdir(tmp_path) == ["new"]


def test_a_label_keeps_the_name_out_of_the_temporary_one(tmp_path):
    with whole(tmp_path / "events.out", label="log") as temporary:
        assert temporary.name == f".tmp-{os.getpid()}-log"
        temporary.write_text("")
    assert os.listdir(tmp_path) == ["events.out"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_discarded_is_gone_with_what_a_killed_process_left_of_it(tmp_path, kind):
    path = tmp_path / "doomed"
    path.mkdir() if kind == "folder" else path.touch()
    (tmp_path / ".tmp-begun-0123").mkdir()
    discard(path)
    discard(path)
    assert os.listdir(tmp_path) == []


def test_json_is_read_or_says_why_not(tmp_path):
    path = tmp_path / "record"
    assert try_read_json(path) is None
    for damaged in (b"{", b"\xff"):
        path.write_bytes(damaged)
        assert try_read_json(path) is None
        with pytest.raises(ValueError, match=r"."):
            read_json(path)
    path.write_text('{"a": 1}\n{"a": 2}\n')
    assert read_json_lines(path) == [{"a": 1}, {"a": 2}]


def test_the_first_line_of_an_error():
    assert first_line(ValueError("\n one \ntwo")) == "one"
    assert first_line(ValueError()) == "ValueError"
    assert first_line("") == ""


def test_nobody_else_renames_files():
    """Beside the names of the cache's entries and of packed shards, whose number is known at the end."""
    for path in PACKAGE.rglob("*.py"):
        if path.name not in {"files.py", "cache.py", "writers.py"}:
            for word in ("os.replace(", "os.rename(", ".rename(", "mkstemp", "mkdtemp", 'with_name(f".tmp'):
                assert word not in path.read_text(), f"{path}: {word}"
