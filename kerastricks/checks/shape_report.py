"""What `checks.check_shapes` found."""

from dataclasses import asdict, dataclass
from typing import Any

_NAMED = 3  # layers named in a line


@dataclass(frozen=True)
class ShapeFinding:
    """One kind of deviation from the advice, with all layers that have it.

    Args:
        about: "size", "filter", "stride", "padding" or "pooling".
        layers: their names.
        evidence: what they do and what it costs.
        advice: one next step.
        minor: whether it is a matter of taste or cost rather than a likely loss.
    """

    about: str
    layers: tuple[str, ...]
    evidence: str
    advice: str
    minor: bool = False

    def __str__(self) -> str:
        named = ", ".join(self.layers[:_NAMED])
        rest = f" and {len(self.layers) - _NAMED} more" if len(self.layers) > _NAMED else ""
        weight = " (minor)" if self.minor else ""
        return f"{self.about}{weight}: {self.evidence} ({named}{rest}): {self.advice}"


@dataclass(frozen=True)
class ShapeReport:
    """The shapes of a model beside the advice.

    Args:
        model: its name.
        input: "224x224x3".
        findings: what deviates, the weightier first.
        fine: what does not.
    """

    model: str
    input: str
    findings: tuple[ShapeFinding, ...]
    fine: tuple[str, ...]

    @property
    def verdicts(self) -> tuple[str, ...]:
        """A line for each finding, and one for all that is fine."""
        return (*map(str, self.findings), *([f"fine: {'; '.join(self.fine)}"] if self.fine else []))

    def to_text(self) -> str:
        """A title and the verdicts."""
        return "\n".join([f"{self.model}: shapes for {self.input}", "", *self.verdicts])

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "model": self.model,
            "input": self.input,
            "findings": [{**asdict(finding), "layers": list(finding.layers)} for finding in self.findings],
            "fine": list(self.fine),
        }
