"""What a diagnosis consists of: findings with evidence, confidence and one next step."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["critical", "warning", "note", "good"]
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "note", "good")
NOTES = 'Wei, "Must Know Tips/Tricks in Deep Neural Networks", 2015'

# Code: severity, title, source of the advice.
CODES: dict[str, tuple[Severity, str, str]] = {
    "nan": ("critical", "the loss is not a number", "Goodfellow et al., Deep Learning, 2016, section 11.5"),
    "diverged": ("critical", "training diverged", NOTES),
    "lr_much_too_high": ("critical", "learning rate far too high", NOTES),
    "no_convergence": ("critical", "nothing is learned", f"He et al., arXiv 1502.01852; {NOTES}"),
    "class_collapse": (
        "critical",
        "one class is predicted for all",
        "Goodfellow et al., Deep Learning, 2016, section 11.5",
    ),
    "lr_too_high": ("warning", "learning rate too high", NOTES),
    "lr_too_low": ("warning", "learning rate too low", NOTES),
    "batch_too_small": ("warning", "batch too small", f"{NOTES}; McCandlish et al., arXiv 1812.06162"),
    "overfitting": ("warning", "overfitting", f"{NOTES}; Li et al., arXiv 2401.10359"),
    "underfitting": ("warning", "underfitting", NOTES),
    "trained_too_long": ("note", "trained too long", "Prechelt, Early Stopping - But When?, 1998"),
    "stopped_early": ("note", "stopped too early", "Hoffer et al., arXiv 1705.08741"),
    "plateau": ("note", "plateau reached", NOTES),
    "validation_better": (
        "note",
        "validation is better than training",
        "Goodfellow et al., Deep Learning, 2016, section 7.12",
    ),
    "lr_good": ("good", "learning rate good", NOTES),
    "healthy": ("good", "healthy", NOTES),
    "cannot_tell": ("note", "cannot tell from this", ""),
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One finding.

    Args:
        code: stable name, one of `CODES`.
        confidence: share of the runs of the corpus's held-out part with this evidence of which it was true, in [0, 1].
        evidence: figures it rests on, in a sentence.
        advice: one next step, with a value where there is one.
        change: the step for scripts: field of a training to its value; empty where it is none of a field.
        span: (first, last) epoch, or step where no epochs are known, of the part of the curve; None for the whole.
        figures: the numbers of the evidence, by name.
    """

    code: str
    confidence: float
    evidence: str
    advice: str
    change: Mapping[str, float | int | str] = field(default_factory=dict)
    span: tuple[float, float] | None = None
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def severity(self) -> Severity:
        """ "critical", "warning", "note" or "good"."""
        return CODES[self.code][0]

    @property
    def title(self) -> str:
        """The finding in a few words."""
        return CODES[self.code][1]

    @property
    def source(self) -> str:
        """Where the advice is from."""
        return CODES[self.code][2]

    def to_json(self) -> dict[str, Any]:
        """For `kerastricks doctor --json`."""
        return {
            "code": self.code,
            "severity": self.severity,
            "title": self.title,
            "confidence": round(self.confidence, 2),
            "evidence": self.evidence,
            "advice": self.advice,
            "change": dict(self.change),
            "span": None if self.span is None else list(self.span),
            "figures": {name: float(f"{value:.4g}") for name, value in self.figures.items()},
            "source": self.source,
        }

    def __str__(self) -> str:
        lines = [f"{self.severity:8}  {self.title} ({self.confidence:.0%}): {self.evidence}"]
        if self.advice:
            lines.append(f"{'':8}  -> {self.advice}")
        return "\n".join(lines)
