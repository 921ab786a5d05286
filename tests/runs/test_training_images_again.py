"""The training images of a soup's statistics: augmented, and the same whenever they are read."""

import numpy as np
import pytest

import kerastricks
from kerastricks.runs.ensemble_data import TrainingImages

pytestmark = pytest.mark.tensorflow_only


@pytest.mark.parametrize(("augment", "stages"), [("pad_crop(2)", "host"), ("pad_crop(2)", "device"), ("", "host")])
def test_an_epoch_augmented_and_the_same_each_time(augment, stages):
    data = kerastricks.data.load("digits", augment=augment, batch_size=100, seed=3, stages=stages)
    images = TrainingImages(data)
    first, second = list(images), list(images)
    assert len(first) == data.steps_per_epoch
    assert sum(map(len, first)) == 1400  # of 1439, as in training: what fills no batch waits for the next epoch
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    plain = {image.astype("float32").tobytes() for image in data.sample(2000)}
    moved = sum(image.astype("float32").tobytes() not in plain for batch in first for image in batch)
    assert (moved > 1000) == bool(augment)
