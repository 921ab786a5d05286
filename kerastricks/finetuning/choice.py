"""The table "how much data, how similar": its strategy, the order of short trainings, and the reasons."""

from dataclasses import dataclass
from typing import Any

from kerastricks.finetuning.measurement import Measurement
from kerastricks.finetuning.settings import MUCH, SIMILAR
from kerastricks.metrics.bootstrap import Estimate


@dataclass(frozen=True)
class Choice:
    """A strategy and why.

    Args:
        strategy: one of `STRATEGIES`; before the short trainings it is the table's.
        given: whether the user named it.
        table: what the table says.
        much: whether there is much data.
        similar: whether the images are like those the backbone learned from.
        reasons: a sentence each, with figures.
        would_change: what other figures would lead to.
    """

    strategy: str
    given: bool
    table: str
    much: bool
    similar: bool
    reasons: tuple[str, ...]
    would_change: tuple[str, ...]

    @property
    def order(self) -> tuple[str, ...]:
        """The strategies with short trainings, in order.

        The small network first: it costs least, and says what training itself reaches. Of the other two that which
        fits the domain; where the budget is short the last one is not tried.
        """
        return ("small", "last", "all") if self.similar else ("small", "all", "last")

    def to_json(self) -> dict[str, Any]:
        """For a report."""
        return {
            "plan": self.strategy,
            "given": self.given,
            "table": self.table,
            "data": "much" if self.much else "little",
            "domain": "similar" if self.similar else "different",
            "reasons": list(self.reasons),
            "would_change": list(self.would_change),
        }


def choose(measurement: Measurement, strategy: str = "auto") -> Choice:
    """Looks up the cell of the table; a given strategy takes precedence.

    Wei: Must Know Tips/Tricks in Deep Neural Networks, 2015, after CS231n's notes on transfer learning. For much and
    similar data the article fine-tunes "the first layers"; every measurement known says the last, and so does this.
    The table sees what the backbone brings, and nothing of what training itself could reach: so it explains, and
    orders the short trainings that decide (`kerastricks.finetuning.selection`).
    """
    much, similar = measurement.median_images >= MUCH, measurement.gain >= SIMILAR
    cell = {(False, True): "linear", (True, True): "last", (True, False): "all", (False, False): "earlier"}
    by_table = cell[much, similar]
    top, pixels = measurement.top.probe.accuracy, measurement.pixels.probe.accuracy
    reasons: tuple[str, ...] = (
        f"{'much' if much else 'little'} data: {measurement.median_images:g} training images in the middle class, "
        f"and {MUCH} or more are much",
        f"{'similar' if similar else 'different'} domain: a linear probe gets {_spread(top)} with the top features "
        f"and {_spread(pixels)} with the pixels alone: the backbone takes away {measurement.error_share:.0%} of the "
        f"errors and {measurement.log_loss_share:.0%} of the log-loss, and {SIMILAR:.0%} or more of both is similar",
    )
    other_amount, other_domain = cell[not much, similar], cell[much, not similar]
    would_change = (
        f"{f'fewer than {MUCH}' if much else f'{MUCH} or more'} images in the middle class: {other_amount}",
        f"{'less' if similar else 'more'} than {SIMILAR:.0%} of errors or log-loss taken away: {other_domain}",
    )
    if strategy != "auto" and strategy != by_table:
        reasons = (*reasons, f"the table says {by_table}; {strategy} was asked for")
    return Choice(
        strategy=by_table if strategy == "auto" else strategy,
        given=strategy != "auto",
        table=by_table,
        much=much,
        similar=similar,
        reasons=reasons,
        would_change=would_change,
    )


def _spread(accuracy: Estimate) -> str:
    return f"{accuracy.value:.1%} ({accuracy.low:.1%} to {accuracy.high:.1%})"
