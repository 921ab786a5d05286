"""Data are read, and not moved."""

import keras
import numpy as np
import pytest

from kerastricks.errors import DataError, UsageError
from kerastricks.range_test.batches import take_batches


def rows(dataset):
    return [batch.numpy().tolist() for batch in dataset]


@pytest.mark.tensorflow_only
def test_a_dataset_that_shuffles_anew_is_refused_and_not_moved():
    import tensorflow as tf

    def epochs(tested):
        tf.random.set_seed(1)
        dataset = tf.data.Dataset.range(12).shuffle(12).batch(4).prefetch(1)
        found = [rows(dataset)]
        if tested:
            mapped = dataset.map(lambda x: (x, x))
            for inside in (mapped, tf.data.Dataset.zip(tf.data.Dataset.range(3), mapped)):
                with pytest.raises(DataError, match=r"shuffles anew .*list\(dataset.take\(100\)\)"):
                    take_batches(inside)
        return [*found, rows(dataset), rows(dataset)]

    plain = epochs(False)
    assert plain[0] != plain[1]
    assert epochs(True) == plain


@pytest.mark.tensorflow_only
def test_a_dataset_of_one_order_is_read_as_it_is():
    import tensorflow as tf

    dataset = tf.data.Dataset.range(10).shuffle(10, reshuffle_each_iteration=False).map(lambda x: (x, 2 * x)).batch(3)
    before = [(x.numpy().tolist(), y.numpy().tolist()) for x, y in dataset]
    found = take_batches(dataset, count=50)
    assert [(x.numpy().tolist(), y.numpy().tolist()) for x, y, _ in found] == before[:3]  # the rest is another size
    assert [(x.numpy().tolist(), y.numpy().tolist()) for x, y in dataset] == before
    shuffled = tf.data.Dataset.range(10).shuffle(10).batch(5)
    assert len(take_batches(list(shuffled.take(100)))) == 2  # the way out


def test_arrays_are_cut_into_full_batches_in_another_order():
    x, y = np.arange(20).reshape(10, 2), np.arange(10)
    found = take_batches(x, y, batch_size=3)
    assert [len(part) for part, _, _ in found] == [3, 3, 3]
    for part, target, weight in found:
        np.testing.assert_array_equal(part[:, 0], 2 * target)
        assert weight is None
    assert np.concatenate([target for _, target, _ in found]).tolist() != list(range(9))
    weighted = take_batches((x, y, y / 10), batch_size=5, count=1)
    np.testing.assert_allclose(weighted[0][2], weighted[0][1] / 10)


def test_a_py_dataset_is_read_by_number_alone():
    class Numbers(keras.utils.PyDataset):
        ended = 0

        def __len__(self):
            return 3

        def __getitem__(self, index):
            return np.full((2, 1), index), np.full(2, index)

        def on_epoch_end(self):
            self.ended += 1

    numbers = Numbers()
    assert [int(x[0, 0]) for x, _, _ in take_batches(numbers)] == [0, 1, 2]
    assert numbers.ended == 0


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="torch's loader")
def test_a_loader_s_generator_is_put_back():
    import torch

    generator = torch.Generator().manual_seed(3)
    data = torch.utils.data.TensorDataset(torch.arange(8.0)[:, None], torch.arange(8))
    loader = torch.utils.data.DataLoader(data, batch_size=4, shuffle=True, generator=generator)
    state = generator.get_state()
    assert len(take_batches(loader)) == 2
    assert torch.equal(generator.get_state(), state)


def test_memory_limits_the_batches(monkeypatch):
    monkeypatch.setattr("kerastricks.range_test.batches.MEMORY_BYTES", 100)
    assert len(take_batches(np.zeros((64, 1), "float32"), np.zeros(64, "float32"), batch_size=4)) == 3


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("dataset", "y", "batch_size", "message"),
    [
        ((pair for pair in [(np.zeros(2), np.zeros(2))]), None, None, "can be read only once"),
        ([], None, None, "has no batches"),
        ([(np.zeros((2, 1)), np.zeros(2))], None, 8, "is for arrays only"),
        (np.zeros((4, 1)), np.zeros(3), None, "must have one length"),
    ],
)
def test_what_cannot_be_read_is_refused(dataset, y, batch_size, message):
    with pytest.raises(UsageError, match=message):
        take_batches(dataset, y, batch_size)
