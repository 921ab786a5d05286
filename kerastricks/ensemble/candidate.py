"""A combination among others, with its scores."""

from dataclasses import asdict, dataclass
from typing import Any

from kerastricks.ensemble.combination import Combination
from kerastricks.metrics.bootstrap import Estimate


@dataclass(frozen=True, eq=False)
class Candidate:
    """A method, fitted to all images and judged by predictions out of fold.

    Args:
        method: one of "best", "mean", "geometric", "weighted", "greedy", "vote", "stack".
        scaling: where temperatures were found to help: "none", "after", "before" or "both".
        combination: fitted to all images.
        log_loss: out of fold, in nats.
        accuracy: out of fold.
        calibration_error: out of fold.
        gain: log-loss of the best single member less that of this one, image by image; above 0 is better.
        accuracy_gain: accuracy of this one less that of the best single member.
    """

    method: str
    scaling: str
    combination: Combination
    log_loss: Estimate
    accuracy: Estimate
    calibration_error: float
    gain: Estimate
    accuracy_gain: Estimate

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        estimates = {name: asdict(getattr(self, name)) for name in ("log_loss", "accuracy", "gain", "accuracy_gain")}
        return {
            "method": self.method,
            "scaling": self.scaling,
            "combination": self.combination.to_json(),
            "calibration_error": self.calibration_error,
            **estimates,
        }
