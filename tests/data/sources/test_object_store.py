"""An object store on this machine: the local folder to the bit, and through faults in front of it."""

import pytest
from conftest import write_image
from faulty_server import Proxy
from remote_images import give_up_quickly, load_all, same, write_images

from kerastricks import data
from kerastricks.cli import run
from kerastricks.errors import DataError

pytestmark = [pytest.mark.tensorflow_only, pytest.mark.slow]
fsspec = pytest.importorskip("fsspec")
pytest.importorskip("aiohttp")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def local(folder):
    return load_all(folder)


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    give_up_quickly(monkeypatch, tmp_path)


@pytest.fixture(scope="module")
def s3():
    """An object store on this machine; its address is in the environment, as of any other."""
    moto = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    store = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    store.start()
    host, port = store.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        yield f"http://{host}:{port}"
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    store.stop()


def test_an_object_store_is_the_local_folder_to_the_bit(s3, folder, local, tmp_path):
    store = fsspec.filesystem("s3")
    store.mkdir("s3://bucket")
    store.put(str(folder) + "/", "s3://bucket/in", recursive=True)
    for name, expected in local.items():
        same(data.load(f"s3://bucket/in/{name}", batch_size=4), expected)
    data.load("s3://bucket/in/pets")
    store.pipe("s3://bucket/in/pets/dog/é 0%.png", write_image(tmp_path / "x.png", (1, 2, 3), (6, 6), 9).read_bytes())
    assert data.load("s3://bucket/in/pets").fingerprint != local["pets"].fingerprint
    for lost in ("s3://bucket/none", "s3://no-such-bucket/pets", "s3://bucket/in/none.zip"):
        with pytest.raises(DataError, match=r"no such file or folder|no files") as error:
            data.load(lost)
        assert "\n" not in str(error.value)


@pytest.fixture
def proxy(s3, folder, monkeypatch):
    """The object store with a bucket of the images, reached through what misbehaves."""
    store = fsspec.filesystem("s3")
    store.mkdir("s3://shop")
    store.put(str(folder / "pets") + "/", "s3://shop/pets", recursive=True)
    proxy = Proxy(s3.removeprefix("http://"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    yield proxy
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    proxy.server.shutdown()
    proxy.server.server_close()
    monkeypatch.undo()
    fsspec.filesystem("s3").rm("s3://shop", recursive=True)


def test_faults_of_an_object_store_that_pass_change_nothing(proxy, local):
    faults = ["reset", 503, "slow", "truncated"]
    for number, fault in enumerate(faults):
        proxy.faults[f"dog/é {number}%.png"] = [fault, fault]
    same(data.load("s3://shop/pets", batch_size=4), local["pets"])
    assert all(proxy.met[fault] for fault in faults)


@pytest.mark.parametrize("fault", ["reset", 503, "truncated"])
def test_faults_of_an_object_store_that_stay_are_one_line_and_leave_nothing(proxy, tmp_path, capsys, fault):
    proxy.faults["dog/é 3%.png"] = [fault] * 100
    assert run(["pack", "s3://shop/pets", str(tmp_path / "out"), "--max-skipped", "1"]) == 2
    shown = capsys.readouterr().err
    assert "dog/é 3%.png: cannot be reached" in shown
    assert shown.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_bucket_without_permission_is_one_line(s3, monkeypatch, tmp_path, capsys):
    s3fs = fsspec.get_filesystem_class("s3")

    async def denied(self, *args, **kwargs):
        raise PermissionError(13, "Access Denied")

    monkeypatch.setattr(s3fs, "_call_s3", denied)
    assert run(["train", "s3://private/pets", "--out", str(tmp_path / "runs")]) == 2
    shown = capsys.readouterr().err
    assert "s3://private/pets: no permission" in shown
    assert shown.count("\n") == 1
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())
