"""Augmentation on one axis, from nothing to much."""

from kerastricks import spec
from kerastricks.augment import sequence

_COLOUR = {
    "color_jitter", "brightness", "contrast", "saturation", "hue", "hue_yiq", "hsv", "fancy_pca", "gamma",
    "randaugment", "trivialaugment",
}  # fmt: skip
_LAST = ("normalize", "mixup", "cutmix")  # what nothing may stand behind


def augment_strength(light: str, image_shape: tuple[int, int, int]) -> tuple[str, ...]:
    """The augmentations that strengths from 0 on stand for.

    0. none
    1. `light`: flips and shifts of photographs, shifts alone of anything else
    2. `light`, and a weak colour jitter: brightness and contrast by up to 0.2, of colour images saturation too
    3. `light`, RandAugment with one op at magnitude 9, and a square of a quarter of the side painted over

    What `light` has already is not added again. Each is at least as strong as the one before it, so that a range of
    strengths has an order which a model of the search can use.

    Args:
        light: the augmentation that strength 1 stands for; "" is replaced by a shift by an eighth of the side.
        image_shape: (height, width, channels) in pixels.

    Returns:
        Two to four specs.

    Example:
        >>> from kerastricks.search.augment_strength import augment_strength
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
    place = next((i for i, one in enumerate(there) if one.name in _LAST), len(there))
    return " | ".join(map(str, [*there[:place], *added, *there[place:]]))
