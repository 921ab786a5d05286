"""Event files are read as TensorBoard and Keras write them, whole or cut off."""

import struct

import numpy as np
import pytest

from kerastricks.doctor import read_log
from kerastricks.errors import UsageError

pytestmark = pytest.mark.tensorflow_only


def event(tag, step, value):
    from tensorboard.compat.proto.event_pb2 import Event

    found = Event(step=step)
    found.summary.value.add(tag=tag, simple_value=value)
    return found.SerializeToString()


def write(path, records):
    """TFRecords without valid checksums, which are not looked at."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(struct.pack("<QI", len(one), 0) + one + b"\0\0\0\0" for one in records))
    return path


def test_tags_of_one_file_are_columns(tmp_path):
    records = [event("train/loss", step, 2.0 - step / 10) for step in range(6)]
    records += [event("val/loss", step, 2.1 - step / 10) for step in (2, 5)]
    log = read_log(write(tmp_path / "events.out.tfevents.1.host", records))
    np.testing.assert_allclose(log.val_loss, [1.9, 1.6])
    np.testing.assert_allclose(log.loss, [1.8, 1.5])


def test_folders_of_keras_are_training_and_validation(tmp_path):
    train = [event("epoch_loss", epoch, 1.0 / (epoch + 1)) for epoch in range(3)]
    train += [event("batch_loss", step, 1.0) for step in range(30)]
    write(tmp_path / "train" / "events.out.tfevents.1.host", train)
    validation = [event("epoch_loss", epoch, 1.5 / (epoch + 1)) for epoch in range(3)]
    write(tmp_path / "validation" / "events.out.tfevents.1.host", validation)
    log = read_log(tmp_path)
    np.testing.assert_allclose(log.epochs, [1, 2, 3])
    np.testing.assert_allclose(log.loss, [1.0, 0.5, 1 / 3], rtol=1e-6)
    np.testing.assert_allclose(log.val_loss, [1.5, 0.75, 0.5], rtol=1e-6)
    assert len(log.step_loss) == 30


def test_a_truncated_file_is_read_to_its_cut_and_that_is_said(tmp_path):
    path = write(tmp_path / "events.out.tfevents.1.host", [event("loss", step, 1.0) for step in range(10)])
    path.write_bytes(path.read_bytes()[:-7])
    log = read_log(path)
    assert len(log.loss) + len(log.step_loss) == 9
    assert "truncated (inside a record): 9 values" in log.notes[0]


def test_a_file_without_scalars_is_refused(tmp_path):
    path = write(tmp_path / "events.out.tfevents.1.host", [])
    with pytest.raises(UsageError, match="no scalars"):
        read_log(path)
