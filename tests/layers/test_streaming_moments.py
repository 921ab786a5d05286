"""StreamingMoments against NumPy in float64."""

import numpy as np
import pytest

from kerastricks.layers.streaming_moments import StreamingMoments

pytestmark = pytest.mark.tensorflow_only


def collected(*batches):
    moments = StreamingMoments(batches[0].shape[1])
    for batch in batches:
        moments.update(batch)
    return moments


@pytest.mark.parametrize("dimensions", [1, 3, 70])  # two ways through the memory
def test_uneven_batches_and_merged_parts_equal_the_whole(dimensions):
    rows = np.random.default_rng(0).normal(5, 2, (101, dimensions))
    batches = np.split(rows, [1, 1, 2, 40])
    before = rows.copy()
    merged = StreamingMoments(dimensions)
    for part in (collected(*batches[2:]), StreamingMoments(dimensions), collected(*batches[:2])):
        merged.merge(part)
    for moments in (collected(*batches), collected(*batches[::-1]), merged):
        assert moments.count == 101
        np.testing.assert_allclose(moments.mean, rows.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(moments.std, rows.std(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(rows, before)


def test_a_large_mean_loses_no_digits_of_a_small_variance():
    rows = 1e9 + np.random.default_rng(0).normal(size=(1000, 2))
    np.testing.assert_allclose(collected(rows[:7], rows[7:]).std, (rows - 1e9).std(axis=0), rtol=1e-6)


def test_a_constant_has_no_variance_at_all():
    assert collected(np.full((7, 2), 0.1), np.full((3, 2), 0.1)).std.max() == 0


def test_other_dimensions_are_refused():
    with pytest.raises(ValueError, match=r"must have 2 dimensions\. Received: 3"):
        StreamingMoments(2).merge(StreamingMoments(3))
