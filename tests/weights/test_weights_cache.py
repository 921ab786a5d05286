"""The cache of converted weights: whole, checked, and no obstacle where it cannot be."""

import os
import subprocess
import sys

import pytest

from kerastricks.cache import cache_home
from kerastricks.weights.files import CONVERTED as FILE
from kerastricks.weights.files import cached_weights

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASTRICKS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


class Writer:
    """Writes some bytes and counts how often."""

    def __init__(self, content=b"weights"):
        self.content = content
        self.calls = 0

    def __call__(self, path):
        assert path.name.endswith(".weights.h5")
        self.calls += 1
        path.write_bytes(self.content)


def use(writer, key="model-1234"):
    with cached_weights(key, writer) as path:
        return path.read_bytes()


def test_it_is_written_once_and_nothing_else_is_left(folder):
    writer = Writer()
    assert use(writer) == use(writer) == b"weights"
    assert writer.calls == 1
    assert use(writer, "other") == b"weights"
    assert writer.calls == 2
    assert sorted(path.name.rsplit("-", 1)[0] for path in folder.iterdir()) == ["model-1234", "other"]


def test_the_folder_is_the_users_own_by_default(monkeypatch, tmp_path):
    monkeypatch.delenv("KERASTRICKS_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_home() == tmp_path / ".cache" / "kerastricks"


@pytest.mark.parametrize("damage", ["changed", "cut", "no sum", "no file", "sum of nothing", "binary sum"])
def test_a_damaged_one_is_made_again_and_says_so(folder, damage):
    writer = Writer()
    use(writer)
    [home] = folder.iterdir()
    file, checksum = home / FILE, home / f"{FILE}.sha256"
    if damage == "changed":
        file.write_bytes(b"weighty")
    elif damage == "cut":
        file.write_bytes(b"weight")
    elif damage == "no file":
        file.unlink()
    elif damage == "no sum":
        checksum.unlink()
    else:
        checksum.write_bytes(b"" if damage == "sum of nothing" else b"\xff\xfe")
    with pytest.warns(UserWarning, match="damaged: they are converted again"):
        assert use(writer) == b"weights"
    assert writer.calls == 2
    assert use(writer) == b"weights"
    assert writer.calls == 2
    assert list(folder.iterdir()) == [home]


def test_an_error_while_writing_leaves_nothing(folder):
    def fail(path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), cached_weights("model", fail):
        pass
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("how", ["a file is there", "read-only"])
def test_a_folder_that_cannot_be_written_costs_a_conversion_each_time(folder, how):
    if how == "read-only":
        if os.geteuid() == 0:
            pytest.skip("root writes everywhere")
        folder.mkdir(parents=True)
        folder.chmod(0o500)
    else:
        folder.parent.write_bytes(b"")
    writer = Writer()
    for _ in range(2):
        with pytest.warns(UserWarning, match="are not kept .* set KERASTRICKS_CACHE"):
            assert use(writer) == b"weights"
    assert writer.calls == 2


def test_a_read_only_folder_with_the_weights_serves(folder, monkeypatch):
    use(Writer())
    monkeypatch.setattr("kerastricks.cache.DiskCache.writing", None)
    assert use(None) == b"weights"


def test_two_processes_at_once_both_get_whole_ones(folder):
    """Each writes bytes of its own and takes its time; all read one whole file, and one remains."""
    code = """
import sys, time
from kerastricks.weights.files import cached_weights
def write(path):
    with open(path, "wb") as file:
        for _ in range(20):
            file.write(sys.argv[1].encode() * 1000)
            file.flush()
            time.sleep(0.01)
with cached_weights("model", write) as path:
    found = path.read_bytes()
print(len(found), len(set(found)))
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", code, letter], stdout=-1, stderr=-1, text=True) for letter in "abc"
    ]
    for process in processes:
        out, errors = process.communicate(timeout=60)
        assert (out.split(), errors) == (["20000", "1"], "")
    [home] = folder.iterdir()
    assert sorted(path.name for path in home.iterdir()) == [FILE, f"{FILE}.sha256"]
    assert use(None, "model")[:1] in b"abc"
