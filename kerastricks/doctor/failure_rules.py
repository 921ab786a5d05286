"""Trainings that failed: a loss that is no number, divergence, nothing learned, one class for all images."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kerastricks.doctor.finding import Finding
from kerastricks.doctor.training_log import TrainingLog

SPAN = 10  # steps over which a loss is averaged; epochs are averages already
SUSTAINED = 25  # steps that a loss is 1.5 times as high as it began, until it has diverged; half as many if far higher

FEW_STEPS = 80  # with fewer, the curve of the steps says nothing


@dataclass(frozen=True)
class Divergence:
    """Where a loss left for good.

    Args:
        began: index of the value at which it was last where it should be.
        seen: index at which that is certain, from the values up to it alone.
        before: the lowest averaged loss before.
        after: the averaged loss at `seen`.
    """

    began: int
    seen: int
    before: float
    after: float


def find_divergence(losses: np.ndarray, per_step: bool) -> Divergence | None:
    """Find where a loss rose far above where it began, or fell back to where it began, and stayed there.

    Args:
        losses: (N,) float64, finite, of steps or epochs in order.
        per_step: whether they are of single steps, whose noise is averaged over `SPAN` steps.

    Returns:
        The divergence, or None. It does not depend on what comes after `seen`.
    """
    span, sustained = (SPAN, SUSTAINED) if per_step else (1, 2)
    if len(losses) <= span or not losses[0] > 0:
        return None
    smooth = _moving_mean(losses, span)
    start = _start(losses, span)
    least = np.minimum.accumulate(np.concatenate([np.full(span, start), smooth[span:]]))
    blown = smooth > 1.5 * start
    lost = (least < 0.6 * start) & (smooth > 0.95 * start)
    away = blown | lost
    # How many values in a row, up to each one, have been away; far away counts twice.
    weights = np.where(away, np.clip(np.log(np.maximum(smooth, 1e-9) / start) / math.log(1.5), 1.0, 2.0), 0.0)
    sums = np.cumsum(weights)
    last_fine = np.maximum.accumulate(np.where(away, -1, np.arange(len(away))))
    seen = np.flatnonzero(away & (sums - np.where(last_fine >= 0, sums[last_fine], 0.0) >= sustained))
    if not len(seen):
        return None
    first = int(seen[0])
    began = int(max(last_fine[first], 0))
    return Divergence(began, first, float(least[began]), float(smooth[first]))


def failures(log: TrainingLog) -> Iterator[Finding]:
    """Findings about a training that failed."""
    broken = first_not_finite(log)
    if broken is not None:
        yield _nan(log, *broken)
    divergence, per_step = divergence_of(log)
    if divergence is not None and not recovered(log, divergence, per_step):
        yield _diverged(log, divergence, per_step)
        return
    if broken is None:
        yield from _nothing_learned(log)


def _start(losses: np.ndarray, span: int) -> float:
    """Where a loss began: mean of the first steps, unless it rose or fell at once."""
    return float(np.clip(losses[:span].mean(), losses[0], 1.3 * losses[0]))


def first_not_finite(log: TrainingLog) -> tuple[int, bool] | None:
    """Index of the first loss that is infinite (the reader's mark for NaN too), and whether it is a step's."""
    for losses, per_step in ((log.step_loss, True), (log.loss, False), (log.val_loss, False)):
        found = np.flatnonzero(np.isinf(losses))
        if len(found):
            return int(found[0]), per_step
    return None


def divergence_of(log: TrainingLog) -> tuple[Divergence | None, bool]:
    """The divergence of a log, and whether it is in its steps."""
    per_step = len(log.step_loss) >= FEW_STEPS
    losses = log.step_loss if per_step else log.loss
    known = losses[~np.isnan(losses)]
    broken = np.flatnonzero(np.isinf(known))
    return find_divergence(known[: broken[0]] if len(broken) else known, per_step), per_step


def recovered(log: TrainingLog, divergence: Divergence, per_step: bool) -> bool:
    """Whether the loss came back afterwards and ended well below where it began."""
    losses = log.step_loss if per_step else log.loss
    known = losses[~np.isnan(losses)]
    start = _start(known, SPAN if per_step else 1)
    return bool(known[-max(len(known) // 10, 1) :].mean() < 0.8 * start)


def where(log: TrainingLog, index: int, per_step: bool) -> tuple[str, float]:
    """ "step 31 (epoch 2)", and the same in epochs, of a value of the log."""
    if not per_step:
        position = float(log.epochs[index]) if index < len(log.epochs) else float(index + 1)
        return f"epoch {position:g}", position
    step = float(log.steps[index]) if index < len(log.steps) else float(index + 1)
    per_epoch = log.steps_per_epoch
    if not per_epoch:
        return f"step {step:,.0f}", step
    return f"step {step:,.0f} (epoch {math.floor(step / per_epoch) + 1})", step / per_epoch


def highest_rate(log: TrainingLog) -> float | None:
    """The highest learning rate of the log."""
    known = log.learning_rate[np.isfinite(log.learning_rate)]
    return float(known.max()) if len(known) and known.max() > 0 else None


def divided(log: TrainingLog, by: float) -> tuple[str, dict[str, float]]:
    """ "divide the learning rate by 10: 0.3 -> 0.03", and the change for a program."""
    return _scaled(log, 1 / by, f"divide the learning rate by {by:.2g}")


def multiplied(log: TrainingLog, by: float) -> tuple[str, dict[str, float]]:
    """ "multiply the learning rate by 10: 0.003 -> 0.03", and the change for a program."""
    return _scaled(log, by, f"multiply the learning rate by {by:.4g}")


def _scaled(log: TrainingLog, by: float, text: str) -> tuple[str, dict[str, float]]:
    rate = highest_rate(log)
    if rate is None:
        return text, {"learning_rate_factor": by}
    new = float(f"{rate * by:.2g}")
    return f"{text}: {rate:.3g} -> {new:g}", {"learning_rate": new}


def _nan(log: TrainingLog, index: int, per_step: bool) -> Finding:
    place, at = where(log, index, per_step)
    losses = log.step_loss if per_step else log.loss
    earlier = losses[:index][np.isfinite(losses[:index])]
    if index == 0 or not len(earlier):
        return Finding(
            code="nan",
            evidence=f"the first loss that was logged, at {place}, is NaN or infinite",
            advice="look at the inputs and labels before the rate: NaN in images, labels outside 0 to classes - 1, "
            "log or division of zero in the loss",
            span=(0.0, at),
            figures={"first": at},
        )
    at_once = index < FEW_STEPS if per_step else index < 2
    grown = float(earlier[-min(len(earlier), 5) :].max() / max(earlier[:SPAN].mean(), 1e-9))
    advice, change = divided(log, 30 if at_once else 10)
    if grown < 1.2:
        advice, change = "clip the gradient to norm 1, or " + advice, {"clipnorm": 1.0}
    return Finding(
        code="nan",
        evidence=f"the loss is NaN or infinite from {place} on; just before it was {grown:.2g} times the first one",
        advice=advice,
        span=(max(at - 1, 0.0), at),
        change=change,
        figures={"first": at, "growth": grown},
    )


def _diverged(log: TrainingLog, divergence: Divergence, per_step: bool) -> Finding:
    place, at = where(log, divergence.began, per_step)
    _, seen = where(log, divergence.seen, per_step)
    at_once = divergence.began < FEW_STEPS if per_step else divergence.began < 2
    advice, change = divided(log, 30 if at_once else 10)
    if divergence.began > 20 * SPAN or (not per_step and divergence.began > 2):
        advice += "; or keep it, and clip the gradient to norm 1"
    return Finding(
        code="diverged",
        evidence=f"from {place} on the loss rose from {divergence.before:.3g} to {divergence.after:.3g} "
        "and did not come back below where it began",
        advice=advice,
        span=(at, max(seen, float(log.epochs[-1]) if len(log.epochs) else seen)),
        change=change,
        figures={"before": divergence.before, "after": divergence.after, "began": at},
    )


def _nothing_learned(log: TrainingLog) -> Iterator[Finding]:
    """Findings about one class for all images, which a constant accuracy shows, and a loss that does not move."""
    held = log.val_accuracy[np.isfinite(log.val_accuracy)]
    tail = held[-max(len(held) // 2, 3) :]
    constant = len(held) >= 3 and float(np.ptp(tail)) < 1e-6 and tail[0] < 0.9
    guess = math.log(log.classes) if log.classes else None
    losses = log.loss[np.isfinite(log.loss)]
    if len(losses) < 2 and len(log.step_loss) < FEW_STEPS:
        return
    if len(losses) < 2:
        losses = _moving_mean(log.step_loss, SPAN)[SPAN:]
    start, end, least = float(losses[0]), float(losses[-max(len(losses) // 5, 1) :].mean()), float(losses.min())
    level = guess or start
    # A network that learns the frequencies of the classes, and nothing of the images, ends within a few percent.
    stuck = least > 0.97 * level and end < 1.1 * level
    if constant and (guess is None or end > 0.85 * guess):
        yield Finding(
            code="class_collapse",
            evidence=f"the validation accuracy is {tail[0]:.4f} to the last digit for {len(tail)} epochs, "
            f"as of one class for all images; the loss is {end:.3g}"
            + (f" where guessing gives {guess:.3g}" if guess else ""),
            advice="divide the learning rate by 10; if it stays so, look for zero kernels or dead units: "
            "kerastricks check init MODEL, kerastricks check activation MODEL",
            span=(float(log.epochs[len(log.epochs) - len(tail)]), float(log.epochs[-1])),
            change=divided(log, 10)[1],
            figures={"val_accuracy": float(tail[0]), "loss": end},
            confidence=0.9,
        )
    elif stuck:
        yield Finding(
            code="not_learning",
            evidence=f"the training loss is {end:.4g} at the end and was never below {least:.4g}"
            + (f"; guessing among {log.classes} classes gives {guess:.4g}" if guess else f"; it began at {start:.4g}"),
            advice="no learning rate mends zero or far too small initial weights: start from he_normal for ReLU, "
            "xavier_normal for tanh, and look at the signal: kerastricks check init MODEL",
            figures={"end": end, "least": least, "level": level},
            # A rate that is much too high throws the loss about before it settles at that of guessing.
            confidence=0.95 if _highest(log) < 1.15 * max(level, start) else 0.7,
        )


def _highest(log: TrainingLog) -> float:
    """The highest loss, of steps by their moving mean."""
    if len(log.step_loss) > SPAN:
        return float(_moving_mean(log.step_loss, SPAN)[SPAN:].max())
    return float(np.nanmax(log.loss))


def _moving_mean(values: np.ndarray, span: int) -> np.ndarray:
    """Mean of each value and those before it, `span` in all; of fewer at the beginning."""
    sums = np.concatenate([[0.0], np.cumsum(np.minimum(values, 1e12))])
    low = np.maximum(np.arange(1, len(values) + 1) - span, 0)
    return (sums[1:] - sums[low]) / (np.arange(1, len(values) + 1) - low)
