"""The cache on disk: entries appear atomically, leftovers go, and old entries make room."""

import os
import signal
import subprocess
import sys
import time

import pytest

from kerastricks.cache import DiskCache, cache_home

pytestmark = pytest.mark.tensorflow_only
PLENTY = 10**9


@pytest.fixture(params=["files", "folders"])
def suffix(request):
    """Of entries that are files; none for folders."""
    return ".decoded" if request.param == "files" else ""


def names(path):
    return sorted(entry.name for entry in path.iterdir())


def fill(draft, size=7):
    """A draft with so many bytes in it."""
    file = draft / "inside" if draft.is_dir() else draft
    file.write_bytes(bytes(size))


def add(cache, key, size=7):
    with cache.writing(key) as draft:
        fill(draft, size)


def test_the_place_of_all_caches(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KERASTRICKS_CACHE", raising=False)
    assert cache_home() == tmp_path / ".cache" / "kerastricks"
    monkeypatch.setenv("KERASTRICKS_CACHE", "~/own")
    assert cache_home() == tmp_path / "own"
    assert cache_home(tmp_path / "given") == tmp_path / "given"


def test_an_entry_appears_at_the_end_under_the_published_name(tmp_path, suffix):
    cache = DiskCache(tmp_path, PLENTY, suffix)
    with cache.writing("key") as draft:
        fill(draft)
        assert not cache.entry("key").exists()
    assert names(tmp_path) == ["key.decoded" if suffix else "key"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError])
def test_an_error_leaves_nothing(tmp_path, suffix, error):
    cache = DiskCache(tmp_path, PLENTY, suffix)
    with pytest.raises(error), cache.writing("key") as draft:  # noqa: PT012
        fill(draft)
        raise error
    assert names(tmp_path) == []


def test_two_that_write_the_same_at_once_both_end_well(tmp_path, suffix):
    first, second = DiskCache(tmp_path, 100, suffix), DiskCache(tmp_path, 100, suffix)
    with first.writing("key") as one:
        fill(one)
        add(second, "key")
        DiskCache(tmp_path, 100, suffix)
        assert len(names(tmp_path)) == 2
        assert one.exists()
    assert names(tmp_path) == [first.entry("key").name]


WRITER = """
import sys, time
from pathlib import Path
from kerastricks.cache import DiskCache
with DiskCache(Path(sys.argv[1]), 10**9, sys.argv[2]).writing("key") as draft:
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_what_a_killed_process_leaves_is_removed_but_not_before(tmp_path, suffix):
    command = [sys.executable, "-c", WRITER, str(tmp_path), suffix]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            (unfinished,) = tmp_path.iterdir()
            DiskCache(tmp_path, PLENTY, suffix)
            assert unfinished.exists()
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert unfinished.exists()
    DiskCache(tmp_path, PLENTY, suffix)
    assert names(tmp_path) == []


def test_without_locks_leftovers_go_after_a_day(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr("kerastricks.files._lock", lambda path: (None, False))
    for name, age in ((".a-1.unfinished", 2 * 24 * 3600), (".b-2.unfinished", 60)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    DiskCache(tmp_path, PLENTY, suffix)
    assert names(tmp_path) == [".b-2.unfinished"]


def test_those_not_used_for_longest_make_room_but_none_that_is_held(tmp_path, suffix):
    class User:
        """Anything that can be referred to weakly."""

    cache = DiskCache(tmp_path, 40, suffix)
    for age, key in enumerate(["newest", "held", "older", "oldest"]):
        add(cache, key, 10)
        os.utime(cache.entry(key), (1e9 - age, 1e9 - age))
    user = User()
    cache.hold("held", user)
    os.utime(cache.entry("held"), (1, 1))
    cache.touch("older")
    assert cache.make_room(10) is None
    assert names(tmp_path) == sorted(cache.entry(key).name for key in ("held", "newest", "older"))
    assert cache.make_room(20) is None
    assert names(tmp_path) == sorted(cache.entry(key).name for key in ("held", "older"))
    assert cache.make_room(31) == "0.00 GB are needed and the limit leaves 0.00 GB"
    assert len(names(tmp_path)) == 2
    del user
    assert cache.make_room(40) is None
    assert names(tmp_path) == []


def test_what_others_are_writing_counts(tmp_path, suffix):
    ours, others = DiskCache(tmp_path, 100, suffix), DiskCache(tmp_path, 100, suffix)
    with others.writing("key") as draft:
        fill(draft, 60)
        assert ours.make_room(40) is None
        assert "the limit leaves" in ours.make_room(41)


def test_the_disk_limits_too(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage)
    assert "and the disk has 0.00 GB" in DiskCache(tmp_path, PLENTY, suffix).make_room(8)
    assert "and the disk has 0.00 GB" in DiskCache(tmp_path, None, suffix).make_room(8)


class Usage:
    """Of a disk that is almost full."""

    free = 7


def test_other_files_in_the_folder_are_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_bytes(bytes(90))
    for suffix in ("", ".decoded"):
        cache = DiskCache(tmp_path, 100, suffix)
        assert cache.make_room(100) is None
    assert names(tmp_path) == ["notes.txt"]
