"""Plots, tables and numbers of the checks' reports."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerastricks.errors import UsageError
from kerastricks.plotting import new_figure, save_figure, style_axes

_NAMED = 3  # layers of a finding
_BLUE, _ORANGE, _GREY = "#1f77b4", "#e07b28", "0.65"


def format_names(layers: Sequence[str]) -> str:
    """ "a, b, c and 2 more"."""
    more = f" and {len(layers) - _NAMED} more" if len(layers) > _NAMED else ""
    return ", ".join(layers[:_NAMED]) + more


def plot_signal(
    title: str,
    layers: Sequence[str],
    is_kernel: np.ndarray,
    variance: np.ndarray,
    gradient: np.ndarray,
    kernel_gradient: np.ndarray,
    target: Path,
) -> None:
    """Plots variance above and gradient below, by layer, on log scales.

    Args:
        title: above it.
        layers: L names, in the order in which they are called.
        is_kernel: (L,): of a layer with a kernel; else of an activation.
        variance: (L,) of the outputs.
        gradient: (L,) mean squares at the outputs.
        kernel_gradient: (L,) mean squares at the kernels; NaN where there is none.
        target: the PNG.

    Raises:
        UsageError: where the path does not end in .png.
    """
    _check_png(target)
    indices = np.arange(len(layers))
    figure = new_figure(float(np.clip(2.5 + 0.17 * len(layers), 7, 26)), 7.5)
    upper, lower = figure.subplots(2, 1, sharex=True)
    style: dict[str, Any] = {"marker": "o", "ms": 3.5, "lw": 1.2}
    for values, mask, color, label in (
        (variance, is_kernel, _BLUE, "output of a kernel"),
        (variance, ~is_kernel, _ORANGE, "output of an activation"),
    ):
        _line(upper, indices, values, mask, color=color, label=label, **style)
    _line(lower, indices, gradient, is_kernel, color=_BLUE, label="at the output of a kernel", **style)
    _line(lower, indices, gradient, ~is_kernel, color=_ORANGE, label="at the output of an activation", **style)
    _line(
        lower, indices, kernel_gradient, is_kernel, color="0.45", label="of the kernel itself", **(style | {"ls": ":"})
    )
    for axes, label in ((upper, "variance of the signal"), (lower, "mean square of the gradient")):
        _log_scale(axes)
        axes.set_ylabel(label)
        style_axes(axes)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(frameon=False)
    # In a long model only the layers with a kernel are named, or every second or third of them.
    named = indices if len(layers) <= 24 else indices[is_kernel] if is_kernel.any() else indices
    named = named[:: -(-len(named) // 90)]
    lower.set_xticks(named, [layers[i] for i in named], rotation=90 if len(layers) > 6 else 0, fontsize=8)
    lower.set_xlim(-0.6, len(layers) - 0.4)
    figure.suptitle(title)
    save_figure(figure, target, dpi=110)


def plot_units(title: str, names: list[str], bars: dict[str, list[float]], label: str, target: Path) -> None:
    """Plots shares as bars, a row per layer from top to bottom.

    Args:
        title: above it.
        names: of the layers.
        bars: legend to a share for each layer.
        label: of the axis of the shares.
        target: the PNG.

    Raises:
        UsageError: where the path does not end in .png.
    """
    _check_png(target)
    figure = new_figure(8, float(np.clip(1.6 + 0.26 * len(names), 2.6, 60)))
    axes = figure.subplots()
    indices = np.arange(len(names))
    height = 0.8 / len(bars)
    for index, (name, shares) in enumerate(bars.items()):
        offset = (index - (len(bars) - 1) / 2) * height
        axes.barh(indices + offset, shares, height, color=(_BLUE, _ORANGE, _GREY)[index], label=name)
    axes.set_yticks(indices, names, fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_xlabel(label)
    style_axes(axes, grid="x")
    axes.set_axisbelow(True)
    figure.legend(*axes.get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=3)
    figure.suptitle(title)
    save_figure(figure, target, dpi=110)


def plot_counts(title: str, names: Sequence[str], counts: Sequence[int], label: str, target: Path) -> None:
    """Plots numbers as bars, a row per name from top to bottom.

    Args:
        title: above it.
        names: of the rows; none says so in place of bars.
        counts: a number for each.
        label: of their axis.
        target: the PNG.

    Raises:
        UsageError: where the path does not end in .png.
    """
    _check_png(target)
    figure = new_figure(8, float(np.clip(1.6 + 0.26 * len(names), 2.6, 60)))
    axes = figure.subplots()
    if names:
        axes.barh(np.arange(len(names)), counts, 0.7, color=_BLUE)
        axes.set_yticks(np.arange(len(names)), names, fontsize=8)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel(label)
        style_axes(axes, grid="x")
        axes.set_axisbelow(True)
    else:
        _say_instead(axes, f"no {label}")
    figure.suptitle(title)
    save_figure(figure, target, dpi=110)


def plot_batch_sizes(
    title: str, scale: float, interval: tuple[float, float], sizes: Sequence[int], target: Path
) -> None:
    """Plots what a batch size costs in steps and in images, as multiples of the fewest, on log scales.

    Args:
        title: above it.
        scale: the gradient noise scale, in images; where it is not finite and above 0, the plot says so instead.
        interval: its confidence interval; the upper end may be infinite.
        sizes: the batch sizes that were measured, marked on the axis.
        target: the PNG.

    Raises:
        UsageError: where the path does not end in .png.
    """
    _check_png(target)
    figure = new_figure(7, 4.5)
    axes = figure.subplots()
    if math.isfinite(scale) and scale > 0:
        batches = np.geomspace(min(scale, *sizes) / 8, max(scale, *sizes) * 8, 200)
        low, high = interval
        axes.axvspan(max(low, batches[0]), min(high, batches[-1]), color=_GREY, alpha=0.4, lw=0, label="95 % interval")
        axes.axvline(
            scale,
            color="0.3",
            lw=1.2,
            label=f"noise scale, {scale:,.0f} images" if scale >= 10 else f"noise scale, {scale:.2g} images",
        )
        axes.plot(batches, 1 + scale / batches, color=_BLUE, label="steps")
        axes.plot(batches, 1 + batches / scale, color=_ORANGE, label="images")
        axes.plot(sizes, np.ones(len(sizes)), "|", color="0.3", ms=12, label="measured batch sizes")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("images in a batch")
        axes.set_ylabel("multiple of the fewest")
        style_axes(axes)
        axes.legend(frameon=False)
    else:
        _say_instead(axes, "the noise scale cannot be told")
    figure.suptitle(title)
    save_figure(figure, target, dpi=110)


def _say_instead(axes: Any, text: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", transform=axes.transAxes)


def _line(axes: Any, indices: np.ndarray, values: np.ndarray, mask: np.ndarray, **style: Any) -> None:
    """Plots what a log scale can show: no zeros, NaN or infinity."""
    shown = mask & np.isfinite(values) & (values > 0)
    if shown.any():
        axes.plot(indices[shown], values[shown], **style)


def _log_scale(axes: Any) -> None:
    shown = np.concatenate([line.get_ydata() for line in axes.get_lines()] or [np.empty(0)])
    if not len(shown):
        axes.set_yticks([])
        axes.text(0.5, 0.5, "exactly 0, or not finite, everywhere", ha="center", transform=axes.transAxes)
        return
    axes.set_yscale("log")
    # At least two decades, or noise looks like a trend.
    middle = np.sqrt(shown.min() * shown.max())
    axes.set_ylim(min(shown.min() / 2, middle / 10), max(shown.max() * 2, middle * 10))


def _check_png(target: Path) -> None:
    if target.suffix.lower() != ".png":
        raise UsageError(f"path must end in .png. Received: {target}")


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """Formats columns two spaces apart; the first `left` are flush left, the others flush right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [header, *rows]
    )


def format_number(value: float | None, digits: int = 3) -> str:
    """Formats a number in a few characters, None as "-"."""
    return "-" if value is None else f"{value:.{digits}g}"


def finite_or_none(value: float | None) -> float | None:
    """None for NaN and infinity, which JSON does not know."""
    return None if value is None or not math.isfinite(value) else float(value)
