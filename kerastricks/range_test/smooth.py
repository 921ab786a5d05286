"""The loss of a sweep without its noise."""

import numpy as np


def smooth(losses: np.ndarray, width_steps: float) -> np.ndarray:
    """Averages each loss with its neighbours, weighted by a Gaussian of their distance in steps.

    The average is centred: unlike the running average of other range tests it moves nothing to higher rates.

    Args:
        losses: (..., steps), finite.
        width_steps: standard deviation of the Gaussian; 0 leaves the losses as they are.

    Returns:
        The same shape.
    """
    losses = np.asarray(losses, "float64")
    if width_steps <= 0:
        return losses.copy()
    places = np.arange(losses.shape[-1])
    weights = np.exp(-0.5 * ((places[:, None] - places) / width_steps) ** 2)
    return losses @ (weights / weights.sum(axis=0))


def fill_stopped(losses: np.ndarray) -> np.ndarray:
    """Losses that are finite everywhere: where a sweep was stopped it is as bad as a divergence can be.

    That is the first loss and as much above it as the best sweep came below, at least a quarter of the first loss.
    Greater losses are lowered to it, so that a single step that blew up does not reach far when it is smoothed.

    Args:
        losses: (sweeps, steps), NaN where a sweep was stopped.
    """
    known = losses[np.isfinite(losses)]
    if not known.size:
        return np.zeros_like(losses)
    beginning = losses[:, : max(losses.shape[1] // 10, 1)]
    beginning = beginning[np.isfinite(beginning)]
    first = float(np.median(beginning)) if beginning.size else float(known[0])
    ceiling = first + max(first - float(known.min()), 0.25 * abs(first))
    return np.minimum(np.where(np.isfinite(losses), losses, ceiling), ceiling)


def exponential_average(losses: np.ndarray, memory: float, unbiased: bool = True) -> np.ndarray:
    """The running average of other range tests: `memory` of the average so far, the rest of the loss.

    Args:
        losses: (steps,), finite.
        memory: fastai takes 0.98, torch-lr-finder 0.95.
        unbiased: starts at nothing and is divided by `1 - memory^n`, as in fastai; otherwise it starts at the first
            loss, as in torch-lr-finder.
    """
    averaged, average = np.empty(len(losses)), 0.0 if unbiased else float(losses[0])
    for step, loss in enumerate(np.asarray(losses, "float64")):
        average = memory * average + (1 - memory) * loss
        averaged[step] = average / (1 - memory ** (step + 1)) if unbiased else average
    return averaged
