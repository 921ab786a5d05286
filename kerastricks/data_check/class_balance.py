"""Balance of the classes of a data set: ratio, effective numbers, the rarest classes, and what to do about it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kerastricks.imbalance.advice import advise
from kerastricks.metrics.class_balance import BETA, UNEVEN, effective_classes, effective_number, imbalance_ratio

_RAREST = 5  # classes that are named


@dataclass(frozen=True)
class ClassBalance:
    """Balance of classes, by their training images.

    Args:
        counts: training images of each class, in the order of the classes.
        ratio: of the largest class to the smallest one; infinity for an empty class.
        effective_classes: how many equally filled classes have the same entropy.
        beta: of the effective number of images.
        effective_images: sum over the classes of (1 - beta^n) / (1 - beta), Cui et al., arXiv 1901.05555.
        rarest: names of the classes with the fewest images, at most five, the rarest first, to their images.
    """

    counts: list[int]
    ratio: float
    effective_classes: float
    beta: float
    effective_images: float
    rarest: dict[str, int]

    @classmethod
    def of(cls, class_names: Sequence[str], counts: Sequence[int]) -> "ClassBalance":
        """The balance of classes with so many training images."""
        order = np.argsort(counts, kind="stable")[:_RAREST].tolist()
        return cls(
            list(counts),
            imbalance_ratio(counts),
            effective_classes(counts),
            BETA,
            float(effective_number(counts).sum()),
            {class_names[index]: int(counts[index]) for index in order},
        )

    def facts(self) -> dict[str, str]:
        """Facts as names and values; none where the classes are evenly filled."""
        if self.ratio < UNEVEN:
            return {}
        rarest = ", ".join(f"{name} {count:,}" for name, count in self.rarest.items())
        return {
            "balance": (
                f"as {self.effective_classes:.1f} equal classes of {len(self.counts):,}; effective training images "
                f"{self.effective_images:,.0f} of {sum(self.counts):,} (beta {self.beta:g})"
            ),
            "rarest": f"{rarest} training images",
        }

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON; the ratio of an empty class is null."""
        ratio = self.ratio if np.isfinite(self.ratio) else None
        return {**asdict(self), "ratio": ratio, "advice": balance_advice(self.counts)}


def balance_advice(counts: Sequence[int]) -> list[str]:
    """Lines about what to do about unevenly filled classes, for the text, the page and JSON; none for even ones.

    Args:
        counts: training images of each class.
    """
    found = advise(counts)
    return [f"--imbalance {found.imbalance}: {found.reason}"] if found.imbalance else []
