"""Sizes, filters, strides, padding and pooling of a model, compared with the article's advice."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import keras

from kerastricks.checks.reporting import format_names
from kerastricks.errors import UsageError
from kerastricks.models.calls import Call, Shape, calls, shape_text

EVEN_FILTER = "without a centre, so that zero padding shifts the maps by half a pixel"


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
        weight = " (minor)" if self.minor else ""
        return f"{self.about}{weight}: {self.evidence} ({format_names(self.layers)}): {self.advice}"


@dataclass(frozen=True)
class ShapeReport:
    """The shapes of a model compared with the advice.

    Args:
        model: its name.
        input: "224x224x3".
        findings: deviations, the weightier first.
        fine: what follows the advice.
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
        """Formats a title and the verdicts."""
        return "\n".join([f"{self.model}: shapes for {self.input}", "", *self.verdicts])

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "model": self.model,
            "input": self.input,
            "findings": [{**asdict(finding), "layers": list(finding.layers)} for finding in self.findings],
            "fine": list(self.fine),
        }


_SIZES = (32, 64, 224, 384, 512)
_POOLS = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)


def check_shapes(model: keras.Model) -> ShapeReport:
    """Compares sizes, filters, strides, padding and pooling of a model with the advice.

    The advice: images whose side halves often (32, 64, 224, 384, 512), 3x3 filters of stride 1 with zero padding, 2x2
    pooling of stride 2. Small filters see as far as a large one with fewer weights and more activations; sizes that
    halve evenly lose no rows; zero padding keeps the border. 1x1 and depthwise convolutions, and pooling over whole
    maps, are no deviations. Good networks deviate: a finding is a hint, with what it costs, and no error.

    Args:
        model: functional or Sequential, models inside it included; left as it is.

    Returns:
        A `ShapeReport`: `to_text()`, `to_json()`.

    Raises:
        UsageError: for a model that is neither functional nor Sequential.

    Example:
        >>> import keras, kerastricks
        >>> model = keras.Sequential([keras.Input((30, 30, 3)), keras.layers.Conv2D(8, 5)])
        >>> [finding.about for finding in kerastricks.checks.check_shapes(model).findings]
        ['filter', 'padding']

    Reference:
        Wei: Must Know Tips/Tricks in Deep Neural Networks, 2015, section 4.1; Simonyan, Zisserman: Very Deep
        Convolutional Networks, ICLR 2015, section 2.3, for the weights of 3x3 filters in a row; He et al.: Bag of
        Tricks, arXiv 1812.01187, section 4, for strides in 1x1 convolutions.
    """
    try:
        all_calls = list(calls(model))
    except ValueError as error:
        raise UsageError(str(error)) from None
    shape = tuple(model.inputs[0].shape)
    text = shape_text(shape)
    convs = [call for call in all_calls if isinstance(call.layer, keras.layers.Conv2D)]
    depthwise = [
        call
        for call in all_calls
        if isinstance(call.layer, keras.layers.DepthwiseConv2D | keras.layers.SeparableConv2D)
    ]
    pools = [call for call in all_calls if isinstance(call.layer, _POOLS)]
    if not (convs or depthwise or pools):
        return ShapeReport(model.name, text, (), ("no convolution and no pooling to judge",))
    found: list[ShapeFinding] = []
    fine: list[str] = []
    for findings, otherwise in (
        _size(shape[1:], [*convs, *depthwise, *pools]),
        _filters(convs),
        _strides(convs),
        _padding([*convs, *depthwise]),
        _pooling(pools),
    ):
        found += findings
        fine += [otherwise] if otherwise and not findings else []
    return ShapeReport(model.name, text, tuple(sorted(found, key=lambda finding: finding.minor)), tuple(fine))


_Result = tuple[list[ShapeFinding], str]


def _size(shape: Shape, reducing: list[Call]) -> _Result:
    reducing = [call for call in reducing if max(call.layer.strides) > 1 and None not in call.inputs[0][1:]]
    sides = [side for side in shape[:2] if side is not None]
    if len(shape) != 3 or len(sides) < 2:
        return [], "image size is left open"
    uneven = [call for call in reducing if any(side % step for side, step in _sides(call))]
    if not uneven:
        return [], f"{'x'.join(map(str, sides))} pixels divide evenly all the way"
    first = uneven[0]
    side, step = next((side, step) for side, step in _sides(first) if side % step)
    if all(side % 32 == 0 for side in sides):
        advice = "zero padding and strides of 2 keep the size even"
    else:
        advice = f"take images of {min(_SIZES, key=lambda size: abs(size - min(sides)))} pixels"
    evidence = f"{side} pixels are not divisible by {step} (remainder {side % step})"
    return [ShapeFinding("size", _names(uneven), evidence, advice)], ""


def _sides(call: Call) -> list[tuple[int, int]]:
    """Height and width with the stride for each."""
    first = call.layer.data_format == "channels_first"
    sides = call.inputs[0][2:4] if first else call.inputs[0][1:3]
    # A sampled layer that looks past the border on purpose, on a padded image, sees every row.
    padded = any(isinstance(layer, keras.layers.ZeroPadding2D) for layer in call.before)
    return [] if padded else [(int(side or 0), step) for side, step in zip(sides, call.layer.strides, strict=True)]


def _filters(convs: list[Call]) -> _Result:
    by_size: dict[tuple[int, ...], list[Call]] = {}
    for call in convs:
        size = tuple(call.layer.kernel_size)
        if size not in ((1, 1), (3, 3)):
            by_size.setdefault(size if len(set(size)) == 1 else (0,), []).append(call)
    findings = []
    for size, group in by_size.items():
        side = max(size)
        if not side:
            evidence, advice = "they save weights where maps are small and many", "3x3 elsewhere"
        elif side % 2 == 0:
            evidence, advice = EVEN_FILTER, "3x3"
        else:
            row = (side - 1) // 2
            evidence = f"{side * side} weights for each pair of channels, {row} layers of 3x3 see as far with {9 * row}"
            advice = f"{row} layers of 3x3"
        what = f"{'is' if len(group) == 1 else 'are'} {_x(size) if side else 'not square'}"
        text = f"{len(group)} of {len(convs)} convolutions {what}: {evidence}"
        findings.append(ShapeFinding("filter", _names(group), text, advice, minor=not side))
    return findings, "3x3 and 1x1 filters" if convs else ""


def _strides(convs: list[Call]) -> _Result:
    strided = [call for call in convs if max(call.layer.strides) > 1]
    skipping = [call for call in strided if max(call.layer.kernel_size) < max(call.layer.strides)]
    others = [call for call in strided if call not in skipping]
    findings = []
    if skipping:
        evidence = f"{len(skipping)} of {len(convs)} convolutions have a stride above their size and skip pixels unseen"
        findings.append(ShapeFinding("stride", _names(skipping), evidence, "average-pool before them, stride 1"))
    if others:
        evidence = (
            f"{len(others)} of {len(convs)} convolutions {'has' if len(others) == 1 else 'have'} a stride above 1"
        )
        advice = "stride 1 followed by 2x2 pooling, where time allows"
        findings.append(ShapeFinding("stride", _names(others), evidence, advice, minor=True))
    return findings, "stride 1" if convs else ""


def _padding(convs: list[Call]) -> _Result:
    wide = [call for call in convs if max(call.layer.kernel_size) > 1]
    bare = [
        call
        for call in wide
        if call.layer.padding == "valid"
        and not any(isinstance(layer, keras.layers.ZeroPadding2D) for layer in call.before)
    ]
    if not bare:
        return [], "zero padding" if wide else ""
    verb = "has" if len(bare) == 1 else "have"
    evidence = f"{len(bare)} of {len(wide)} convolutions {verb} none: maps shrink, and the border is seen less often"
    return [ShapeFinding("padding", _names(bare), evidence, 'padding="same"')], ""


def _pooling(pools: list[Call]) -> _Result:
    by_size: dict[str, list[Call]] = {}
    for call in pools:
        pool, strides = tuple(call.layer.pool_size), tuple(call.layer.strides)
        if max(strides) > 1 and (pool, strides) != ((2, 2), (2, 2)):
            by_size.setdefault(f"{_x(call.layer.pool_size)} of stride {max(call.layer.strides)}", []).append(call)
    findings = [
        ShapeFinding(
            "pooling",
            _names(group),
            f"{len(group)} of {len(pools)} {'is' if len(group) == 1 else 'are'} {size}",
            "2x2 of stride 2",
            minor=True,
        )
        for size, group in by_size.items()
    ]
    return findings, "2x2 pooling of stride 2" if pools else ""


def _names(group: Sequence[Call]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(call.name for call in group))


def _x(size: Any) -> str:
    return "x".join(map(str, size))
