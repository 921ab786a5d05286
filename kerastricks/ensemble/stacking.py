"""A logistic regression on the members' log-probabilities."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from kerastricks.ensemble.combination import Combination, stack_rows
from kerastricks.ensemble.folds import held_out_folds
from kerastricks.ensemble.member_rows import member_rows
from kerastricks.ensemble.pool_regression import pool_regression
from kerastricks.ensemble.temperature import fit_temperature
from kerastricks.ensemble.tempered import tempered
from kerastricks.finetuning.one_thread import one_thread
from kerastricks.metrics.calibration import log_losses

# C times the number of columns, whose mean square is 1, from strong to weak regularisation.
STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0, 1_000.0)


@dataclass(frozen=True, eq=False)
class Stacking:
    """A fitted stacking.

    Args:
        combination: fitted to all images.
        out_of_fold: (N, K) probabilities of each image by a regression that did not see it, at the chosen strength.
        C: the chosen strength of the data against the penalty, on columns of mean square 1.
    """

    combination: Combination
    out_of_fold: np.ndarray
    C: float


def fit_stacking(log_probabilities: np.ndarray, labels: np.ndarray, seed: int = 0) -> Stacking:
    """Fits an L2-regularised multinomial logistic regression to the log-probabilities of all members, side by side.

    It can learn which member to believe about which class, and undo mistakes that members make again and again. For
    that it has M * K * K numbers to fit, where a mean has none. The penalty draws it towards the geometric mean at its
    best temperature, not towards zero, so that with few images it becomes that mean. The strength is chosen by
    log-loss out of fold.

    Args:
        log_probabilities: (M, N, K) of images that no member was trained on; logits will do.
        labels: (N,) integers, of two classes or more.
        seed: of the folds.

    Returns:
        A `Stacking`. The score of `out_of_fold` is fair but for the choice among six strengths.

    Raises:
        EnsembleError: for other shapes, labels out of range or of one class, less than four images, NaN or plus
            infinity.

    Example:
        >>> import numpy as np
        >>> from kerastricks.ensemble import fit_stacking
        >>> labels = np.arange(60) % 2
        >>> always_wrong = np.log(np.where(np.eye(2)[labels] > 0, 0.3, 0.7))
        >>> stacking = fit_stacking(always_wrong[None], labels)
        >>> float((stacking.out_of_fold.argmax(axis=1) == labels).mean())
        1.0

    Reference:
        Wolpert: Stacked generalization, Neural networks 5, 1992; Ting, Witten: Issues in stacked generalization, JAIR
        10, 1999: probabilities, not classes, are what to stack. Deviations: log-probabilities, of which each member's
        mean over the classes is taken away, so that the mean of logits is among the solutions, and where the penalty
        draws to. Images must be held out from the members, where those papers fit the members again for every fold.
    """
    rows, labels = member_rows(log_probabilities, labels)
    log_q = tempered(rows)
    columns = stack_rows(log_q)
    # One number for all columns: their spreads are of one kind, and say how sure a member is.
    scale = float(np.sqrt((columns**2).mean())) or 1.0
    columns = columns / scale
    single = columns.astype("float32")
    targets = np.eye(rows.shape[2])[labels]
    fold = held_out_folds(labels, seed)
    splits = [(fold != number, fold == number) for number in np.unique(fold)]
    centres = [_geometric(log_q[:, seen], labels[seen], scale) for seen, _ in splits]
    starts = list(centres)
    best = (np.inf, STRENGTHS[0], np.zeros(0))
    with one_thread(columns.size * rows.shape[2]):
        for strength in STRENGTHS:
            c = strength / columns.shape[1]
            out = np.zeros(targets.shape)
            for number, (seen, held_out) in enumerate(splits):
                found = pool_regression(single[seen], targets[seen], centres[number], c, starts[number])
                starts[number] = found
                out[held_out] = special.softmax(columns[held_out] @ found[:-1] + found[-1], axis=1)
            loss = float(log_losses(out, labels).mean())
            if loss >= best[0]:
                break
            best = (loss, strength, out)
        c = best[1] / columns.shape[1]
        found = pool_regression(columns, targets, _geometric(log_q, labels, scale), c, tolerance=1e-6)
    return Stacking(Combination("stack", kernel=found[:-1] / scale, bias=found[-1]), best[2], c)


def _geometric(log_q: np.ndarray, labels: np.ndarray, scale: float) -> np.ndarray:
    """Kernel and bias that give the geometric mean at its best temperature, of columns divided by `scale`."""
    members, _, classes = log_q.shape
    temperature = fit_temperature(log_q.mean(axis=0), labels)
    kernel = np.tile(np.eye(classes) * scale / (members * temperature), (members, 1))
    return np.vstack([kernel, np.zeros((1, classes))])
