"""Batches from workers: the same as local ones, and what of them is left when a worker or the dispatcher is killed."""

import collections
import http.server
import logging
import os
import shutil
import signal
import socket
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from conftest import write_image
from service_processes import Cluster

from kerastricks import data
from kerastricks.data.service import address as reach
from kerastricks.data.service import ask, service, stream
from kerastricks.data.service import service as probe
from kerastricks.data.service.address import Address
from kerastricks.data.service.listening import Listening
from kerastricks.data.service.servers import dispatcher
from kerastricks.data.service.service import Service, distribute
from kerastricks.errors import DataError, ServiceError, ServiceLostError

pytestmark = pytest.mark.tensorflow_only

COUNT, BATCH_SIZE = 3000, 10
# A worker that dies takes with it what it has in work: a batch for each core, at most 16, in each of two parallel
# stages, and what lies between the stages and on its way to the trainer.
IN_WORK = 2 * min(os.cpu_count(), 16) + 12


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A dispatcher with a worker."""
    cluster = Cluster(tmp_path_factory.mktemp("dispatcher"))
    try:
        cluster.workers(1)
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(stream, "LOST_SECONDS", 2.0)
    monkeypatch.setattr(stream, "SETTLE_SECONDS", 1.0)
    monkeypatch.setattr(stream, "_DISPATCHER_SECONDS", 0.5)


def numbered(count=COUNT):
    """Image i holds the number i in two pixels."""
    numbers = np.arange(count)
    images = np.zeros((count, 4, 4, 1), "uint8")
    images[:, 0, 0, 0], images[:, 0, 1, 0] = numbers % 256, numbers // 256
    return images, numbers % 3


def numbers(images):
    images = np.asarray(images).astype(int)
    return (images[:, 0, 0, 0] + 256 * images[:, 0, 1, 0]).tolist()


def content(dataset):
    """The batches as a multiset of bytes."""
    return collections.Counter(images.numpy().tobytes() + labels.numpy().tobytes() for images, labels in dataset)


def read_epoch(loaded, act=None):
    """The numbers of all images, as slowly as a training; `act` is called with each step."""
    seen = []
    for step, (images, _) in enumerate(loaded.train):
        assert len(images) == BATCH_SIZE
        seen += numbers(images)
        if act is not None:
            act(step)
        time.sleep(0.005)
    return seen


def test_batches_are_those_of_the_local_pipeline_epoch_by_epoch(cluster):
    options = {"augment": "flip | pad_crop(1)", "batch_size": 7, "seed": 3}
    local, far = (data.load(numbered(500), data_service=where, **options) for where in (None, cluster.address))
    assert far.steps_per_epoch * 7 != far.splits["train"].size  # a remainder is left out
    for _ in range(2):
        assert content(far.train) == content(local.train)
    assert content(far.train_from(40).take(30)) == content(local.train_from(40).take(30))  # over the end of an epoch
    assert far.reseeded(4).train.element_spec == local.train.element_spec
    assert content(far.reseeded(4).train) != content(local.reseeded(3).train)


def test_every_image_of_an_epoch_comes_once(cluster):
    far = data.load(numbered(), batch_size=BATCH_SIZE, data_service=cluster.address)
    seen = read_epoch(far)
    assert len(seen) == len(set(seen)) == far.steps_per_epoch * BATCH_SIZE


@pytest.mark.slow
def test_files_and_packed_ones_give_the_local_batches_and_evaluation_stays_here(cluster, split_folder, tmp_path):
    for format in ("tfrecord", "webdataset", "parquet"):
        data.pack(split_folder, tmp_path / format, format=format, shard_mb=0.02)
    options = {"augment": "flip | fancy_pca(0.3)", "batch_size": 8, "stages": "host"}
    local = data.load(split_folder, **options)
    expected = content(local.train)
    for source in (split_folder, *(tmp_path / format for format in ("tfrecord", "webdataset", "parquet"))):
        far = data.load(source, data_service=cluster.address, **options)
        assert not far.in_memory
        assert content(far.train) == expected
    batches, others = list(far.test), list(local.test)
    assert [len(images) for images, _ in batches] == [8, 4]  # in order, with the partial one
    for (images, labels), (other_images, other_labels) in zip(batches, others, strict=True):
        np.testing.assert_array_equal(images, other_images)
        np.testing.assert_array_equal(labels, other_labels)


def test_fewer_images_come_from_the_workers_too(cluster):
    few = data.load(numbered(500), batch_size=7, data_service=cluster.address).limited(20)
    assert [len(images) for images, _ in few.train] == [7, 7]
    assert few.splits["train"].service is not None


def test_functions_compiled_with_xla_run_in_the_worker(cluster):
    scale = tf.function(lambda x: tf.cast(x, tf.float32) * 2 + 1, jit_compile=True)
    far = distribute(tf.data.Dataset.range(8).map(scale), Address.parse(cluster.address))
    assert sorted(far.as_numpy_iterator()) == [2 * i + 1 for i in range(8)]


@pytest.mark.slow
def test_a_killed_worker_costs_what_it_had_in_work_and_the_epoch_ends(cluster, impatient, caplog):
    (victim,) = cluster.workers(1)
    far = data.load(numbered(), batch_size=BATCH_SIZE, data_service=cluster.address)
    endless = far.train_from(0).map(lambda images, labels: images).as_numpy_iterator()
    endless_seen = []

    def read_both(step):
        endless_seen.append(tuple(numbers(next(endless))))
        if step == 60:
            victim.kill()

    with caplog.at_level(logging.WARNING, "kerastricks"):
        seen = read_epoch(far, read_both)
    assert len(seen) == len(set(seen))  # none twice
    steps = far.steps_per_epoch
    lost = steps - len(seen) // BATCH_SIZE
    print(f"lost {lost} of {steps} batches with the worker")
    assert 0 <= lost <= IN_WORK
    assert lost == 0 or f"{lost} of the epoch's {steps} batches were lost" in caplog.text
    # Endless batches go on: none twice, and few of those before are not there.
    local = data.load(numbered(), batch_size=BATCH_SIZE)
    known = [tuple(numbers(images)) for images, _ in local.train_from(0).take(2 * steps)]
    assert len(endless_seen) == len(set(endless_seen))
    assert set(endless_seen) <= set(known)
    assert len(set(known[: len(endless_seen)]) - set(endless_seen)) <= 2 * IN_WORK  # lost, or still in work elsewhere
    # The dispatcher still lists the dead worker: a later epoch is whole, and does not wait for it.
    began = time.monotonic()
    seen = read_epoch(far)
    assert len(seen) == len(set(seen)) == steps * BATCH_SIZE
    assert time.monotonic() - began < stream.NOTICE_SECONDS


@pytest.mark.slow
def test_a_killed_dispatcher_that_is_started_again_costs_a_step_of_each_worker_at_most(cluster, monkeypatch):
    # Longer than the workers need to find it again.
    monkeypatch.setattr(stream, "LOST_SECONDS", 10.0)
    monkeypatch.setattr(stream, "SETTLE_SECONDS", 10.0)
    far = data.load(numbered(), batch_size=BATCH_SIZE, data_service=cluster.address)

    def kill_and_restart(step):
        if step == 60:
            cluster.dispatcher.kill()
            time.sleep(0.5)
            cluster.restart_dispatcher()

    seen = read_epoch(far, kill_and_restart)
    assert len(seen) == len(set(seen))
    lost = far.steps_per_epoch - len(seen) // BATCH_SIZE
    print(f"lost {lost} of {far.steps_per_epoch} batches with the dispatcher")
    # A step that it had noted and not yet told: at most one for each worker that asks at that moment.
    assert lost <= len(cluster.servers)
    seen = read_epoch(far)
    assert len(seen) == len(set(seen)) == far.steps_per_epoch * BATCH_SIZE


def test_a_file_that_workers_cannot_read_is_named_before_the_first_batch(cluster, tmp_path, monkeypatch):
    for label in ("a", "b"):
        for index in range(8):
            write_image(tmp_path / label / f"{index}.png", (20 * index, 0, 0), seed=index)
    real = tf.data.Dataset.apply

    def elsewhere(dataset, function):
        (tmp_path / "a").rename(tmp_path / "moved")  # when the worker looks, it is not there
        return real(dataset, function)

    monkeypatch.setattr(tf.data.Dataset, "apply", elsewhere)
    with pytest.raises(ServiceError, match=r"/a/\d\.png; No such file .*under the path they have here") as caught:
        data.load(tmp_path, data_service=cluster.address)
    assert "\n" not in str(caught.value)


def test_another_file_under_the_same_path_is_named(cluster, image_folder, monkeypatch):
    real = tf.data.Dataset.apply

    def changed(dataset, function):
        write_image(sorted(image_folder.rglob("*.jpg"))[0], (1, 2, 3))
        return real(dataset, function)

    monkeypatch.setattr(tf.data.Dataset, "apply", changed)
    with pytest.raises(ServiceError, match=r"another file than is here: .*/blue/00\.jpg"):
        data.load(image_folder, data_service=cluster.address, validation=0.05, test=0.05, seed=1)


def test_a_file_lost_during_the_training_ends_it_in_one_line(cluster, image_folder):
    far = data.load(image_folder, batch_size=4, data_service=cluster.address)
    for path in image_folder.rglob("*.jpg"):
        path.unlink()
    with pytest.raises(DataError, match=r"jpg: can no longer be read \(No such file") as caught, far.one_error():
        list(far.train_from(0).take(50))
    assert "\n" not in str(caught.value)


def test_sources_that_workers_cannot_read_are_refused(cluster, image_folder, tmp_path, monkeypatch):

    archive = shutil.make_archive(str(tmp_path / "images"), "zip", image_folder)
    with pytest.raises(DataError, match="unpack or pack it where they can read it"):
        data.load(archive, data_service=cluster.address)
    monkeypatch.setattr(service, "MAX_ARRAY_BYTES", 1_000_000)
    with pytest.raises(DataError, match=r"2 MB of arrays are more than the 1 MB .* kerastricks\.data\.pack"):
        data.load((np.zeros((100, 84, 84, 3), "uint8"), np.arange(100) % 2), data_service=cluster.address)


@pytest.mark.parametrize(
    "text", ["", "5050", "localhost:5050", "http://localhost:5050", "grpc://localhost", "grpc://h:0", "grpc://h:70000",
             "grpc://a b:1", "grpc://::1:5050", "grpc://h:1/x", "grpc://h:1\n"],
)  # fmt: skip
def test_a_malformed_address_is_refused(text):
    with pytest.raises(ServiceError, match=r"^data_service must be grpc://HOST:PORT, such as .* Received: "):
        data.load(numbered(50), data_service=text)


def test_addresses_are_read_and_written():
    for text in ("grpc://127.0.0.1:5050", "grpc://[::1]:1", "grpc://node-1.example:65535"):
        assert str(Address.parse(text)) == text
    assert Address.parse("grpc://[::1]:7") == Address("::1", 7)


def test_a_dispatcher_that_does_not_answer_is_waited_for_and_named(monkeypatch):
    monkeypatch.setattr(reach, "WAIT_SECONDS", 0.5)
    with socket.socket() as closed, socket.create_server(("127.0.0.1", 0)) as silent:
        closed.bind(("127.0.0.1", 0))
        for port, message in ((closed.getsockname()[1], "refused"), (silent.getsockname()[1], "timed out")):
            began = time.monotonic()
            with pytest.raises(ServiceError, match=rf"grpc://127\.0\.0\.1:{port}: no dispatcher answers .*{message}.*"):
                data.load(numbered(50), data_service=f"grpc://127.0.0.1:{port}")
            assert 0.3 < time.monotonic() - began < 5


def test_a_server_that_speaks_something_else_is_no_dispatcher():
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(ServiceError, match="what answers there is no dispatcher"):
            data.load(numbered(50), data_service=f"grpc://127.0.0.1:{server.server_port}")
        server.shutdown()


def test_a_worker_is_no_dispatcher(cluster):
    address = next(server.address for server in cluster.servers if server.address != cluster.address)
    with pytest.raises(ServiceError, match="must be of this TensorFlow"):
        data.load(numbered(50), data_service=address)


def test_a_service_without_workers_is_refused(tmp_path, monkeypatch):

    monkeypatch.setattr(probe, "WAIT_SECONDS", 1.0)
    with dispatcher(Listening("127.0.0.1", 0), tmp_path / "alone") as address:
        with pytest.raises(ServiceError, match=rf"no worker answers: .* data-worker --dispatcher {address}"):
            data.load(numbered(50), data_service=str(address))
        assert not ask.a_worker_takes_steps(address, 0.5)


def test_silence_is_told_and_has_an_end(tmp_path, monkeypatch, caplog):

    monkeypatch.setattr(stream, "NOTICE_SECONDS", 0.5)
    monkeypatch.setattr(stream, "GIVE_UP_SECONDS", 1.5)
    with dispatcher(Listening("127.0.0.1", 0), tmp_path / "alone") as address:
        empty = Service(str(address))
        lost = pytest.raises(ServiceLostError, match="no batch for 2 s")
        with caplog.at_level(logging.WARNING, "kerastricks"), lost, empty.one_error():
            next(iter(empty.endless(lambda steps: steps, 0)))
        assert caplog.text.count("waiting for its workers") == 1


@pytest.mark.slow
def test_ctrl_c_ends_the_waiting_for_a_batch(tmp_path):
    with dispatcher(Listening("127.0.0.1", 0), tmp_path / "alone") as address:
        empty = Service(str(address))
        batches = iter(empty.endless(lambda steps: steps, 0))
        others = set(threading.enumerate())

        def interrupt():
            # Not before it waits, however busy the machine is: what comes before is Python's to handle.
            while not any(one.name == "data-service" for one in set(threading.enumerate()) - others):
                time.sleep(0.05)
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt, daemon=True).start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt), empty.one_error():
            next(batches)  # inside TensorFlow, where Python handles no signal
        assert time.monotonic() - began < 10
