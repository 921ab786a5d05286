"""Finished trials that no search has made."""

import math
import random

from kerastricks.search.trial_record import TrialRecord


def trial(name, score, status="completed", direction="min", seconds=10.0, curve=None, reason=None, **values):
    if curve is None:
        curve = [] if score is None else [{"epoch": e, "loss": score + 1 / e, "val_loss": score} for e in (1, 2, 3)]
    return TrialRecord(name, status, score, "val_loss", direction, values, reason, curve, seconds)


def made_trials(count, seed=0):
    """A search over five values, one of them only with the schedule "cosine"; high rates fail."""
    draw = random.Random(seed)
    trials = []
    for number in range(count):
        rate = 10 ** draw.uniform(-4, 0)
        values = {
            "learning_rate": rate,
            "batch_size": draw.choice([32, 64, 128]),
            "schedule": draw.choice(["constant", "cosine"]),
            "dropout": draw.uniform(0, 0.5),
            "augmentation": draw.choice([True, False]),
        }
        if values["schedule"] == "cosine":
            values["warm_up_epochs"] = draw.randint(0, 3)
        score = 0.5 + abs(math.log10(rate) + 2) + draw.gauss(0, 0.05)
        if rate > 0.5:
            trials.append(trial(f"{number:03}", None, "failed", reason="the loss is not finite", **values))
        else:
            status = "stopped" if score > 1.8 else "completed"
            trials.append(trial(f"{number:03}", score, status, **values))
    return trials
