"""A finding about a training: its code, what it rests on, and one next step."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["critical", "warning", "note", "good"]
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "note", "good")
SURE = 0.9  # with less confidence a finding is a note: at most 3 % of healthy trainings get a false warning then

_NOTES = "Wei, Must Know Tips/Tricks, 2015, section 7"
_BENGIO = "Bengio, arXiv 1206.5533, section 3.1.1"


@dataclass(frozen=True)
class Kind:
    """Severity, title and source that all findings of a code share.

    Args:
        severity: "critical": the training failed; "warning": a change is likely to help; "note": worth knowing;
            "good": as it should be.
        title: in a few words.
        source: where the tip is from.
    """

    severity: Severity
    title: str
    source: str


# In the order in which findings of one severity are shown.
KINDS: dict[str, Kind] = {
    "nan": Kind("critical", "The loss is not a number", "Goodfellow et al., Deep Learning, 2016, section 11.5"),
    "diverged": Kind("critical", "The training diverged", _NOTES),
    "lr_much_too_high": Kind("critical", "Learning rate much too high", _NOTES),
    "not_learning": Kind("critical", "Nothing is learned", "Wei, Must Know Tips/Tricks, 2015, section 3"),
    "class_collapse": Kind("critical", "One class is predicted for all images", "Buda et al., arXiv 1710.05381"),
    "exploding_gradients": Kind("critical", "Gradients explode", "Pascanu et al., arXiv 1211.5063"),
    "vanishing_gradients": Kind("critical", "Gradients vanish", "Glorot, Bengio, AISTATS 2010"),
    "dead_units": Kind("warning", "Many units are dead", "Wei, Must Know Tips/Tricks, 2015, section 5"),
    "lr_too_high": Kind("warning", "Learning rate too high", _NOTES),
    "lr_too_low": Kind("warning", "Learning rate too low", _NOTES),
    "batch_too_small": Kind("warning", "Batch too small", "Wei, 2015, section 7; McCandlish et al., arXiv 1812.06162"),
    "overfitting": Kind("warning", "Overfitting", _NOTES),
    "underfitting": Kind("warning", "Underfitting", _NOTES),
    "labels_suspected": Kind("warning", "Labels are probably wrong", "Northcutt et al., arXiv 1911.00068"),
    "validation_better": Kind("note", "Validation is better than training", "Smith, arXiv 1803.09820, section 3"),
    "plateau": Kind("note", "The loss has stopped falling", "Wei, Must Know Tips/Tricks, 2015, section 4"),
    "stopped_early": Kind("note", "Stopped while it was still improving", _BENGIO),
    "trained_too_long": Kind("note", "Trained longer than it improved", "Prechelt, Early Stopping, 1998, section 2"),
    "cannot_tell": Kind("note", "Too little to tell", _BENGIO),
    "lr_good": Kind("good", "Learning rate good", _NOTES),
    "healthy": Kind("good", "Healthy", _NOTES),
}
_ORDER = {code: place for place, code in enumerate(KINDS)}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One finding of a diagnosis.

    Args:
        code: stable, for programs: a key of `KINDS`.
        evidence: the figures that it rests on, in a sentence.
        advice: one next step, with its value.
        confidence: share of such findings that were right, on trainings they were not learned from; 1.0 for what is
            read from the log and not inferred.
        span: first and last epoch of the part of the curves that shows it, in epochs, or in steps of a log without
            epochs; None for all of it.
        change: the next step for a program: setting to value, {"learning_rate": 0.03}.
        figures: measures that the evidence names.
    """

    code: str
    evidence: str
    advice: str
    confidence: float = 1.0
    span: tuple[float, float] | None = None
    change: Mapping[str, float] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def severity(self) -> Severity:
        """That of its `Kind`; a note where it is not `SURE`."""
        of_kind = KINDS[self.code].severity
        return "note" if of_kind in ("critical", "warning") and self.confidence < SURE else of_kind

    @property
    def title(self) -> str:
        """In a few words."""
        return KINDS[self.code].title

    @property
    def source(self) -> str:
        """Where the tip is from."""
        return KINDS[self.code].source

    @property
    def rank(self) -> tuple[int, int]:
        """By which findings are sorted, the weightiest first."""
        return SEVERITIES.index(self.severity), _ORDER[self.code]

    def __str__(self) -> str:
        sure = "" if self.confidence >= 1 else f" ({self.confidence:.0%} sure)"
        lines = [f"{self.severity:<9}{self.title}{sure}", self.evidence]
        if self.advice:
            lines.append(f"next: {self.advice}")
        return "\n         ".join([*lines, f"[{self.code}; {self.source}]"])

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "code": self.code,
            "severity": self.severity,
            "title": self.title,
            "confidence": round(self.confidence, 3),
            "evidence": self.evidence,
            "advice": self.advice,
            "change": dict(self.change),
            "span": None if self.span is None else list(self.span),
            "figures": {name: round(value, 5) for name, value in self.figures.items() if math.isfinite(value)},
            "source": self.source,
        }
