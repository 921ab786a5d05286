"""A finding about a model, and the papers that findings cite."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from kerastricks.checks.reporting import format_names

Severity = Literal["error", "warning", "note", "ok"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)

SOURCES = {
    "augmentation": "Krizhevsky et al., NeurIPS 2012, section 4.1",
    "backprop": "LeCun et al., Efficient BackProp, 1998, section 4.3",
    "bag_of_tricks": "He et al., arXiv 1812.01187, section 3.1",
    "batch_norm": "Ioffe, Szegedy, arXiv 1502.03167, section 3.2",
    "clipping": "Pascanu et al., arXiv 1211.5063, section 3.2",
    "dropout": "Srivastava et al., JMLR 15, 2014, section 7.3",
    "even_kernels": "Wu et al., arXiv 1903.08385, section 3",
    "glorot": "Glorot, Bengio, AISTATS 2010, section 3",
    "he": "He et al., arXiv 1502.01852, section 2.2",
    "mixup": "Zhang et al., arXiv 1710.09412, section 2",
    "moving_statistics": "Ioffe, Szegedy, arXiv 1502.03167, section 3.1",
    "notes": "Wei, Must Know Tips/Tricks, 2015, section 4.1",
    "prelu": "He et al., arXiv 1502.01852, section 2.1",
    "softmax": "Bridle, NeurIPS 1989",
    "symmetry": "Rumelhart et al., Nature 323, 1986",
    "variance_shift": "Li et al., arXiv 1801.05134, section 3",
    "vgg": "Simonyan, Zisserman, arXiv 1409.1556, section 2.3",
    "whitening": "Jordan, arXiv 2404.00498, section 3.1",
}


@dataclass(frozen=True)
class ModelFinding:
    """One fault of a model, or that there is none, with all layers that it is about.

    Args:
        code: stable, for programs: "zero_kernel".
        severity: "error": the model cannot learn or predict as it is; "warning": it learns or predicts worse; "note":
            a matter of cost, or one that the file does not tell; "ok": the model is healthy.
        layers: their names, "block/conv" inside another model; empty for the whole model.
        evidence: the figures that show it.
        next_step: one change, with its value.
        source: the paper.
    """

    code: str
    severity: Severity
    layers: tuple[str, ...]
    evidence: str
    next_step: str
    source: str

    @property
    def is_fault(self) -> bool:
        """Whether it is an error or a warning."""
        return self.severity in ("error", "warning")

    def __str__(self) -> str:
        title = f"{self.severity:<8} {': '.join(filter(None, [self.code, format_names(self.layers)]))}"
        return "\n         ".join([title, self.evidence, f"next: {self.next_step}", f"[{self.source}]"])

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "layers": list(self.layers)}


def make_finding(
    code: str, severity: Severity, layers: Iterable[str], evidence: str, next_step: str, source: str
) -> ModelFinding:
    """Makes a finding; each layer is named once.

    Args:
        code: see `ModelFinding`.
        severity: see `ModelFinding`.
        layers: names.
        evidence: see `ModelFinding`.
        next_step: see `ModelFinding`.
        source: a key of `SOURCES`.
    """
    return ModelFinding(code, severity, tuple(dict.fromkeys(layers)), evidence, next_step, SOURCES[source])


def count(number: int, singular: str, plural: str = "") -> str:
    """ "1 bias", "1,024 biases"."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"
