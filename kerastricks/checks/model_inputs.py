"""Findings about a model's input, and about the sizes of its maps and kernels: scale, augmentation, shapes."""

import itertools
from collections.abc import Iterator
from typing import Any

import keras

from kerastricks.checks.model_finding import ModelFinding, count, make_finding
from kerastricks.checks.model_graph import END, ModelGraph, Step, has_kernel, is_dropout, keeps_values
from kerastricks.checks.shape_check import EVEN_FILTER, check_shapes
from kerastricks.layers.without_augmentation import DRAW_ONLY
from kerastricks.models.calls import Call, calls

_MIXING = ("MixUp", "CutMix")
_RANDOM = ("RandomCrop", "RandomResizedCrop", "Augment")


def input_findings(model: keras.Model, graph: ModelGraph, raw_pixels: bool | None) -> Iterator[ModelFinding]:
    """Findings about input and sizes.

    Args:
        model: functional or Sequential.
        graph: of it.
        raw_pixels: see `check_model`.
    """
    yield from _augmentation(graph)
    yield from _input_scale(graph, raw_pixels)
    yield from _shapes(model)


def _augmentation(graph: ModelGraph) -> Iterator[ModelFinding]:
    found: dict[bool, list[str]] = {True: [], False: []}
    after_kernel: set[int] = set()
    for index, step in enumerate(graph.steps):
        if has_kernel(step) or after_kernel & set(step.before):
            after_kernel.add(index)
        kind = type(step.layer).__name__
        noise = kind == "GaussianNoise" and index in after_kernel  # of features: a regularizer
        if (isinstance(step.layer, DRAW_ONLY) or kind in _RANDOM) and not noise:
            found[kind in _MIXING].append(step.name)
    for mixes, layers in found.items():
        if layers:
            yield make_finding(
                "mixing_layer" if mixes else "augmentation_layer",
                "warning" if mixes else "note",
                layers,
                f"{count(len(layers), 'layer')} active in training only"
                + (": blended images and labels do not occur in inference" if mixes else ""),
                "save kerastricks.layers.without_augmentation.without_augmentation(model), and augment the data with "
                + ('"mixup(0.2)"' if mixes else '"flip | pad_crop(4)"'),
                "mixup" if mixes else "augmentation",
            )


def _keeps_range(step: Step) -> bool:
    random = isinstance(step.layer, DRAW_ONLY) or type(step.layer).__name__ in (*_RANDOM, "Concatenate")
    return random or is_dropout(step) or keeps_values(step)


def _input_scale(graph: ModelGraph, raw_pixels: bool | None) -> Iterator[ModelFinding]:
    for source in graph.inputs:
        shape = graph.steps[source].shape
        if raw_pixels is False or len(shape) != 4 or shape[-1] not in (1, 3, 4):
            continue
        first = sorted(index for index in graph.following(source, _keeps_range) if index != END)
        bare = [graph.steps[index] for index in first if has_kernel(graph.steps[index])]
        if not bare:
            continue
        known = raw_pixels or "int" in graph.steps[source].dtype
        yield make_finding(
            "input_not_scaled",
            "warning" if known else "note",
            [step.name for step in bare],
            "the first kernel sees the input as it comes, without Rescaling or Normalization: "
            + (
                "pixels from 0 to 255"
                if known
                else f"{graph.steps[source].dtype}, of which the file does not tell the range"
            ),
            "keras.layers.Rescaling(1 / 127.5, offset=-1) after the input"
            + ("" if known else ", unless the data are scaled before"),
            "backprop",
        )


def _shapes(model: keras.Model) -> Iterator[ModelFinding]:
    convs = {
        call.name: call
        for call in calls(model)
        if isinstance(call.layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D | keras.layers.SeparableConv2D)
    }
    for one in check_shapes(model).findings:
        if one.about == "size":
            yield make_finding("uneven_size", "note", one.layers, one.evidence, one.advice, "notes")
    even = {name: call.layer.kernel_size[0] for name, call in convs.items() if _is_even(call.layer)}
    if even:
        sides = ", ".join(f"{side}x{side}" for side in sorted(set(even.values())))
        yield make_finding(
            "even_kernel",
            "note",
            even,
            f"{count(len(even), 'convolution')} of {sides}, {EVEN_FILTER}",
            "3x3",
            "even_kernels",
        )
    wide = {name: sizes for name, call in convs.items() if (sizes := _larger_than_input(call))}
    if wide:
        name, (kernel, side, stride) = next(iter(wide.items()))
        taps = _seen(kernel, side, stride)
        fits = max(fewer for fewer in range(1, kernel) if _seen(fewer, side, stride) == fewer)
        times = next(times for times in itertools.count(2) if _seen(kernel, times * side, stride) == kernel)
        yield make_finding(
            "kernel_larger_than_input",
            "note",
            wide,
            f"{name}: {kernel}x{kernel} on {side}x{side} maps: {taps * taps} of {kernel * kernel} weights per channel "
            "see more than padding",
            f"images {times} times as wide, or kernels of {fits}x{fits}",
            "vgg",
        )


def _is_even(layer: Any) -> bool:
    """Whether zero padding shifts the maps, for a square kernel.

    Windows side by side, as those that cut an image into patches, are not shifted; fixed filters, such as those that
    whiten patches, are a choice.
    """
    sides = tuple(layer.kernel_size)
    if layer.padding != "same" or not layer.trainable:
        return False
    return len(set(sides)) == 1 and sides[0] % 2 == 0 and max(layer.strides) < sides[0]


def _larger_than_input(call: Call) -> tuple[int, int, int] | None:
    """Side of the kernel, side of the maps and stride, for a square kernel with weights that see only padding.

    Dilated kernels are made to look far.
    """
    layer = call.layer
    maps = call.inputs[0][2:4] if layer.data_format == "channels_first" else call.inputs[0][1:3]
    sizes = [set(layer.kernel_size), set(maps), set(layer.strides)]
    if layer.padding != "same" or max(layer.dilation_rate) > 1 or None in maps or any(len(one) > 1 for one in sizes):
        return None
    kernel, side, stride = (int(one.pop()) for one in sizes)
    return (kernel, side, stride) if _seen(kernel, side, stride) < kernel else None


def _seen(kernel: int, side: int, stride: int) -> int:
    """Rows of a kernel that see a map of that side somewhere, with zero padding."""
    places = range(0, side, stride)
    before = max(places[-1] + kernel - side, 0) // 2
    return sum(any(0 <= place - before + tap < side for place in places) for tap in range(kernel))
