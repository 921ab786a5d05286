"""Remote sources: those of the local folder to the bit, through faults, without a secret anywhere."""

import base64
import collections
import importlib.util
import json
import os
import socket

import pytest
from conftest import write_image
from faulty_server import Server
from remote_images import give_up_quickly, load_all, same, write_images

from kerastricks import addresses, data, remote
from kerastricks.addresses import public_url
from kerastricks.cli import options, run
from kerastricks.errors import DataError, MissingExtraError
from kerastricks.runs.beginning import start
from kerastricks.training import Config
from kerastricks.training.datasets import load_data

pytestmark = pytest.mark.tensorflow_only
fsspec = pytest.importorskip("fsspec")
pytest.importorskip("aiohttp")

LOGIN = "Basic " + base64.b64encode(b"me:hush").decode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def running(folder):
    server = Server(folder)
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def server(running):
    running.faults = collections.defaultdict(list)
    running.asked.clear()
    running.heads = []
    running.always = running.login = running.token = None
    return running


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    give_up_quickly(monkeypatch, tmp_path)


@pytest.fixture(scope="module")
def memory(folder):
    store = fsspec.filesystem("memory")
    store.put(str(folder), "/bucket", recursive=True)
    yield "memory://bucket"
    store.rm("/bucket", recursive=True)


@pytest.fixture(scope="module")
def local(folder):
    return load_all(folder)


@pytest.mark.parametrize("name", ["pets", "pets/", "pets.zip", "list.csv", "packed", "tars"])
def test_a_remote_source_is_the_local_one_to_the_bit(memory, server, local, name):
    expected = local[name.rstrip("/")]
    same(data.load(f"{memory}/{name}", batch_size=4), expected)
    same(data.load(f"{server.url}/{name}", batch_size=4), expected)


def test_images_are_streamed_where_memory_is_short(server, folder):
    same(
        data.load(f"{server.url}/pets", batch_size=4, memory_bytes=0),
        data.load(folder / "pets", batch_size=4, memory_bytes=0),
    )


@pytest.mark.parametrize("fault", ["reset", 503, 429, "slow", "truncated"])
def test_faults_that_pass_change_nothing(server, local, monkeypatch, fault):
    if fault == "slow":
        monkeypatch.setattr(remote, "TIMEOUT_SECONDS", 0.5)
    server.faults["/pets/dog/é 3%.png"] = [fault, fault]
    same(data.load(f"{server.url}/pets", batch_size=4), local["pets"])
    assert server.asked["GET", "/pets/dog/é 3%.png"] == 3


def test_a_file_as_a_whole_comes_through_faults_too(server, local):
    server.faults["/pets.zip"] = ["truncated", 503, "reset"]
    same(data.load(f"{server.url}/pets.zip", batch_size=4), local["pets.zip"])


@pytest.mark.parametrize(
    ("fault", "words"),
    [("reset", "cannot be reached"), (503, r"cannot be reached \(503"), (403, "no permission"), (410, "is refused")],
)
def test_faults_that_stay_are_one_line_and_leave_nothing(server, tmp_path, capsys, fault, words):
    server.always = fault
    out = tmp_path / "out"
    for name in ("pets", "pets.zip"):
        url = f"http://me:hush@{server.host}/{name}?token=hidden"
        with pytest.raises(DataError, match=words) as error:
            data.load(url)
        assert str(error.value).startswith(f"{server.url}/{name}: ")
        assert not any(part in str(error.value) for part in ("\n", "hush", "hidden"))
    assert run(["pack", f"{server.url}/pets", str(out)]) == 2
    assert not out.exists()
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert not list((tmp_path / "cache").rglob("*.bytes"))
    assert not list((tmp_path / "cache").rglob("*unfinished*"))


def test_a_store_that_fails_in_between_is_an_error_and_not_a_missing_image(server):
    server.faults["/pets/dog/é 3%.png"] = [503] * 9
    with pytest.raises(DataError, match=r"é 3%\.png: cannot be reached \(503"):
        data.load(f"{server.url}/pets", max_skipped=1)


def test_a_server_that_is_too_busy_for_a_question_loses_no_image(server, local):
    server.heads, server.always = [503] * 5, None
    server.faults = collections.defaultdict(lambda: [503])
    assert data.load(f"{server.url}/pets", max_skipped=0).fingerprint == local["pets"].fingerprint


@pytest.mark.parametrize("where", ["{url}/none", "{url}/none.zip", "{memory}/none", "{memory}/none.csv"])
def test_what_is_not_there_is_one_line(server, memory, where):
    with pytest.raises(DataError, match=r"no such file or folder|no files") as error:
        data.load(where.format(url=server.url, memory=memory))
    assert "\n" not in str(error.value)


def test_no_network_is_exit_2(tmp_path, capsys, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{free.getsockname()[1]}/pets"
    assert run(["train", url, "--out", str(tmp_path / "runs")]) == 2
    assert "cannot be reached" in capsys.readouterr().err


def test_what_was_read_is_not_asked_for_again_unless_it_has_changed(folder, local):
    server = Server(folder)  # of which nobody else has asked anything
    url = f"{server.url}/pets"
    data.load(url)
    assert server.bodies() == 16
    same(data.load(url, batch_size=4), local["pets"])
    assert server.bodies() == 16
    changed = folder / "pets" / "dog" / "é 0%.png"
    before, stat = changed.read_bytes(), changed.stat()
    try:
        write_image(changed, (1, 2, 3), (6, 6), 9)
        os.utime(changed, (stat.st_mtime + 5, stat.st_mtime + 5))
        assert data.load(url).fingerprint != local["pets"].fingerprint
        assert server.bodies() == 17
    finally:
        changed.write_bytes(before)
        os.utime(changed, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        server.server.shutdown()
        server.server.server_close()


def test_a_damaged_copy_in_the_cache_is_read_again(server, local, tmp_path):
    data.load(f"{server.url}/pets")
    entries = list((tmp_path / "cache" / "remote").glob("*.bytes"))
    assert len(entries) == 16
    entries[3].write_bytes(entries[3].read_bytes()[:-9])
    entries[5].write_bytes(b"")
    same(data.load(f"{server.url}/pets", batch_size=4), local["pets"])


@pytest.mark.parametrize("limit", ["0", "0.0000008"])
def test_the_cache_has_a_limit(server, local, tmp_path, monkeypatch, limit):
    monkeypatch.setenv("KERASTRICKS_REMOTE_CACHE_GB", limit)
    assert data.load(f"{server.url}/pets", memory_bytes=0).fingerprint == local["pets"].fingerprint
    kept = sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*.bytes"))
    assert kept <= float(limit) * 1e9
    with pytest.raises(DataError, match="no room for a copy"):
        data.load(f"{server.url}/pets.zip")


def test_a_limit_that_is_none_is_refused(memory, monkeypatch):
    monkeypatch.setenv("KERASTRICKS_REMOTE_CACHE_GB", "much")
    with pytest.raises(DataError, match="KERASTRICKS_REMOTE_CACHE_GB must be a number"):
        data.load(f"{memory}/pets")


def test_secrets_of_an_address_serve_and_are_written_nowhere(server, tmp_path, capsys):
    server.login = LOGIN
    config = Config(data=f"http://me:hush@{server.host}/pets")
    folder = start(config, tmp_path / "runs", "one", None)
    recorded = json.loads(folder.config.read_text())["config"]
    assert recorded["data"] == f"{server.url}/pets"
    assert load_data(recorded["data"], Config(**recorded)).name == "pets"
    assert run(["pack", f"http://me:hush@{server.host}/pets", str(tmp_path / "packed")]) == 0
    shown = capsys.readouterr()
    assert "hush" not in shown.out + shown.err
    for file in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert b"hush" not in file.read_bytes(), file
    addresses._whole.clear()  # as in another process
    with pytest.raises(DataError, match=r"no permission \(401"):
        data.load(f"{server.url}/pets")


def test_a_query_serves_a_file(server, local):
    server.token = "token=hidden"
    same(data.load(f"{server.url}/pets.zip?token=hidden", batch_size=4), local["pets.zip"])


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("https://u:p@host:8/a/b.zip?x=1#y", "https://host:8/a/b.zip"),
        ("S3://bucket/a b", "s3://bucket/a b"),
        ("https://host/it@home/x", "https://host/it@home/x"),
        ("images/cats", "images/cats"),
        ("C:/images", "C:/images"),
        ("tfds:mnist", "tfds:mnist"),
    ],
)
def test_public_addresses(url, public):
    assert public_url(url) == public
    assert Config(data=url).data == public
    assert "p@" not in str(options.SOURCE.convert(url, None, None))


def test_an_address_needs_the_extra(monkeypatch, tmp_path, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "s3fs" else found(name))
    with pytest.raises(MissingExtraError, match=r"s3fs is not installed: pip install 'kerastricks\[remote\]'"):
        data.load("s3://bucket/images")
    assert run(["train", "s3://bucket/images", "--out", str(tmp_path / "runs")]) == 2
    assert "kerastricks[remote]" in capsys.readouterr().err


def test_model_files_and_run_folders_are_copied(memory, tmp_path):
    store = fsspec.filesystem("memory")
    store.pipe({"/bucket/run/model.keras": b"PK model", "/bucket/run/summary.json": b"{}", "/bucket/run/x/deep": b"no"})
    file = options.RUN.convert("memory://bucket/run/model.keras", None, None)
    assert (file.name, file.read_bytes()) == ("model.keras", b"PK model")
    run_folder = options.RUN.convert("memory://bucket/run", None, None)
    assert sorted(path.name for path in run_folder.iterdir()) == ["model.keras", "summary.json", "x"]
    assert (run_folder / "x" / "deep").read_bytes() == b"no"
    assert options.MODEL.convert("memory://bucket/run/model.keras", None, None) == str(file)
    with pytest.raises(DataError, match="no such file or folder"):
        options.RUN.convert("memory://bucket/lost", None, None)
    assert run(["train", "digits", "--out", "s3://bucket/runs"]) == 2


@pytest.mark.parametrize("name", ["../up", "a/../../up", "/up", "a//b", "..\\up", "C:up"])
def test_a_name_that_leads_out_of_the_cache_is_refused(memory, tmp_path, name):
    folder = remote.RemoteFolder("memory://bucket")
    with pytest.raises(DataError, match="leads out"):
        folder.fetch([name], object())


def test_a_table_cannot_reach_files_of_this_machine(memory, tmp_path):
    here = write_image(tmp_path / "here.png", (1, 2, 3), (6, 6))
    rows = [f"{here},dog", *(f"pets/dog/é {number}%.png,dog" for number in range(8)), "pets/big cat/é 1%.png,cat"]
    fsspec.filesystem("memory").pipe("/bucket/evil.csv", "\n".join(["file,label", *rows]).encode())
    with pytest.raises(DataError, match=r"1 of 10 files cannot be used.*no such file or folder"):
        data.load("memory://bucket/evil.csv", classes=["cat", "dog"])


TINY = ("--epochs", "1", "--model", "mlp(depth=1, width=4)", "--set", "batch_size=4")


@pytest.mark.slow
def test_a_run_on_groups_of_a_remote_folder_is_evaluated_on_its_own_test_images(server, folder, tmp_path, capsys):
    pattern = r"/é (\d)"
    options = [*TINY, "--out", str(tmp_path), "--group", pattern, "--name", "grouped"]
    assert run(["train", f"http://me:hush@{server.host}/pets", *options]) == 0
    assert json.loads((tmp_path / "grouped" / "config.json").read_text())["config"]["group"] == pattern
    capsys.readouterr()
    for place in (f"{server.url}/pets", str(folder / "pets")):
        assert run(["evaluate", str(tmp_path / "grouped"), place, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["split"] == "test (the images the run did not train on)"
    for file in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert b"hush" not in file.read_bytes(), file
    copied = fsspec.filesystem("memory")
    copied.put(str(tmp_path / "grouped") + "/", "/models/grouped", recursive=True)
    image = str(folder / "pets" / "dog" / "é 0%.png")
    assert run(["predict", "memory://models/grouped", image]) == 0


@pytest.mark.parametrize("pattern", ["dog", "(", "(z)"])
def test_a_pattern_that_is_no_use_is_one_line_of_the_command(folder, tmp_path, capsys, pattern):
    assert run(["train", str(folder / "pets"), *TINY, "--out", str(tmp_path / "runs"), "--group", pattern]) == 2
    shown = capsys.readouterr().err
    assert "group" in shown
    assert shown.count("\n") == 1
