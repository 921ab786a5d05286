"""StreamingCovariance and StreamingMoments against NumPy in float64."""

import numpy as np
import pytest

from kerastricks.layers.streaming import StreamingCovariance, StreamingMoments

pytestmark = pytest.mark.tensorflow_only


def collected(*batches):
    covariance = StreamingCovariance(np.shape(batches[0])[1])
    for batch in batches:
        covariance.update(batch)
    return covariance


def assert_equal(covariance, rows, rtol=1e-12):
    rows = np.asarray(rows, "float64")
    expected = np.cov(rows, rowvar=False, bias=True).reshape(rows.shape[1], -1)
    assert covariance.count == len(rows)
    np.testing.assert_allclose(covariance.mean, rows.mean(axis=0), rtol=rtol)
    np.testing.assert_allclose(covariance.covariance, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


@pytest.mark.parametrize("dimensions", [1, 3, 50])  # 50: rows wait for others
def test_uneven_batches_in_any_order_equal_the_whole(dimensions):
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(101, dimensions)) @ generator.normal(size=(dimensions, dimensions)) + 5
    batches = np.split(rows, [1, 2, 2, 9, 40, 99])
    assert_equal(collected(*batches), rows)
    assert_equal(collected(*batches[::-1]), rows)


def test_a_large_mean_loses_no_digits_of_a_small_variance():
    rows = 1e8 + np.random.default_rng(0).normal(size=(1000, 2)) * [1, 1e-2]
    centred = rows - 1e8  # exact
    covariance = collected(*np.split(rows, [7, 500])).covariance
    np.testing.assert_allclose(covariance, np.cov(centred, rowvar=False, bias=True), rtol=1e-6, atol=1e-9)


def test_a_constant_has_no_variance_at_all():
    assert collected(np.full((7, 2), 0.1), np.full((3, 2), 0.1)).covariance.max() == 0


@pytest.mark.parametrize("dimensions", [2, 30])
def test_merged_parts_equal_the_whole_and_stay_as_they_were(dimensions):
    rows = np.random.default_rng(0).normal(3, 1, (60, dimensions))
    first, second, third = collected(rows[:4]), collected(rows[4:50]), collected(rows[50:])
    whole = StreamingCovariance(dimensions)
    for part in (third, StreamingCovariance(dimensions), first, second):
        whole.merge(part)
    assert_equal(whole, rows)
    whole.update(rows)
    assert_equal(second, rows[4:50])


def test_integers_and_a_buffer_that_is_used_again():
    buffer = np.zeros((2, 40), "uint8")
    covariance, seen = StreamingCovariance(40), []
    for seed in range(9):
        buffer[:] = np.random.default_rng(seed).integers(0, 256, buffer.shape)
        seen.append(buffer.copy())
        covariance.update(buffer)
    assert_equal(covariance, np.concatenate(seen))


def test_bad_rows_are_named_and_not_added():
    covariance = collected(np.ones((4, 2)))
    with pytest.raises(ValueError, match=r"rows must be \(N, 2\)\. Received: shape \(3, 3\)"):
        covariance.update(np.ones((3, 3)))
    with pytest.raises(ValueError, match=r"data must be finite: row 5 .*Received: nan"):
        covariance.update([[0, 0], [0, np.nan]])
    with pytest.raises(ValueError, match=r"must have 2 dimensions\. Received: 3"):
        covariance.merge(StreamingCovariance(3))
    assert covariance.count == 4


def collected_moments(*batches):
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
    for part in (collected_moments(*batches[2:]), StreamingMoments(dimensions), collected_moments(*batches[:2])):
        merged.merge(part)
    for moments in (collected_moments(*batches), collected_moments(*batches[::-1]), merged):
        assert moments.count == 101
        np.testing.assert_allclose(moments.mean, rows.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(moments.std, rows.std(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(rows, before)


def test_moments_of_a_large_mean_loses_no_digits_of_a_small_variance():
    rows = 1e9 + np.random.default_rng(0).normal(size=(1000, 2))
    np.testing.assert_allclose(collected_moments(rows[:7], rows[7:]).std, (rows - 1e9).std(axis=0), rtol=1e-6)


def test_moments_of_a_constant_has_no_variance_at_all():
    assert collected_moments(np.full((7, 2), 0.1), np.full((3, 2), 0.1)).std.max() == 0


def test_other_dimensions_are_refused():
    with pytest.raises(ValueError, match=r"must have 2 dimensions\. Received: 3"):
        StreamingMoments(2).merge(StreamingMoments(3))
