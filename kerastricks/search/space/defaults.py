"""The default search space, and augmentation of rising strength as one hyperparameter."""

from dataclasses import dataclass
from typing import Any

from kerastricks import spec
from kerastricks.augment import sequence
from kerastricks.data.image_data import ImageData
from kerastricks.search.space.options import model_options, option_value
from kerastricks.search.space.parameter import Parameter, Value
from kerastricks.search.space.space import STRENGTH, Space
from kerastricks.training.config import Config

_COLOUR = {
    "color_jitter", "brightness", "contrast", "saturation", "hue", "hue_yiq", "hsv", "fancy_pca", "gamma",
    "randaugment", "trivialaugment",
}  # fmt: skip
_LAST = ("normalize", "mixup", "cutmix")  # nothing may follow them
WIDENED = 3
# Rates and weight decays worth trying where nothing was measured. Decay is multiplied by the rate, so that it is as
# much larger as the rate is smaller.
_RANGES = {
    "sgd": ((1e-3, 1.0), (1e-4, 1e-1)),
    "rmsprop": ((3e-5, 3e-2), (1e-4, 1e-1)),
    "adam": ((3e-5, 3e-2), (1e-3, 1.0)),
    "adamw": ((3e-5, 3e-2), (1e-3, 1.0)),
    "lion": ((1e-5, 3e-3), (1e-2, 3.0)),
}
_STEPS = 8  # an epoch of fewer is no use
_SIZES = (0.5, 1.0, 1.5)  # of the widths: 0.25, 1 and 2.25 of the cost


def augment_strength(light: str, image_shape: tuple[int, int, int]) -> tuple[str, ...]:
    """The augmentations of strengths 0, 1, 2 and 3.

    0. none
    1. `light`: flips and shifts of photographs, shifts only of anything else
    2. `light`, and a weak colour jitter: brightness and contrast by up to 0.2, of colour images saturation too
    3. `light`, RandAugment with one op at magnitude 9, and a cutout of a quarter of the side

    An op that `light` has is not added again. Each is at least as strong as the one before it, so that a range of
    strengths has an order which a model of the search can use.

    Args:
        light: the augmentation of strength 1; "" is replaced by a shift by an eighth of the side.
        image_shape: (height, width, channels) in pixels.

    Returns:
        Two to four specs.

    Example:
        >>> from kerastricks.search.space.defaults import augment_strength
        >>> augment_strength("flip | pad_crop(4)", (32, 32, 3))[2]
        'flip | pad_crop(4) | color_jitter(0.2, 0.2, 0.2, 0.0)'
    """
    side = min(image_shape[:2])
    light = light or f"pad_crop({max(1, side // 8)})"
    saturation = 0.2 if image_shape[-1] == 3 else 0.0
    jitter = f"color_jitter(0.2, 0.2, {saturation}, 0.0)"
    stronger = (jitter,), ("randaugment(1, 9)", f"cutout({max(1, side // 4)})")
    return tuple(dict.fromkeys(["", light, *(_with(light, more) for more in stronger)]))


def _with(light: str, more: tuple[str, ...]) -> str:
    there = sequence.parse(light)
    names = {one.name for one in there}
    has_colour = bool(names & _COLOUR)
    added = [one for one in map(spec.parse, more) if not (one.name in names or (has_colour and one.name in _COLOUR))]
    index = next((i for i, one in enumerate(there) if one.name in _LAST), len(there))
    return " | ".join(map(str, [*there[:index], *added, *there[index:]]))


@dataclass(frozen=True)
class DataFacts:
    """The facts of a data set that a search space depends on.

    Args:
        images: number of training images.
        image_shape: (height, width, channels) in pixels.
        classes: number of classes.
        augment: the augmentation that "auto" means for these images.

    Example:
        >>> from kerastricks.search import DataFacts
        >>> DataFacts(50_000, (32, 32, 3), 10, "flip | pad_crop(4)").images
        50000
    """

    images: int
    image_shape: tuple[int, int, int]
    classes: int
    augment: str

    @classmethod
    def of(cls, data: ImageData) -> "DataFacts":
        """Reads the facts off loaded images."""
        return cls(len(data.labels("train")), data.image_shape, len(data.class_names), data.augmentation.text)


def default_space(
    base: Config, facts: DataFacts, lr_interval: tuple[float, float] | None = None, *, own_model: bool = False
) -> Space:
    """Builds the space of the hyperparameters that matter, the most important first.

    Learning rate, batch size, weight decay, schedule, dropout, activation, initializer, augmentation strength, size of
    the model; those that the model does not have are left out. Each starts from the value of `base`, which is one of
    its values.

    The interval of a range test is widened by 3 on both sides: suggestions of several seeds differ by up to 2, and
    halving or doubling the batch, and the other values that are searched with it, move the best rate about as far.

    Args:
        base: the configuration of what is not searched, and where the search starts.
        facts: of the images.
        lr_interval: (lowest, highest) `learning_rate` of a range test; None for what is usual for the optimizer.
        own_model: whether a recipe creates the model: its options are left out.

    Returns:
        A `Space` of four to nine parameters.

    Raises:
        UnknownNameError: for a model that the zoo does not have.

    Example:
        >>> import kerastricks
        >>> from kerastricks.search import DataFacts, default_space
        >>> facts = DataFacts(50_000, (32, 32, 3), 10, "flip | pad_crop(4)")
        >>> print(default_space(kerastricks.training.Config(), facts, (0.1, 0.4))["learning_rate"])
        0.0333333-1.2 log
    """
    lr_range, decay_range = _RANGES[spec.parse(base.optimizer).name]
    if lr_interval is not None:
        lr_range = lr_interval[0] / WIDENED, lr_interval[1] * WIDENED
    parameters = [
        _log("learning_rate", *lr_range, start=base.learning_rate, widen=lr_interval is None),
        *_batch_size(base, facts),
        _log("weight_decay", *decay_range, start=base.weight_decay),
        _choice("schedule", base.schedule, "linear(warmup=0.2)", "cosine(warmup=0.05)", "one_cycle"),
    ]
    options = {} if own_model else model_options(base.model)
    if "dropout" in options:
        rate = float(options["dropout"])
        parameters.append(Parameter("model.dropout", "float", min=0, max=max(0.5, min(rate + 0.2, 0.9)), default=rate))
    if "activation" in options:
        parameters.append(_choice("model.activation", options["activation"], "relu", "leaky_relu(0.18)", "gelu"))
    if "initializer" in options and isinstance(options["initializer"], str):
        parameters.append(_choice("model.initializer", options["initializer"], "auto", "xavier_uniform", "lsuv"))
    parameters.append(strength_parameter(base, facts))
    parameters += _size(options, facts)
    return Space(parameters)


def strength_parameter(base: Config, facts: DataFacts, values: tuple[Value, ...] = (), **more: Any) -> Parameter:
    """Builds "augment.strength" for these images; 1 is the augmentation of `base`.

    Args:
        base: its `augment`.
        facts: of the images.
        values: a choice of strengths; by default all.
        **more: other arguments of `Parameter`, in place of `values`.
    """
    light = facts.augment if base.augment == "auto" else base.augment
    specs = augment_strength(light, facts.image_shape)
    if not (values or more):
        more = {"min": 0, "max": len(specs) - 1}
    kind = "choice" if values else "int"
    more = {"kind": kind, "values": values, **more}
    if "default" not in more and Parameter(STRENGTH, **more).takes(1):
        more["default"] = 1
    return Parameter(STRENGTH, stands_for=specs, **more)


def _log(name: str, low: float, high: float, start: float, widen: bool = True) -> Parameter:
    """A range that holds `start`, by growing or by starting at its nearest end."""
    low, high = float(f"{low:.6g}"), float(f"{high:.6g}")
    if widen and start > 0:
        low, high = min(low, start), max(high, start)
    return Parameter(name, "float", min=low, max=high, sampling="log", default=min(max(start, low), high))


def _choice(name: str, start: Value, *values: Value) -> Parameter:
    """A choice that holds `start`; numbers in order, which a model of the search can use."""
    all_values = list(dict.fromkeys([start, *values]))
    if not isinstance(start, str):
        all_values.sort()
    return Parameter(name, "choice", values=tuple(all_values), default=start)


def _batch_size(base: Config, facts: DataFacts) -> list[Parameter]:
    """Half, once and twice the batch, where an epoch keeps enough steps."""
    start = min(base.batch_size, facts.images)
    sizes = [size for size in (start // 2, start, start * 2) if size == start or 1 <= size <= facts.images // _STEPS]
    return [Parameter("batch_size", "choice", values=tuple(sizes), default=start)] if len(sizes) > 1 else []


def _size(options: dict[str, Any], facts: DataFacts) -> list[Parameter]:
    """The widths of the model times 0.5, 1 and 1.5; or what the family has instead."""
    for name in ("width", "alpha"):
        start = options.get(name)
        if name == "alpha" and start is not None:  # of MobileNet
            return [_choice("model.alpha", float(start), 0.5, 0.75, 1.0)]
        if isinstance(start, float):
            return [_choice("model.width", start, *(round(start * size, 4) for size in _SIZES))]
        if isinstance(start, int):
            return [_choice("model.width", start, *(max(1, round(start * size)) for size in _SIZES))]
    if "widths" in options:
        start = option_value(str(options["widths"])) or _default_widths(facts)
        scaled = [str(tuple(max(1, round(width * size)) for width in start)) for size in _SIZES]
        return [Parameter("model.widths", "choice", values=tuple(dict.fromkeys(scaled)), default=scaled[1])]
    return []


def _default_widths(facts: DataFacts) -> tuple[int, ...]:
    from kerastricks.models.plain_cnn import default_widths

    return default_widths(*facts.image_shape[:2])
