"""Successive halving of strategies: results of short trainings, verdicts, and the record that can be resumed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kerastricks.files import read_json, write_json
from kerastricks.finetuning.costs import Cost, Length
from kerastricks.metrics.bootstrap import Estimate, bootstrap_mean

# What measuring may take of the budget.
SHARE_OF_MEASURING = 0.3
# What a short training may take of the budget that measuring leaves, and all of them together.
SHARE, SHARE_OF_ALL = 0.1, 0.4
# Of a training from random weights at small size "a minute or less" tells enough.
MOST_SECONDS = 60.0
# Fewer steps move nothing that a comparison could see.
FEWEST_STEPS = 20
# Errors fall with a power of the time that is spent on training. What a longer training is expected to reach is
# computed with this one, and what it may reach at best with three times as much: one from random weights, stopped at
# 73 %, was expected to reach 90 % with five times the time and reached 98 %.
CATCHING_UP = {"small": 0.5, "last": 0.3, "all": 0.5}
OPTIMISM = 3.0


@dataclass(frozen=True, eq=False)
class Result:
    """Result of one training, or of a probe.

    Args:
        name: the strategy.
        rung: 0 for a probe, 1 for the short training, 2 for the one with the rest of the budget.
        accuracy: on the validation images that are compared.
        loss: log-loss on them, in nats.
        correct: (V,) whether each of them was classified correctly.
        seconds: that it took.
        length: of the training; None for a probe.
        cost: as it was timed while training.
        best: accuracy and loss of the best epoch as the training counts them.
        stage: what the report says of it.
    """

    name: str
    rung: int
    accuracy: float
    loss: float
    correct: np.ndarray
    seconds: float = 0.0
    length: Length | None = None
    cost: Cost | None = None
    best: tuple[float, float] | None = None
    stage: dict[str, Any] | None = None

    @property
    def score(self) -> tuple[float, float]:
        """Higher is better. Losses break ties only: those of trainings with smoothed labels are higher."""
        return round(self.accuracy, 6), -self.loss

    def projected(self, seconds: float, optimism: float = 1.0) -> float:
        """The expected accuracy after so many more seconds of training; that of a probe is constant.

        Args:
            seconds: of this strategy, overhead included.
            optimism: factor of the exponent with which errors fall.
        """
        if self.cost is None or self.length is None:
            return self.accuracy
        trained = max(self.length.steps * self.cost.step, 1e-9)
        more = max(seconds - self.cost.overhead, 0.0)
        return 1 - (1 - self.accuracy) * (trained / (trained + more)) ** (optimism * CATCHING_UP[self.name])

    def to_json(self) -> dict[str, Any]:
        """For the record of a run that may be interrupted."""
        fields = {name: value for name, value in vars(self).items() if name != "correct"}
        fields |= {name: value and asdict(value) for name, value in fields.items() if name in ("length", "cost")}
        return {**fields, "correct": "".join("01"[int(one)] for one in self.correct)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Result":
        """The inverse of `to_json`."""
        return cls(
            **{
                **fields,
                "correct": np.array([one == "1" for one in fields["correct"]]),
                "length": fields["length"] and Length(**fields["length"]),
                "cost": fields["cost"] and Cost(**fields["cost"]),
                "best": fields["best"] and tuple(fields["best"]),
            }
        )


@dataclass(frozen=True)
class Verdict:
    """Decision whether a short training is continued.

    Args:
        name: the strategy.
        goes_on: with the rest of the budget.
        projected: accuracy that is expected with the time that is left.
        behind: what it is behind the leader on the same images: mean and 90 % interval; None for the leader.
        reason: in words.
    """

    name: str
    goes_on: bool
    projected: float
    behind: Estimate | None
    reason: str


def judge(results: Sequence[Result], seconds: float, seed: int = 0) -> list[Verdict]:
    """Decides which short trainings are continued: successive halving with a paired comparison.

    A training is given up if it is behind the best result on the same validation images by more than the 90 % interval
    of the difference allows, and would stay so at best, while the others get what is expected of them. Of those that
    remain the one of which most is expected is continued; a second one too if that expectation is within the interval
    of their difference, and the time is enough for both to train as long again as they did.

    Args:
        results: probes and short trainings.
        seconds: that are left.
        seed: of the bootstrap.

    Returns:
        A verdict for each training, the one of which most is expected first.

    Reference:
        Jamieson, Talwalkar: Non-stochastic best arm identification and hyperparameter optimization, AISTATS 2016
        (successive halving). Deviations: the statistical test, the projection, and at most two rungs.
    """
    leader = max(results, key=lambda result: result.score)
    projections = {id(result): result.projected(seconds) for result in results}
    highest = max(projections.values())
    verdicts: list[tuple[Result, Verdict]] = []
    for result in sorted((r for r in results if r.length is not None), key=lambda r: -projections[id(r)]):
        projected = projections[id(result)]
        behind = None
        if result is not leader:
            difference = leader.correct.astype("int8") - result.correct.astype("int8")
            behind = bootstrap_mean(difference, seed)
        width = 0.0 if behind is None else behind.value - behind.low
        at_best = result.projected(seconds, OPTIMISM)
        goes_on = behind is None or behind.low <= 0 or at_best + width >= highest
        reason = f"{projected:.1%} is expected with the time that is left"
        if behind is not None and not goes_on:
            reason = (
                f"given up: {behind.value:.1%} ({behind.low:.1%} to {behind.high:.1%}) behind {leader.name} on the "
                f"same images, {at_best:.1%} at best with the time that is left, and {highest:.1%} is expected"
            )
        verdicts.append((result, Verdict(result.name, goes_on, projected, behind, reason)))
    going_on = [pair for pair in verdicts if pair[1].goes_on]
    needed = sum(r.cost.overhead + r.length.steps * r.cost.step for r, _ in going_on[:2] if r.cost and r.length)
    both = len(going_on) > 1 and needed <= seconds
    if both:
        first, second = going_on[0], going_on[1]
        difference = first[0].correct.astype("int8") - second[0].correct.astype("int8")
        apart = bootstrap_mean(difference, seed)
        both = second[1].projected + (apart.high - apart.value) >= first[1].projected
    kept = {pair[1].name for pair in going_on[: 2 if both else 1]}
    return [
        verdict
        if verdict.goes_on == (verdict.name in kept)
        else Verdict(
            verdict.name,
            False,
            verdict.projected,
            verdict.behind,
            f"given up for {going_on[0][1].name}: {verdict.reason}, and {going_on[0][1].projected:.1%} of that",
        )
        for _, verdict in verdicts
    ]


@dataclass
class Journal:
    """Record of what the selection measured, planned and spent, so that it can be resumed to the same result.

    Args:
        path: of the JSON file; None keeps it in memory.
        seconds: of measuring.
        images: of each split that were measured.
        lengths: of trainings that were begun, by name: they are not timed again.
        results: of those that ended.
        verdicts: after the short trainings.
        refused: strategies that were not tried, and why.
    """

    path: Path | None = None
    seconds: float | None = None
    images: dict[str, int] | None = None
    lengths: dict[str, Length] = field(default_factory=dict)
    results: dict[str, Result] = field(default_factory=dict)
    verdicts: list[Verdict] | None = None
    refused: dict[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path | None) -> "Journal":
        """Opens the journal of an interrupted run, or a new one."""
        if path is None or not path.exists():
            return cls(path)
        record = read_json(path)
        verdicts = [
            Verdict(**{**one, "behind": one["behind"] and Estimate(**one["behind"])})
            for one in record["verdicts"] or ()
        ]
        return cls(
            path,
            record["seconds"],
            record["images"],
            {name: Length(**fields) for name, fields in record["lengths"].items()},
            {name: Result.from_json(fields) for name, fields in record["results"].items()},
            None if record["verdicts"] is None else verdicts,
            record["refused"],
        )

    @property
    def spent(self) -> float:
        """Seconds so far."""
        return (self.seconds or 0.0) + sum(result.seconds for result in self.results.values())

    def of(self, name: str) -> list[Result]:
        """The trainings of a strategy."""
        return [result for result in self.results.values() if result.name == name and result.length is not None]

    def save(self) -> None:
        """Writes it, if it has a path."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        record = {
            "seconds": self.seconds,
            "images": self.images,
            "lengths": {name: asdict(length) for name, length in self.lengths.items()},
            "results": {name: result.to_json() for name, result in self.results.items()},
            "verdicts": None if self.verdicts is None else [asdict(verdict) for verdict in self.verdicts],
            "refused": self.refused,
        }
        write_json(self.path, record)

    def discard(self) -> None:
        """Removes the file, if nothing was trained."""
        if self.path is not None and not self.lengths:
            self.path.unlink(missing_ok=True)
            self.path.parent.rmdir()
