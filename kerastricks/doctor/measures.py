"""Numbers that a diagnosis rests on: shape, band and end of the curves of a training log."""

import math
from dataclasses import dataclass, fields, replace

import numpy as np

from kerastricks.doctor.training_log import TrainingLog

_MISSING = math.nan
_LEAST_WIDTH = 3  # epochs of a validation loss that are averaged


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Measures of a log; NaN where it does not have what they need.

    Losses are divided by the initial loss, where "initial" is the loss of guessing, ln(classes), for a known number of
    classes, and else the first loss that was logged.

    Args:
        end: training loss at the end, mean of the last tenth.
        least: lowest smoothed training loss.
        early: share of the fall that was made in the first tenth of the training.
        quarter: share of the fall that was made in the first quarter.
        half: share of the fall that was made in the first half.
        half_epochs: logarithm (base 10) of the epochs until half of the fall was made.
        stuck: share of the fall in the first tenth, times the loss at the end: it fell fast and stays high.
        late_slope: fall of the logarithm of the training loss over the last third of the training.
        peak: highest loss after the first hundredth.
        spike: natural logarithm of the highest loss of a batch (or epoch) over the first one; 10 where one is not
            finite.
        burst: 95 % quantile of the loss of the first tenth.
        start: mean of the first hundredth.
        change: difference of the smoothed loss between the first and the last third, in standard deviations of the
            batch loss about its trend.
        rise: rise of the smoothed training loss from its minimum to the end, as a share of the minimum.
        band: standard deviation of the batch loss about its trend, over the loss, in the last third.
        band_start: the same in the first third.
        rough: share of epochs in which the training loss rose.
        val_rough: median of the absolute change of the validation loss from epoch to epoch, over its level.
        val_accuracy_rough: standard deviation of the changes of the validation accuracy, over its error at the end.
        val_rise: rise of the smoothed validation loss from its minimum to the end, as a share of the minimum.
        val_end: validation loss at the end, mean of the last tenth.
        val_noise: standard deviation of the noise of the smoothed validation loss, over its minimum.
        val_best: where the minimum of the smoothed validation loss is, as a share of the training.
        val_late_slope: fall of the logarithm of the validation loss over the last third.
        gap: validation minus training loss at the end, over the validation loss.
        gap_growth: growth of the gap since the minimum of the validation loss, over that minimum.
        accuracy: training accuracy at the end.
        val_accuracy: validation accuracy at the end, mean of the last tenth.
        chance: accuracy of guessing, 1 / classes; NaN where the classes are not known.
        rate_falls: logarithm (base 10) of the highest over the last learning rate; 0 for a constant one.
        late_fall_with_rate: share of the fall made in the last fifth, where the rate falls.
        epochs: how many there are.
    """

    end: float
    least: float
    early: float
    quarter: float
    half: float
    half_epochs: float
    stuck: float
    late_slope: float
    peak: float
    spike: float
    burst: float
    start: float
    change: float
    rise: float
    band: float
    band_start: float
    rough: float
    val_rough: float
    val_accuracy_rough: float
    val_rise: float
    val_end: float
    val_noise: float
    val_best: float
    val_late_slope: float
    gap: float
    gap_growth: float
    accuracy: float
    val_accuracy: float
    chance: float
    rate_falls: float
    late_fall_with_rate: float
    epochs: float

    def to_json(self) -> dict[str, float | None]:
        """By name; None for NaN."""
        values = {one.name: float(getattr(self, one.name)) for one in fields(self)}
        return {name: None if math.isnan(value) else round(value, 5) for name, value in values.items()}


def measure(log: TrainingLog) -> Measures:
    """Measure a log, up to its first loss that is not finite, above the floor of its losses."""
    if log.floor:
        log = _above_floor(log)
    raw = log.step_loss if len(log.step_loss) >= 20 else log.loss
    train = _finite_start(raw)
    validation = _finite_start(log.val_loss)
    guess = math.log(log.classes) - log.floor if log.classes and log.classes > 1 else 0.0
    initial = guess if guess > 0 else (train[0] if len(train) else _MISSING)
    smooth_train = smoothed(train) / initial if len(train) else train
    fall = smooth_train[0] - smooth_train.min() if len(train) else _MISSING
    rates = log.learning_rate[np.isfinite(log.learning_rate)]
    rate_falls = math.log10(rates.max() / max(rates[-1], rates.max() * 1e-4)) if len(rates) and rates.max() > 0 else 0.0
    epoch_loss = _finite_start(log.loss)
    smooth_val = smoothed_validation(validation)
    best = int(smooth_val.argmin()) if len(validation) else 0
    at_best, at_end = _gaps(log, best)
    return Measures(
        end=_end(smooth_train),
        least=smooth_train.min() if len(train) else _MISSING,
        early=_fallen(smooth_train, 0.1),
        quarter=_fallen(smooth_train, 0.25),
        half=_fallen(smooth_train, 0.5),
        half_epochs=_half_epochs(smooth_train, max(len(log.epochs), 1)),
        stuck=_fallen(smooth_train, 0.1) * _end(smooth_train),
        late_slope=_late_slope(smooth_train),
        peak=float(smooth_train[max(len(smooth_train) // 100, 1) :].max()) if len(smooth_train) > 1 else _MISSING,
        spike=_spike(raw),
        burst=_burst(train) / initial,
        start=float(train[: max(len(train) // 100, 1)].mean()) / initial if len(train) else _MISSING,
        change=_change(train),
        rise=_rise(smooth_train),
        band=_band(log.step_loss, 2 / 3, 1),
        band_start=_band(log.step_loss, 0, 1 / 3),
        rough=float((np.diff(epoch_loss) > 0).mean()) if len(epoch_loss) > 2 else _MISSING,
        val_rough=_roughness(validation),
        val_accuracy_rough=_accuracy_roughness(_known(log.val_accuracy)),
        val_rise=_rise(smooth_val),
        val_end=_end(smooth_val) / initial,
        val_noise=_noise(validation) / max(float(smooth_val.min()), 1e-9) if len(validation) > 3 else _MISSING,
        val_best=(best + 1) / len(validation) if len(validation) else _MISSING,
        val_late_slope=_late_slope(smooth_val),
        gap=at_end / max(_end(smooth_val), 1e-9) if len(validation) else _MISSING,
        gap_growth=(at_end - at_best) / max(float(smooth_val[best]), 1e-9) if len(validation) else _MISSING,
        accuracy=_end(_known(log.accuracy)),
        val_accuracy=_end(_known(log.val_accuracy)),
        chance=1 / log.classes if log.classes else _MISSING,
        rate_falls=rate_falls,
        late_fall_with_rate=(1 - _fallen(smooth_train, 0.8)) if rate_falls > 0.3 and fall > 0 else 0.0,
        epochs=float(max(len(log.epochs), len(validation))),
    )


def _above_floor(log: TrainingLog) -> TrainingLog:
    losses = {name: np.maximum(getattr(log, name) - log.floor, 1e-6) for name in ("loss", "val_loss", "step_loss")}
    return replace(log, **losses)


def smoothed(values: np.ndarray, share: float = 0.05, least: int = 1) -> np.ndarray:
    """Centred moving mean over a share of the curve, of `least` values where there are 12; over less at the ends."""
    width = max(round(share * len(values)), least if len(values) >= 12 else 1)
    if width == 1:
        return np.asarray(values, np.float64)
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    low = np.maximum(np.arange(len(values)) - width // 2, 0)
    high = np.minimum(np.arange(len(values)) + (width + 1) // 2, len(values))
    return (sums[high] - sums[low]) / (high - low)


def smoothed_validation(values: np.ndarray) -> np.ndarray:
    """Centred moving mean of a validation loss, which is noisier: over three epochs at least."""
    return smoothed(values, least=_LEAST_WIDTH)


def _finite_start(values: np.ndarray) -> np.ndarray:
    """The logged values before the first that is not finite."""
    logged = values[~np.isnan(values)]
    broken = np.flatnonzero(np.isinf(logged))
    return logged[: broken[0]] if len(broken) else logged


def _known(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def _end(values: np.ndarray) -> float:
    return float(np.mean(values[-max(len(values) // 10, 1) :])) if len(values) else _MISSING


def _fallen(smooth: np.ndarray, share: float) -> float:
    if len(smooth) < 4:
        return _MISSING
    total = smooth[0] - smooth.min()
    if total <= 0:
        return _MISSING
    return float(np.clip((smooth[0] - smooth[: max(int(share * len(smooth)), 1) + 1].min()) / total, 0, 1))


def _half_epochs(smooth: np.ndarray, epochs: int) -> float:
    if len(smooth) < 4 or smooth[0] <= smooth.min():
        return _MISSING
    half = int(np.argmax(smooth <= (smooth[0] + smooth.min()) / 2))
    return math.log10(max(half * epochs / len(smooth), 0.02))


def _burst(train: np.ndarray) -> float:
    first = train[: max(len(train) // 10, 10)]
    return float(np.quantile(first, 0.95)) if len(train) >= 20 else _MISSING


def _late_slope(smooth: np.ndarray) -> float:
    """Fall of ln(loss) over the last third, by a straight line through it."""
    tail = smooth[-max(len(smooth) // 3, 3) :]
    if len(smooth) < 4 or tail.min() <= 0:
        return _MISSING
    x = np.linspace(0, 1, len(tail))
    return float(-np.polyfit(x, np.log(tail), 1)[0])


def _spike(raw: np.ndarray) -> float:
    logged = raw[~np.isnan(raw)]
    if len(logged) < 2 or not np.isfinite(logged[0]) or logged[0] <= 0:
        return _MISSING
    return float(min(np.log(max(logged.max(), 1e-9) / logged[0]), 10.0))


def _change(train: np.ndarray) -> float:
    if len(train) < 20:
        return _MISSING
    third = len(train) // 3
    deviation = np.sqrt(np.mean(np.diff(train) ** 2) / 2)
    return float(np.clip((train[:third].mean() - train[-third:].mean()) / max(deviation, 1e-9), -100, 100))


def _accuracy_roughness(values: np.ndarray) -> float:
    if len(values) < 4:
        return _MISSING
    changes = np.diff(values)[len(values) // 3 :]
    return float(np.std(changes) / max(1 - _end(values), 0.005))


def _noise(values: np.ndarray) -> float:
    """Standard deviation of the noise that smoothing leaves, from second differences, which a trend does not move."""
    bends = np.diff(values, 2)[len(values) // 3 :] if len(values) > 8 else np.diff(values, 2)
    if not len(bends):
        return 0.0
    width = max(round(0.05 * len(values)), _LEAST_WIDTH if len(values) >= 12 else 1)
    return float(1.4826 * np.median(np.abs(bends)) / math.sqrt(6 * width))


def _rise(smooth: np.ndarray) -> float:
    """From the minimum to the end, the mean of the last tenth or of what comes after the minimum, if that is less."""
    if len(smooth) < 4:
        return _MISSING
    best = int(smooth.argmin())
    end = float(smooth[max(best, len(smooth) - max(len(smooth) // 10, 1)) :].mean())
    return (end - float(smooth[best])) / max(float(smooth[best]), 1e-9)


def _band(steps: np.ndarray, first: float, last: float) -> float:
    """Standard deviation about the trend, from differences of neighbours, over the mean."""
    part = steps[int(first * len(steps)) : int(last * len(steps))]
    part = part[np.isfinite(part)]
    if len(part) < 20:
        return _MISSING
    return float(np.sqrt(np.mean(np.diff(part) ** 2) / 2) / max(part.mean(), 1e-9))


def _roughness(values: np.ndarray) -> float:
    if len(values) < 4:
        return _MISSING
    changes = np.abs(np.diff(values)) / np.maximum(values[:-1], 1e-9)
    return float(np.median(changes[len(changes) // 3 :]))


def _gaps(log: TrainingLog, best: int) -> tuple[float, float]:
    """Validation minus training loss where validation was best, and at the end."""
    both = np.isfinite(log.loss) & np.isfinite(log.val_loss)
    if both.sum() < 2:
        return _MISSING, _MISSING
    gaps = smoothed(log.val_loss[both]) - smoothed(log.loss[both])
    return float(gaps[min(best, len(gaps) - 1)]), _end(gaps)
