"""Measures of curves whose values are known."""

import math

import numpy as np
import pytest

from kerastricks.doctor import TrainingLog
from kerastricks.doctor.measures import measure, smoothed, smoothed_validation
from kerastricks.doctor.training_log import smoothing_floor

pytestmark = pytest.mark.tensorflow_only


def log_of(loss, val_loss=None, steps=(), **known) -> TrainingLog:
    missing = np.full(len(loss), np.nan)
    return TrainingLog(
        epochs=np.arange(1.0, len(loss) + 1),
        loss=np.asarray(loss, np.float64),
        val_loss=missing if val_loss is None else np.asarray(val_loss, np.float64),
        accuracy=known.pop("accuracy", missing),
        val_accuracy=known.pop("val_accuracy", missing),
        learning_rate=known.pop("learning_rate", missing),
        steps=np.arange(1.0, len(steps) + 1),
        step_loss=np.asarray(steps, np.float64),
        **known,
    )


def test_a_moving_mean_is_over_less_at_the_ends():
    values = np.array([1.0, 2.0, 6.0, 3.0, 5.0])
    np.testing.assert_allclose(smoothed(values, 0.6), [1.5, 3.0, 11 / 3, 14 / 3, 4.0])
    np.testing.assert_allclose(smoothed(values), values)
    long = np.arange(20.0) ** 2
    np.testing.assert_allclose(smoothed_validation(long)[1:-1], [np.mean(long[i - 1 : i + 2]) for i in range(1, 19)])


def test_losses_are_over_that_of_guessing_or_the_first():
    loss = np.linspace(2.0, 1.0, 11)
    assert measure(log_of(loss)).end == pytest.approx(0.5)
    assert measure(log_of(loss, classes=10)).end == pytest.approx(1.0 / math.log(10))
    assert measure(log_of(loss, classes=10)).chance == 0.1


def test_a_straight_fall_is_made_in_equal_shares():
    found = measure(log_of(np.linspace(2.0, 1.0, 101)))
    assert found.early == pytest.approx(0.1, abs=0.03)
    assert found.quarter == pytest.approx(0.25, abs=0.03)
    assert found.half == pytest.approx(0.5, abs=0.03)


def test_the_slope_is_that_of_the_logarithm_over_the_last_third():
    loss = 2.0 * np.exp(-3.0 * np.linspace(0, 1, 301))
    assert measure(log_of(loss)).late_slope == pytest.approx(1.0, rel=0.03)


def test_the_rise_is_from_the_minimum_to_the_end():
    validation = np.concatenate([np.linspace(2, 1, 45), np.full(10, 1.0), np.full(45, 1.5)])
    found = measure(log_of(np.linspace(2, 0.1, 100), validation))
    assert found.val_rise == pytest.approx(0.5)
    assert found.val_best == pytest.approx(0.5, abs=0.06)
    assert measure(log_of(validation, np.linspace(2, 1, 100))).val_rise == pytest.approx(0, abs=0.01)


def test_noise_is_what_smoothing_leaves_and_a_trend_is_none():
    random = np.random.default_rng(0)
    line = np.linspace(2, 1, 400)
    assert measure(log_of(line, line)).val_noise == pytest.approx(0, abs=1e-9)
    noisy = line + random.normal(0, 0.1, 400)
    expected = 0.1 / math.sqrt(20) / smoothed_validation(noisy).min()  # 20 of 400 are averaged
    assert measure(log_of(line, noisy)).val_noise == pytest.approx(expected, rel=0.15)


def test_the_band_is_the_noise_of_the_steps_and_not_their_trend():
    random = np.random.default_rng(1)
    trend = np.linspace(3.0, 1.0, 3000)
    assert measure(log_of([2.0, 1.0], steps=trend)).band < 0.001
    found = measure(log_of([2.0, 1.0], steps=trend + random.normal(0, 0.2, 3000)))
    assert found.band == pytest.approx(0.2 / np.mean(trend[2000:]), rel=0.1)


def test_what_comes_after_a_loss_that_is_not_finite_is_left_out():
    found = measure(log_of([2.0, 1.0, np.inf, 0.1, 0.1], [2.0, 1.5, 1.0, np.inf, 0.1]))
    assert found.least == pytest.approx(0.5)
    assert found.epochs == 5


def test_the_gap_is_a_share_of_the_validation_loss():
    assert measure(log_of(np.full(10, 0.5), np.full(10, 2.0))).gap == pytest.approx(0.75)


def test_missing_columns_give_missing_measures():
    found = measure(log_of(np.linspace(2, 1, 10)))
    assert math.isnan(found.val_rise)
    assert math.isnan(found.gap)
    assert math.isnan(found.band)
    assert found.to_json()["val_rise"] is None


def test_with_smoothed_labels_losses_are_above_their_floor():
    floor = smoothing_floor(0.1, 10)
    target = np.full(10, 0.01)
    target[3] += 0.9
    assert floor == pytest.approx(-(target * np.log(target)).sum())
    assert smoothing_floor(0.0, 10) == smoothing_floor(0.1, 0) == 0
    plain, raised = np.linspace(2.0, 0.1, 20), np.linspace(2.0, 0.1, 20) + floor
    known = measure(log_of(raised, raised + 0.2, floor=floor, classes=10))
    free = measure(log_of(plain, plain + 0.2))
    assert known.gap == pytest.approx(free.gap)
    assert known.late_slope == pytest.approx(free.late_slope)
    assert known.end == pytest.approx(free.end * 2.0 / (math.log(10) - floor))
