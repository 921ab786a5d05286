"""Stacking: a logistic regression on the members' log-probabilities; temperature scaling and folds."""

from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from kerastricks.data.sources.groups import divide_groups
from kerastricks.ensemble.combination import Combination, stack_rows, tempered
from kerastricks.errors import EnsembleError
from kerastricks.metrics.calibration import log_losses, member_rows
from kerastricks.probes.rows import one_thread, stratified_folds

# A few images that are all classified correctly would make any classifier as confident as it can be: 0.2 is the limit.
TEMPERATURE_RANGE = (0.2, 20.0)
FOLDS = 5
# C times the number of columns, whose mean square is 1, from strong to weak regularisation.
STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0, 1_000.0)


def fit_temperature(
    log_probabilities: np.ndarray, labels: np.ndarray, temperature_range: tuple[float, float] = TEMPERATURE_RANGE
) -> float:
    """Fit the temperature T that minimises the log-loss of softmax(log_probabilities / T).

    Networks that were trained to the end are overconfident: T above 1 makes them less so. It changes no
    prediction, only its confidence. Needs images that the network was not trained on: on those it was, T is too low.

    Args:
        log_probabilities: (N, K) log-probabilities or logits.
        labels: (N,) integers.
        temperature_range: between which values T is looked for; an end of it is an answer.

    Returns:
        T, exact to 1e-6 of its value; 1 where all temperatures are equally good.

    Raises:
        EnsembleError: for other shapes, labels out of range, NaN or plus infinity.
        ValueError: for another range.

    Example:
        >>> import numpy as np
        >>> from kerastricks.ensemble import fit_temperature
        >>> sure = np.log([[0.9, 0.1]] * 4)
        >>> round(fit_temperature(sure, np.array([0, 0, 0, 1])), 4)
        2.0

    Reference:
        Guo et al.: On calibration of modern neural networks, arXiv 1706.04599, section 4.2. The log-loss is convex in
        1 / T; where its derivative is zero is found by Brent's method.
    """
    low, high = temperature_range
    if not 0 < low < high < np.inf:
        raise ValueError(f"temperature_range must be (low, high) with 0 < low < high. Received: {temperature_range}")
    rows, labels = member_rows(np.asarray(log_probabilities)[None], labels)
    log_q = tempered(rows[0])
    of_label = log_q[np.arange(len(labels)), labels].mean()

    def slope(inverse: float) -> float:
        return float((special.softmax(log_q * inverse, axis=1) * log_q).sum(axis=1).mean() - of_label)

    sharpest, flattest = slope(1 / low), slope(1 / high)
    if abs(sharpest) + abs(flattest) < 1e-12:
        return 1.0
    if sharpest <= 0:
        return low
    if flattest >= 0:
        return high
    return float(1 / optimize.brentq(slope, 1 / high, 1 / low, xtol=1e-9, rtol=1e-9))


def held_out_folds(labels: np.ndarray, seed: int = 0, groups: np.ndarray | None = None) -> np.ndarray:
    """Assign images to stratified folds; each is held out once.

    Args:
        labels: (N,) integers of two classes or more.
        seed: of the order in which images are dealt.
        groups: (N,) of str, groups of the images that no two folds share; None for none.

    Returns:
        (N,) numbers from 0. There are five folds, or as many as images. The one image of a class is held out too:
        a combination that was fitted without it is what a rare class will meet.

    Raises:
        EnsembleError: for less than four images, one class, or one group.
    """
    if groups is not None and len(set(groups.tolist())) < 2:
        raise EnsembleError(
            "images must be of two groups or more to fit a combination: hold out more, or take the mean"
        )
    if len(labels) < 4 or len(np.unique(labels)) < 2:
        raise EnsembleError(
            f"labels must be four or more, of two classes or more, to fit a combination. Received: {len(labels)} of "
            f"{len(np.unique(labels))} classes; hold out more images, or take the plain mean"
        )
    folds = min(FOLDS, len(labels))
    if groups is not None:  # the one image of a class goes where its group goes
        return divide_groups(labels, groups, [1 / folds] * folds, seed)[0]
    fold = stratified_folds(labels, folds, seed)
    unassigned = fold < 0  # the one image of a class
    fold[unassigned] = np.arange(unassigned.sum()) % folds
    return fold


def pool_regression(
    columns: np.ndarray,
    targets: np.ndarray,
    centre: np.ndarray,
    c: float,
    start: np.ndarray | None = None,
    tolerance: float = 1e-4,
    max_steps: int = 500,
) -> np.ndarray:
    """Minimise c * sum_i log-loss_i + sum((solution - centre)^2) / 2 over kernel and bias, the bias penalised alike.

    L-BFGS in principal components, where the penalty is the same, each scaled by the square root of its curvature.

    Args:
        columns: (N, D); their dtype is that of the arithmetic.
        targets: (N, K) one-hot.
        centre: (D + 1, K): the kernel and below it the bias that an infinitely strong penalty gives.
        c: strength of the data against the penalty.
        start: (D + 1, K) from where; None for the centre.
        tolerance: largest element of the scaled gradient of the mean loss at which the search ends.
        max_steps: at which it ends in any case.

    Returns:
        (D + 1, K) float64.
    """
    count = len(columns)
    rows = np.concatenate([columns, np.ones((count, 1), columns.dtype)], axis=1)
    moments, components = np.linalg.eigh((rows.T @ rows).astype("float64") / count)
    rows = rows @ components.astype(rows.dtype)
    targets = targets.astype(rows.dtype)
    middle = components.T @ centre
    # The curvature of a softmax is at most a half; a fourth is a good guess for images in doubt.
    scale = 1 / np.sqrt(np.maximum(moments, 0) / 4 + 1 / (c * count))[:, None]

    def loss(scaled: np.ndarray) -> tuple[float, np.ndarray]:
        away = scaled.reshape(middle.shape) * scale
        logits = rows @ (middle + away).astype(rows.dtype)
        log_probabilities = logits - special.logsumexp(logits, axis=1, keepdims=True)
        error = np.exp(log_probabilities) - targets
        gradient = (rows.T @ error).astype("float64") / count + away / (c * count)
        value = -np.einsum("nk,nk->", log_probabilities, targets, dtype="float64") / count
        return float(value + (away**2).sum() / (2 * c * count)), (gradient * scale).ravel()

    first = np.zeros_like(middle) if start is None else (components.T @ start - middle) / scale
    found = optimize.minimize(
        loss,
        first.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"gtol": tolerance, "ftol": 0.0, "maxiter": max_steps, "maxcor": 20},
    )
    return components @ (middle + found.x.reshape(middle.shape) * scale)


@dataclass(frozen=True, eq=False)
class Stacking:
    """A fitted stacking, with its out-of-fold predictions.

    Args:
        combination: fitted to all images.
        out_of_fold: (N, K) probabilities of each image by a regression that did not see it, at the chosen strength.
        C: the chosen strength of the data against the penalty, on columns of mean square 1.
    """

    combination: Combination
    out_of_fold: np.ndarray
    C: float


def fit_stacking(
    log_probabilities: np.ndarray, labels: np.ndarray, seed: int = 0, groups: np.ndarray | None = None
) -> Stacking:
    """Fit an L2-regularised multinomial logistic regression to the log-probabilities of all members, side by side.

    It can learn which member to believe about which class, and undo mistakes that members make again and again. For
    that it has M * K * K numbers to fit, where a mean has none. The penalty draws it towards the geometric mean at its
    best temperature, not towards zero, so that with few images it becomes that mean. The strength is chosen by
    log-loss out of fold.

    Args:
        log_probabilities: (M, N, K) of images that no member was trained on; logits will do.
        labels: (N,) integers, of two classes or more.
        seed: of the folds.
        groups: (N,) of str, groups of the images that no two folds share; None for none.

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
    # One scale for all columns: their spreads are comparable, and are the members' confidence.
    scale = float(np.sqrt((columns**2).mean())) or 1.0
    columns = columns / scale
    single = columns.astype("float32")
    targets = np.eye(rows.shape[2])[labels]
    fold = held_out_folds(labels, seed, groups)
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
