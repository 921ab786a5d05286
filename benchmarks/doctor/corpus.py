"""The doctor's corpus: its runs as logs, and the labels of what really helps each of them."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerastricks.doctor.measures import measure, smoothed_validation
from kerastricks.doctor.training_log import TrainingLog

TAIL = 0.15  # of the epochs, whose mean is what a run has reached
LEAST_SD = 0.004  # of accuracies, between seeds
LEAST_LOSS_SD = 0.01


@dataclass(frozen=True, eq=False)
class Run:
    """A run of the corpus, and where it belongs."""

    meta: dict[str, Any]
    log: TrainingLog

    @property
    def data(self) -> str:
        return self.meta["setting"]["data"]

    @property
    def family(self) -> str:
        return self.meta["setting"]["model"].partition("(")[0]

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.log.loss).all() and np.isfinite(self.log.val_loss).all())

    @property
    def accuracy(self) -> float:
        """Validation accuracy reached; that of guessing where it diverged."""
        if not self.finite:
            return 1 / self.meta["classes"]
        return float(np.mean(self.log.val_accuracy[-max(round(TAIL * len(self.log.epochs)), 1) :]))

    @property
    def loss(self) -> float:
        """Validation loss reached."""
        if not self.finite:
            return float("inf")
        return float(np.mean(self.log.val_loss[-max(round(TAIL * len(self.log.epochs)), 1) :]))


def load(path: Path) -> list[Run]:
    """Runs of a file that `make_corpus.py --collect` wrote, or of its folder."""
    if path.is_dir():
        found = []
        for one in sorted(path.glob("*.npz")):
            with np.load(one) as file:
                found.append((json.loads(str(file["meta"])), file["step_loss"], file["epochs"]))
    else:
        with np.load(path) as file:
            metas = json.loads(str(file["meta"]))
            steps = np.split(file["step_loss"], np.cumsum(file["step_count"])[:-1])
            epochs = np.split(file["epochs"], np.cumsum(file["epoch_count"])[:-1])
        found = list(zip(metas, steps, epochs, strict=True))
    return [Run(meta, _log(meta, steps, epochs)) for meta, steps, epochs in found]


def _log(meta: dict[str, Any], steps: np.ndarray, epochs: np.ndarray) -> TrainingLog:
    loss, accuracy, val_loss, val_accuracy, rate = np.asarray(epochs, np.float64).T
    steps = np.asarray(steps, np.float64)
    return TrainingLog(
        name=f"{meta['setting']['data']} {meta['setting']['model']} {meta['rate']:g}",
        epochs=np.arange(1.0, len(loss) + 1),
        loss=np.where(np.isfinite(loss), loss, np.inf),
        val_loss=np.where(np.isfinite(val_loss), val_loss, np.inf),
        accuracy=accuracy,
        val_accuracy=val_accuracy,
        learning_rate=rate,
        steps=np.arange(1.0, len(steps) + 1),
        step_loss=np.where(np.isfinite(steps), steps, np.inf),
        classes=meta["classes"],
        batch_size=meta["setting"]["batch"],
        optimizer=meta["setting"]["optimizer"],
    )


def key(setting: dict[str, Any]) -> str:
    return json.dumps(setting, sort_keys=True)


def pooled_sd(groups: Sequence[Sequence[float]], least: float) -> float:
    """Standard deviation within groups of seeds."""
    variances = [np.var(group, ddof=1) for group in groups if len(group) > 1]
    return max(float(np.sqrt(np.mean(variances))) if variances else 0.0, least)


def rate_states(runs: Sequence[Run]) -> dict[int, str]:
    """Index of a run of the part "rates" to the state of its learning rate.

    "too_low": a higher rate is more than two standard deviations better on validation, after the same epochs;
    "too_high": a lower one is; "much_too_high": a lower one is, and the run learned nothing (its training loss at the
    end is above nine tenths of that of guessing) or was not finite; "good": neither.
    """
    states = {}
    for rates in rate_groups(runs).values():
        means = {rate: float(np.mean([runs[index].accuracy for index in ids])) for rate, ids in rates.items()}
        best = max(means, key=lambda rate: means[rate])
        near = [rate for rate in rates if means[rate] > 0.8 * means[best]]
        sd = pooled_sd([[runs[index].accuracy for index in rates[rate]] for rate in near], LEAST_SD)
        for rate, ids in rates.items():
            for index in ids:
                run = runs[index]
                guess = np.log(run.meta["classes"])
                if means[best] - means[rate] <= 2 * sd:
                    state = "good"
                elif rate < best:
                    state = "too_low"
                elif not run.finite or run.log.loss[-1] > 0.9 * guess:
                    state = "much_too_high"
                else:
                    state = "too_high"
                states[index] = state
    return states


def rate_groups(runs: Sequence[Run]) -> dict[str, dict[float, list[int]]]:
    """Setting to rate to indices of its runs, of the part "rates"."""
    groups: dict[str, dict[float, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, run in enumerate(runs):
        if run.meta["part"] == "rates":
            groups[key(run.meta["setting"])][run.meta["rate"]].append(index)
    return groups


def fit_states(runs: Sequence[Run]) -> dict[int, str]:
    """Index of a run of the part "fit", without a remedy, to "overfitting", "underfitting" or "neither".

    A remedy helps if it lowers the validation loss by more than two standard deviations of the difference between equal
    seeds; an earlier end, which needs no second training, if the loss of this very run falls by more than two of its
    noise from epoch to epoch. "overfitting": regularization or an earlier end helps, and more than a wider network or a
    longer training; "underfitting": one of these does.
    """
    groups: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, run in enumerate(runs):
        if run.meta["part"] == "fit":
            groups[key(run.meta["base"])][run.meta["remedy"]].append(index)
    states = {}
    for remedies in groups.values():
        if not {"", "regularized", "wider", "longer"} <= set(remedies):
            continue
        losses = {
            remedy: np.array([runs[index].loss for index in sorted(ids, key=lambda one: runs[one].meta["seed"])])
            for remedy, ids in remedies.items()
        }
        under = max(_gain(losses, "wider"), _gain(losses, "longer"))
        for index in remedies[""]:
            over = max(_gain(losses, "regularized"), _gain_of_earlier_end(runs[index]))
            if max(over, under) > 0:
                states[index] = "overfitting" if over >= under else "underfitting"
            else:
                states[index] = "neither"
    return states


def _gain_of_earlier_end(run: Run) -> float:
    found = measure(run.log)
    least = float(smoothed_validation(run.log.val_loss).min())
    gain = run.loss - least
    return gain if gain > 2 * max(found.val_noise * least, LEAST_LOSS_SD) else 0.0


def _gain(losses: dict[str, np.ndarray], remedy: str) -> float:
    """Mean fall of the validation loss by a remedy; 0 where it is not above two standard deviations."""
    gains = losses[""] - losses[remedy]
    return float(gains.mean()) if gains.mean() > 2 * max(gains.std(ddof=1), LEAST_LOSS_SD) else 0.0


def small_batches(runs: Sequence[Run]) -> dict[int, bool]:
    """Index of a run of the part "batches" to whether its batch is too small.

    It is, if a larger one at the same rate is more than two standard deviations better on validation after the same
    epochs. A rate that is too high for any batch is not the batch's fault: a larger one does not help it. Runs whose
    rate no larger batch had are left out.
    """
    groups: dict[str, dict[tuple[float, int], list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, run in enumerate(runs):
        if run.meta["part"] == "batches":
            rate = float(f"{run.meta['rate']:.2g}")
            groups[key(run.meta["base"])][rate, run.meta["setting"]["batch"]].append(index)
    found = {}
    for cells in groups.values():
        accuracies = {cell: [runs[index].accuracy for index in ids] for cell, ids in cells.items()}
        best = max(float(np.mean(one)) for one in accuracies.values())
        sd = pooled_sd([one for one in accuracies.values() if np.mean(one) > 0.8 * best], LEAST_SD)
        for (rate, batch), ids in cells.items():
            larger = [np.mean(one) for (same, other), one in accuracies.items() if same == rate and other > batch]
            if larger:
                small = bool(max(larger) - np.mean(accuracies[rate, batch]) > 2 * sd)
                found |= dict.fromkeys(ids, small)
    return found


def advice_steps(runs: Sequence[Run], states: dict[int, str]) -> dict[str, float]:
    """State to the factor of the rate that helps the largest share of its runs, of 3, 10, 30, or their inverses."""
    groups = rate_groups(runs)
    factors = {"good": 1.0}
    for state, candidates in (
        ("too_low", (3, 10, 30)),
        ("too_high", (1 / 3, 1 / 10, 1 / 30)),
        ("much_too_high", (1 / 3, 1 / 10, 1 / 30)),
    ):
        inside = [index for index in states if states[index] == state]
        shares = [np.mean([bool(helped(runs, groups, index, one)) for index in inside]) for one in candidates]
        factors[state] = round(candidates[int(np.argmax(shares))], 4)
    return factors


def helped(runs: Sequence[Run], groups: dict[str, dict[float, list[int]]], index: int, factor: float) -> bool | None:
    """Whether the rate times a factor is better on validation; None where no rate of the corpus is near it."""
    meta = runs[index].meta
    rates = groups[key(meta["setting"])]
    wanted = meta["rate"] * factor
    near = min(rates, key=lambda rate: abs(np.log(rate / wanted)))
    if abs(np.log(near / wanted)) > np.log(1.9):
        return None
    mean = {rate: np.mean([runs[one].accuracy for one in rates[rate]]) for rate in (near, meta["rate"])}
    return bool(mean[near] > mean[meta["rate"]])
