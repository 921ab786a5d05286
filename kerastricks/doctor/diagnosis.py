"""The diagnosis of a training log: findings by all rules, contradictions resolved, ranked."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerastricks.doctor.batch_rules import batch_finding
from kerastricks.doctor.failure_rules import FEW_STEPS, failures
from kerastricks.doctor.finding import KINDS, SURE, Finding
from kerastricks.doctor.fit_rules import LEAST_EPOCHS, beside_validation, fit_findings
from kerastricks.doctor.measures import Measures, measure
from kerastricks.doctor.rate_rules import STATES, rate_finding
from kerastricks.doctor.training_log import TrainingLog

# A finding of the first code explains those of the others, which are left out, if it is sure.
_LENGTH = frozenset({"underfitting", "validation_better", "plateau", "stopped_early", "trained_too_long"})
_CURVES = _LENGTH | {"overfitting", "batch_too_small", *(f"lr_{state}" for state in STATES)}
EXPLAINED: dict[str, frozenset[str]] = {
    "nan": _CURVES | {"diverged", "not_learning"},
    "diverged": _CURVES | {"not_learning"},
    "class_collapse": _CURVES | {"not_learning"},
    "not_learning": _CURVES,
    "lr_much_too_high": _LENGTH | {"batch_too_small"},
    "lr_too_high": frozenset({"plateau", "underfitting", "stopped_early", "validation_better"}),
    "lr_too_low": frozenset({"underfitting", "stopped_early", "plateau", "batch_too_small"}),
    "overfitting": frozenset({"underfitting", "stopped_early", "plateau", "trained_too_long"}),
    "underfitting": frozenset({"plateau", "trained_too_long"}),
    "plateau": frozenset({"trained_too_long"}),
    "stopped_early": frozenset({"underfitting", "trained_too_long"}),
}


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Findings of a training log.

    Args:
        log: that was read.
        measures: of it.
        findings: the weightiest first; never empty.
    """

    log: TrainingLog
    measures: Measures
    findings: tuple[Finding, ...]

    def find(self, code: str) -> Finding | None:
        """The finding of a code, or None."""
        return next((one for one in self.findings if one.code == code), None)

    def __str__(self) -> str:
        return "\n".join([f"{self.log.name}: {_extent(self.log)}", *map(str, self.findings), *self._notes()])

    def _notes(self) -> list[str]:
        return [f"note: {note}" for note in self.log.notes]

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "log": self.log.name,
            "epochs": len(self.log.epochs),
            "steps": len(self.log.steps),
            "findings": [one.to_json() for one in self.findings],
            "measures": self.measures.to_json(),
            "notes": list(self.log.notes),
        }

    def plot(self, target: Path) -> None:
        """Write the curves, with what the findings rest on marked, as a PNG."""
        from kerastricks.doctor.plot import plot_diagnosis

        plot_diagnosis(self, target)


@np.errstate(
    over="ignore", invalid="ignore", divide="ignore"
)  # a log may hold any number, and its warnings help nobody
def diagnose(log: TrainingLog, more: Iterable[Finding] = ()) -> Diagnosis:
    """Say what a training log shows, and what to do next.

    Args:
        log: of `read_log`, or made of arrays.
        more: findings from elsewhere, as of the network: `kerastricks.checks.network_findings`.

    Returns:
        The findings: those that others explain are left out. With less than 4 epochs and 80 steps there is one,
        "cannot_tell", unless the training failed already.

    Example:
        >>> import kerastricks
        >>> history = {"loss": [2.3, 1.1, 0.6, 0.3, 0.1, 0.05], "val_loss": [2.2, 1.2, 0.9, 1.0, 1.3, 1.7]}
        >>> diagnosis = kerastricks.doctor.diagnose(kerastricks.doctor.read_log(history))
        >>> diagnosis.findings[0].code
        'overfitting'
    """
    found = measure(log)
    findings = [*failures(log), *more]
    enough = max(_finite(log.loss), _finite(log.val_loss)) >= LEAST_EPOCHS or _finite(log.step_loss) >= FEW_STEPS
    if enough:
        findings += [one for one in (rate_finding(log, found), batch_finding(log, found)) if one is not None]
        findings += fit_findings(log, found)
    elif not findings:
        findings.append(_too_little(log))
    findings = _resolved(findings)
    if enough and not any(KINDS[one.code].severity in ("critical", "warning") for one in findings):
        findings.append(_healthy(log, found) if log.has("val_loss") else _no_validation(log))
    return Diagnosis(log, found, tuple(sorted(findings, key=lambda one: one.rank)))


def _resolved(findings: list[Finding]) -> list[Finding]:
    dropped: set[str] = set()
    for one in findings:
        if one.confidence >= SURE and one.code not in dropped:
            dropped |= EXPLAINED.get(one.code, frozenset())
    return [one for one in findings if one.code not in dropped]


def _finite(values: np.ndarray) -> int:
    return int(np.isfinite(values).sum())


def _extent(log: TrainingLog) -> str:
    counts = (len(log.epochs), "epoch"), (len(log.steps), "step")
    return " and ".join(f"{count:,} {unit}{'s' * (count != 1)}" for count, unit in counts if count)


def _too_little(log: TrainingLog) -> Finding:
    return Finding(
        code="cannot_tell",
        evidence=f"the log has {_extent(log)}: a curve needs {LEAST_EPOCHS} epochs or {FEW_STEPS} steps",
        advice="train longer, or log the loss of every step: kerastricks.callbacks.BatchLossLog",
    )


def _no_validation(log: TrainingLog) -> Finding:
    return Finding(
        code="cannot_tell",
        evidence="no validation loss was logged: whether it overfits cannot be seen",
        advice="log one: fit(..., validation_data=...), or name its column: --columns val_loss=NAME",
    )


def _healthy(log: TrainingLog, found: Measures) -> Finding:
    training = "" if np.isnan(found.gap) else f"; the training loss ends {beside_validation(found.gap)}"
    return Finding(
        code="healthy",
        evidence=f"the validation loss ends within {max(found.val_rise, 0):.1%} of its lowest value{training}",
        advice="",
        confidence=0.9,
        figures={"val_rise": found.val_rise, "gap": found.gap},
    )
