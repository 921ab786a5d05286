"""What an ensemble and its members are worth, and what they cost: for summary.json."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from kerastricks.data.image_data import ImageData
from kerastricks.data.progress import Progress
from kerastricks.ensemble.cost import costs
from kerastricks.ensemble.temperature import fit_temperature
from kerastricks.ensemble.tempered import tempered
from kerastricks.metrics.bootstrap import bootstrap_mean
from kerastricks.metrics.calibration import disagreement, log_losses, mean_disagreement, quality
from kerastricks.runs.made import Made, over_split
from kerastricks.runs.members import RunMember
from kerastricks.training.training_model import with_probabilities

_SCORES = ("validation", "test", "test_at_own_temperature")
_COMPARED = ("mean_member", "best_member", "gain_over_mean", "gain_over_best", "disagreement", "disagreements")


def measured(
    opened: Sequence[RunMember],
    knowing: Sequence[str],
    made: Made,
    images: ImageData,
    validation: np.ndarray,
    labels: np.ndarray,
    test: np.ndarray,
    may_scale: bool,
    progress: Progress,
) -> dict[str, Any]:
    """What the members and the model of them are worth on test, and what they cost.

    Args:
        opened: the M members.
        knowing: names of those S that tell the classes of the data apart; the others give features alone, and have no
            scores.
        made: of them.
        images: what it is measured with.
        validation: (S, N, K) log-probabilities of the validation images.
        labels: (N,) of these.
        test: (S, N_test, K) log-probabilities of the test images.
        may_scale: whether gains are over members at their own temperature; else over members as they are.
        progress: where long work shows how far it is.

    Returns:
        Fields of the report in docs/ensembles.md; those that compare are None where S is 0.
    """
    test_labels = images.labels("test")
    combined = over_split(made.model, images, "test", progress)
    models = {one.member.name: with_probabilities(one.member.model) for one in opened}
    spent = {name: asdict(cost) for name, cost in costs({**models, "": made.model}).items()}
    # A temperature needs no ensemble: what it gains is no gain of combining.
    scaled = [tempered(rows, fit_temperature(own, labels)) for own, rows in zip(validation, test, strict=True)]
    scores = {
        name: {
            "validation": quality(np.exp(on_validation), labels),
            "test": quality(np.exp(on_test), test_labels),
            "test_at_own_temperature": quality(np.exp(at_own_temperature), test_labels),
        }
        for name, on_validation, on_test, at_own_temperature in zip(knowing, validation, test, scaled, strict=True)
    }
    members = [
        {
            "name": one.member.name,
            "path": str(one.path),
            "weight": None if made.weights is None else made.weights[place],
            "temperature": None if made.temperatures is None else made.temperatures[place],
            **scores.get(one.member.name, dict.fromkeys(_SCORES)),
            "training_seconds": round(one.training_seconds, 1),
            **spent[one.member.name],
        }
        for place, one in enumerate(opened)
    ]
    result = {"members": members, "combined": {"test": quality(combined, test_labels), **spent[""]}}
    if not scores:
        return {**result, **dict.fromkeys(_COMPARED)}
    losses = np.stack([log_losses(np.exp(one), test_labels) for one in (scaled if may_scale else test)])
    own = log_losses(combined, test_labels)
    best = int(np.argmin([of["validation"]["log_loss"] for of in scores.values()]))
    return {
        **result,
        "mean_member": {key: _mean([of[key] for of in scores.values()]) for key in _SCORES},
        "best_member": knowing[best],
        "gain_over_mean": _gain(losses.mean(axis=0), own),
        "gain_over_best": _gain(losses[best], own),
        "disagreement": mean_disagreement(test) if len(test) > 1 else None,
        "disagreements": disagreement(test).round(4).tolist(),
    }


def _mean(scores: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([one[name] for one in scores])) for name in scores[0]}


def _gain(before: np.ndarray, after: np.ndarray) -> dict[str, float]:
    """How far the log-loss falls on test, with its 90 % interval over images, and as a share."""
    return {**asdict(bootstrap_mean(before - after)), "share": float(1 - after.mean() / before.mean())}
