"""BatchLossLog in somebody else's `fit`."""

import keras
import numpy as np
import pytest

from kerastricks.callbacks import BatchLossLog, MetricsLog
from kerastricks.errors import TrainingDivergedError


def fit(tmp_path, images, *callbacks):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=False)
    return model, model.fit(
        images, np.zeros(len(images)), batch_size=4, shuffle=False, verbose=0, callbacks=[*callbacks]
    )


def test_losses_are_the_batches_own_from_the_running_mean(tmp_path):
    images = np.random.default_rng(0).normal(size=(20, 4)).astype("float32") * np.arange(1, 21)[:, None]
    model, _ = fit(tmp_path, images, BatchLossLog(tmp_path / "loss.f32"))
    expected = (model.predict(images, verbose=0)[:, 0] ** 2).reshape(5, 4).mean(axis=1)
    np.testing.assert_allclose(np.fromfile(tmp_path / "loss.f32", "<f4"), expected, rtol=1e-4)


def test_a_loss_that_is_not_finite_stops(tmp_path):
    images = np.full((8, 4), np.nan, "float32")
    with pytest.raises(
        TrainingDivergedError, match=r"the loss is nan at epoch 1, batch 1: lower learning_rate \(now 0.5\)"
    ):
        fit(tmp_path, images, BatchLossLog(tmp_path / "loss.f32", learning_rate=0.5))
    assert np.isnan(np.fromfile(tmp_path / "loss.f32", "<f4")).tolist() == [True]


def test_cut_drops_what_came_after(tmp_path):
    log = BatchLossLog(tmp_path / "loss.f32")
    np.arange(6, dtype="<f4").tofile(tmp_path / "loss.f32")
    log.cut(4)
    assert np.fromfile(tmp_path / "loss.f32", "<f4").tolist() == [0, 1, 2, 3]


def test_metrics_log_writes_a_line_an_epoch_and_cuts_them(tmp_path):
    log = MetricsLog(tmp_path / "metrics.jsonl", batch_size=4)
    images = np.zeros((8, 4), "float32")
    for _ in range(3):
        fit(tmp_path, images, log)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 3
    log.cut(1)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 1
