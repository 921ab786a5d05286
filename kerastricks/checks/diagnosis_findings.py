"""Checks of a network as findings of a diagnosis: dead units, gradients, noise of the gradient."""

from collections.abc import Iterator
from typing import Any

import keras

from kerastricks.checks.activation_check import ActivationReport, check_activations
from kerastricks.checks.batch_check import check_batch_size
from kerastricks.checks.noise_scale import BatchSizeReport
from kerastricks.checks.signal_check import SignalReport, check_signal
from kerastricks.doctor.finding import Finding

SIGNAL_IMAGES = 256
LARGE = 256  # images of a large batch
DEAD_OF_ALL, DEAD_OF_LAYER = 0.2, 0.5  # shares of units
VANISHING = 1e-6  # squared gradient at the first layer over that at the last: a thousandth of the gradient
FAR_BELOW = 8  # a noise scale so many times the batch


def network_findings(model: keras.Model, images: Any, labels: Any = None, *, batch_size: int = 32) -> list[Finding]:
    """Findings that need the network and images: `kerastricks doctor RUN --network`.

    Args:
        model: functional or Sequential, ending in a softmax or in logits.
        images: (N, height, width, channels) as the model takes them, N of 64 or more.
        labels: (N,) class indices; None to leave out what needs them: the noise of the gradient.
        batch_size: of the training.

    Returns:
        Findings with the codes `dead_units`, `vanishing_gradients`, `exploding_gradients`, `batch_too_small`.

    Raises:
        UsageError: for images that do not fit, and for a model that cannot be taken apart layer by layer.
    """
    few = slice(0, SIGNAL_IMAGES)
    found = [
        *_of_units(check_activations(model, images)),
        *_of_gradients(check_signal(model, images[few], None if labels is None else labels[few])),
    ]
    large = min(LARGE, len(images) // 2)
    small = max(large // 16, 1)
    if labels is not None and large >= 2 * small:
        found += _of_noise(
            check_batch_size(model, images, labels, small=small, large=large - large % small), batch_size
        )
    return found


def _of_units(report: ActivationReport) -> Iterator[Finding]:
    rows = [row for row in report.rows if row.dead is not None and row.activation != "softmax"]
    dead, units = sum(row.dead or 0 for row in rows), sum(row.units for row in rows)
    worst = max(rows, key=lambda row: row.dead_share, default=None)
    if worst is None or not (dead > DEAD_OF_ALL * units or worst.dead_share > DEAD_OF_LAYER):
        return
    yield Finding(
        code="dead_units",
        evidence=f"{dead:,} of {units:,} units are never above 0 on {report.images:,} images; "
        f"{worst.dead_share:.0%} of {worst.layer}",
        advice="divide the learning rate by 3, or use leaky_relu(0.1), which passes a gradient below 0",
        change={"learning_rate_factor": 1 / 3},
        figures={"dead_share": dead / units, "worst_share": worst.dead_share},
    )


def _of_gradients(report: SignalReport) -> Iterator[Finding]:
    ratio = report.backward_ratio
    code = "vanishing_gradients" if ratio < VANISHING else "exploding_gradients" if ratio > 1 / VANISHING else ""
    if code and len(report.path) > 2:
        yield Finding(
            code=code,
            evidence=f"the mean squared gradient at {report.path[0].layer} is {ratio:.1g} times that at "
            f"{report.path[-1].layer}, over {len(report.path)} layers",
            advice=f"{report.verdicts[-1]}; or batch normalization after each kernel, or residual blocks",
            figures={"gradient_ratio": ratio},
        )


def _of_noise(report: BatchSizeReport, batch_size: int) -> Iterator[Finding]:
    low = report.interval[0]
    if low > FAR_BELOW * batch_size:
        larger = 2 * batch_size
        while 4 * larger < low:
            larger *= 2
        yield Finding(
            code="batch_too_small",
            evidence=f"the gradient noise scale is {report.noise_scale:,.0f} images (95 %: from {low:,.0f}), "
            f"{report.noise_scale / batch_size:,.0f} times the batch of {batch_size}: a step is mostly noise",
            advice=f"raise the batch to {larger} and the rate with it: about as few images are needed, and fewer steps",
            change={"batch_size": float(larger)},
            figures={"noise_scale": report.noise_scale, "low": low},
            confidence=0.7,
        )
