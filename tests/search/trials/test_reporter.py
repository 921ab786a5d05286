import keras
import numpy as np
import pytest

import kerastricks
from kerastricks.errors import Interrupted
from kerastricks.search.trials.jobs import Reporter
from kerastricks.training import Config, fit
from kerastricks.training.config import LOGGED

pytestmark = pytest.mark.tensorflow_only
CONFIG = Config(epochs=4, batch_size=32, learning_rate=0.05, precision="float32")


@pytest.fixture
def data():
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (96, 6, 6, 1)).astype("uint8")
    return kerastricks.data.load((pixels, np.arange(96) % 2), batch_size=32, augment="pad_crop(1)")


def train(data, folder, reporter):
    """The weights after a call of `fit`, and whether it was paused."""
    keras.utils.set_random_seed(0)
    model = kerastricks.models.create("mlp(depth=1, width=8, dropout=0.2)", data.image_shape, 2)
    try:
        fit(model, data, CONFIG, callbacks=[reporter] if reporter else [], run_folder=folder, progress_line=False)
    except Interrupted:
        assert reporter.paused
    return model.get_weights()


def test_paused_and_continued_is_an_undisturbed_training(tmp_path, data):
    (tmp_path / "once").mkdir()
    (tmp_path / "twice").mkdir()
    expected = train(data, tmp_path / "once", None)
    told = []
    first = Reporter(lambda epoch, metrics: told.append((epoch, metrics)) or epoch < 2, epochs=4)
    train(data, tmp_path / "twice", first)
    assert first.paused
    assert [epoch for epoch, _ in told] == [1, 2]
    # Without a reporter too: a trial becomes a run.
    for one, other in zip(train(data, tmp_path / "twice", None), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_pauses_after_its_epochs_and_goes_on_to_more(tmp_path, data):
    expected = train(data, None, None)
    told = []
    tell = lambda epoch, metrics: told.append((epoch, sorted(metrics))) or True  # noqa: E731
    for epochs in (1, 3, 4):
        reporter = Reporter(tell, epochs)
        assert reporter.replay(tmp_path / "metrics.jsonl", len(told))
        told.clear()
        reporter.replay(tmp_path / "metrics.jsonl", 10)
        weights = train(data, tmp_path, reporter)
        assert reporter.paused == (epochs < 4)
        assert [epoch for epoch, _ in told] == list(range(1, epochs + 1))
    assert told[0][1] == sorted(LOGGED)
    for one, other in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_replay_stops_where_it_is_told_to(tmp_path, data):
    train(data, tmp_path, None)
    assert not Reporter(lambda epoch, metrics: epoch < 2, 10).replay(tmp_path / "metrics.jsonl", 4)
    assert not Reporter(lambda epoch, metrics: True, 4).replay(tmp_path / "metrics.jsonl", 4)
    assert Reporter(lambda epoch, metrics: True, 5).replay(tmp_path / "metrics.jsonl", 4)
