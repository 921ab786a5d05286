"""Reading a spec: ops bound to the images, and messages that say which op of which spec is wrong."""

import re

import numpy as np
import pytest

from kerastricks.augment import sequence
from kerastricks.augment.op import ImageSpec
from kerastricks.augment.ops.crops import PadCrop
from kerastricks.augment.ops.flips import Flip
from kerastricks.data import PixelStatistics
from kerastricks.errors import SpecError, UnknownNameError

pytestmark = pytest.mark.tensorflow_only


def image_spec_of(shape=(9, 12, 3), class_count=5):
    statistics = PixelStatistics(shape[-1])
    statistics.update(np.random.default_rng(0).integers(0, 256, (4, *shape)).astype("uint8"))
    return ImageSpec(shape, class_count, statistics)


def test_ops_come_in_the_order_of_the_spec_with_its_arguments():
    assert sequence.read("flip | pad_crop(2, mode='reflect') | flip(0.1)", image_spec_of()) == [
        Flip(),
        PadCrop(2, "reflect"),
        Flip(0.1),
    ]
    assert sequence.read("", image_spec_of()) == []


def test_ops_are_bound_to_the_images():
    (op,) = sequence.read("normalize", image_spec_of())
    np.testing.assert_allclose(op.mean, image_spec_of().statistics.mean)


def test_without_images_names_arguments_and_order_are_read():
    assert [type(op).__name__ for op in sequence.read("mixup | cutmix", None)] == ["Mixup", "Cutmix"]
    with pytest.raises(SpecError, match=r"rate must be in"):
        sequence.read("flip(2)", None)
    with pytest.raises(SpecError, match=r"comes after mixup"):
        sequence.read("mixup | flip", None)
    with pytest.raises(UnknownNameError, match="'flop'"):
        sequence.read("flop", None)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("flip | pad_crop(-1)", 2, "pad_crop: pixels must be an integer, 0 or more. Received: pixels=-1"),
        ("flip(rate=1.5)", 1, "flip: rate must be in [0, 1]. Received: rate=1.5"),
        ("flip | flip | rotate(15, 'white')", 3, "rotate: outside must be one of"),
        ("flip | pad_crop(9)", 2, "pad_crop: pixels must be below the image's side, 9. Received: pixels=9"),
        ("flip('often')", 1, "flip('often'): "),
        ("flip | zoom(speed=3)", 2, "zoom(speed=3): got an unexpected keyword argument 'speed'"),
        ("flip(0.5, 0.5)", 1, "flip(0.5, 0.5): too many positional arguments"),
        ("erase(image_shape=(1, 1, 1))", 1, "erase(image_shape=(1, 1, 1)): got an unexpected keyword argument"),
        ("normalize | brightness", 2, "brightness: comes after normalize, but expects values 0 to 255"),
        ("flip | normalize | hsv", 3, "hsv: comes after normalize, but expects values 0 to 255"),
        ("normalize | normalize", 2, "normalize: comes after normalize"),
        ("normalize | erase", 2, "erase: comes after normalize, but expects values 0 to 255"),
        ("normalize | cutout(4)", 2, "cutout: comes after normalize, but expects values 0 to 255"),
        ("mixup | flip", 2, "flip: comes after mixup, which mixes images: put it before"),
        ("flip | cutmix | mixup | normalize", 4, "normalize: comes after mixup, which mixes images"),
    ],
)
def test_a_message_names_the_op_its_place_and_the_spec(text, place, message):
    with pytest.raises(SpecError, match=f"^{re.escape(message)}") as caught:
        sequence.read(text, image_spec_of())
    assert str(caught.value).endswith(f"(op {place} of {text!r})")
    assert "\n" not in str(caught.value)


def test_an_unknown_name_comes_with_the_nearest_its_place_and_the_spec():
    with pytest.raises(UnknownNameError) as caught:
        sequence.read("flip | pad_corp(4)", image_spec_of())
    message = str(caught.value)
    assert message.startswith("no op is called 'pad_corp': did you mean pad_crop")
    assert message.endswith("(op 2 of 'flip | pad_corp(4)')")


def test_a_spec_that_does_not_parse_is_shown():
    with pytest.raises(SpecError, match=r"'flip \| pad_crop\(4': does not parse"):
        sequence.read("flip | pad_crop(4", image_spec_of())


@pytest.mark.parametrize(
    ("text", "image_spec", "message"),
    [
        ("saturation", image_spec_of((9, 12, 1)), "saturation needs colour images"),
        ("fancy_pca", ImageSpec((9, 12, 3), 5), "fancy_pca needs the colours of the training images"),
        ("normalize", ImageSpec((9, 12, 3), 5), "normalize needs the mean of the training images"),
        ("mixup", image_spec_of(class_count=None), "mixup needs the number of classes"),
        ("cutout(10)", image_spec_of(), "cutout: size_px must be at most the image's side, 9"),
        ("translate(0.01)", image_spec_of(), "translate: fraction must be a pixel or more"),
    ],
)
def test_images_that_an_op_is_not_made_for_are_refused(text, image_spec, message):
    with pytest.raises(SpecError, match=f"^{re.escape(message)}.*{re.escape(f'(op 1 of {text!r})')}$"):
        sequence.read(text, image_spec)


def test_what_only_moves_or_mixes_pixels_may_stand_behind_normalize():
    text = "normalize | flip | pad_crop(2) | rotate | mixup | cutmix"
    assert len(sequence.read(text, image_spec_of())) == 6
