"""Side-by-side comparison: the same network, seeds and batches, and one knob that differs."""

from kerastricks.lazy import attach

__all__ = ["Comparison", "compare", "default_config", "holm", "paired_difference"]

__getattr__, __dir__, load_all = attach(
    __name__,
    {
        "Comparison": "comparison",
        "compare": "experiment",
        "default_config": "kinds",
        "holm": "holm",
        "paired_difference": "paired_difference",
    },
)
