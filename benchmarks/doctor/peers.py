"""What the doctor is compared with: a time-series forest, learned from the same runs, and sk-autod, if installed."""

from collections.abc import Sequence

import numpy as np
from corpus import Run
from sklearn.ensemble import RandomForestClassifier

try:
    import sk_autod
except ImportError:
    sk_autod = None


def curve(run: Run, points: int = 60) -> np.ndarray:
    """Training and validation loss at equally many points, over that of guessing; 10 where not finite."""
    guess = np.log(run.meta["classes"])
    parts = []
    for values in (run.log.loss, run.log.val_loss):
        known = np.minimum(np.where(np.isfinite(values), values / guess, 10.0), 10.0)
        parts.append(
            np.interp(
                np.linspace(0, 1, points), np.linspace(0, 1, max(len(known), 2)), np.resize(known, max(len(known), 2))
            )
        )
    return np.concatenate(parts)


def intervals(curves: np.ndarray, seed: int = 0) -> np.ndarray:
    """Mean, deviation and slope of 60 random intervals of each curve."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(60):
        begin = int(random.integers(0, curves.shape[1] - 6))
        part = curves[:, begin : begin + int(random.integers(5, 40))]
        slope = np.polyfit(np.arange(part.shape[1]), part.T, 1)[0]
        found += [part.mean(axis=1), part.std(axis=1), slope]
    return np.stack(found, axis=1)


def held_out_forest(runs: Sequence[Run], truth: np.ndarray, groups: np.ndarray) -> np.ndarray:
    values = intervals(np.stack([curve(run) for run in runs]))
    found = np.empty_like(truth)
    for group in np.unique(groups):
        inside = groups == group
        forest = RandomForestClassifier(300, class_weight="balanced", random_state=0)
        found[inside] = forest.fit(values[~inside], truth[~inside]).predict(values[inside])
    return found


def autod(run: Run) -> list[str]:
    """Names of sk-autod's findings; none for curves that it refuses."""
    last = int(np.argmax(~np.isfinite(run.log.loss + run.log.val_loss))) or len(run.log.loss)
    try:
        report = sk_autod.diagnose(run.log.loss[:last].tolist(), run.log.val_loss[:last].tolist())
    except Exception:
        return []
    return [one.detector_name for one in report.findings]
