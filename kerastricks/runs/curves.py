"""curves.png: loss and accuracy of a run."""

import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from kerastricks.plotting import save_figure

_TRAINING, _VALIDATION, _BATCH = "#1f77b4", "#d62728", "#b5cfe8"


def draw_curves(metrics: Path, batch_loss: Path, target: Path, title: str) -> None:
    """Draws the loss of every batch and epoch on the left, accuracy and learning rate on the right.

    Args:
        metrics: metrics.jsonl.
        batch_loss: batch_loss.f32.
        target: the PNG.
        title: above it.
    """
    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    epochs = [line["epoch"] for line in lines]
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)

    losses = np.fromfile(batch_loss, "<f4")
    if len(losses) and lines:
        steps_per_epoch = lines[-1]["step"] / lines[-1]["epoch"]
        left.plot(np.arange(1, len(losses) + 1) / steps_per_epoch, losses, color=_BATCH, lw=0.6, label="each batch")
    marker = "o" if len(epochs) < 30 else None
    # The mean over an epoch belongs to its middle, a validation to its end.
    middles = [epoch - 0.5 for epoch in epochs]
    left.plot(middles, [line["loss"] for line in lines], color=_TRAINING, marker=marker, ms=3, label="training")
    left.plot(epochs, [line["val_loss"] for line in lines], color=_VALIDATION, marker=marker, ms=3, label="validation")
    left.set(xlabel="epoch", ylabel="loss (nats)", ylim=(0, _loss_limit(losses, lines)))
    left.legend(frameon=False)

    right.plot(middles, [line["accuracy"] for line in lines], color=_TRAINING, marker=marker, ms=3, label="training")
    right.plot(
        epochs, [line["val_accuracy"] for line in lines], color=_VALIDATION, marker=marker, ms=3, label="validation"
    )
    right.set(xlabel="epoch", ylabel="accuracy", ylim=(None, 1.02))
    rate = right.twinx()
    rate.plot(epochs, [line["learning_rate"] for line in lines], color="0.6", ls=":", label="learning rate")
    rate.set_ylabel("learning rate", color="0.5")
    rate.set_ylim(bottom=0)
    right.legend(frameon=False, loc="best")
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.spines["top"].set_visible(False)
    rate.spines["top"].set_visible(False)
    figure.suptitle(title)
    save_figure(figure, target)


def _loss_limit(losses: np.ndarray, lines: list[dict]) -> float:
    """High enough for all but the first few batches, which may be far above the rest."""
    seen = [line[name] for line in lines for name in ("loss", "val_loss")]
    if len(losses):
        seen.append(float(np.percentile(losses, 99.5)))
    return 1.05 * max(seen, default=1.0)
