"""RandAugment and TrivialAugment: one op per image and slot, each as Pillow (or bilinear interpolation) does it."""

import math

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image, ImageEnhance, ImageOps
from plan_runs import noise, on_device, on_host, plan_of
from scipy import ndimage

from kerastricks.augment import sequence
from kerastricks.augment.op import Draws, ImageSpec
from kerastricks.augment.ops.policies import CHOICES
from kerastricks.errors import SpecError

SHAPE = (20, 26, 3)
WITHOUT_DIRECTION = ("identity", "posterize", "solarize", "autocontrast", "equalize")
# By how much Pillow's integers may be away: it cuts off fractions, of means and smooth images too. 0.01: interpolation.
TOLERANCE = {"brightness": 1.01, "color": 2, "contrast": 2, "sharpness": 2, "autocontrast": 1.01}


def photograph(shape=SHAPE, low=30, high=220):
    """Slopes with some noise, all channels different; not the whole range, so that autocontrast has something to do."""
    y, x, channel = np.meshgrid(*map(np.arange, shape), indexing="ij")
    waves = (
        np.sin(0.35 * x + channel) + np.cos(0.4 * y - 0.8 * channel) + np.random.default_rng(0).normal(0, 0.8, shape)
    )
    waves = (waves - waves.min()) / (waves.max() - waves.min())
    return np.rint(low + (high - low) * waves).astype("uint8")


def uniforms_for(choices, signs, levels=None):
    """Draws that mean these: the middle of each interval."""
    columns = [
        (np.array([CHOICES.index(name) for name in choices]) + 0.5) / 14,
        np.where(np.array(signs) < 0, 0.25, 0.75),
    ]
    if levels is not None:
        columns.append((np.array(levels) + 0.5) / 31)
    return np.stack(columns, axis=1).astype("float32")


def augmented(spec, images, uniforms, fuse=True):
    """By the backend; compiled where its single ops would be compiled one by one."""
    plan = plan_of(spec, images, fuse)
    return on_device(plan, images, uniforms, compiled=keras.backend.backend() == "jax")[0]


def expected(image, name, sign, level, reach):
    """The op by other means; `level` is magnitude / 30."""
    slope, shift, degrees, enhance, bits = reach
    if name in ("shear_x", "shear_y", "rotate"):
        angle, tilt = math.radians(sign * level * degrees), sign * level * slope
        matrix = {
            "shear_x": [[1, 0], [tilt, 1]],  # of (y, x)
            "shear_y": [[1, tilt], [0, 1]],
            "rotate": [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]],
        }[name]
        middle = (np.array(image.shape[:2]) - 1) / 2
        grid = np.stack(np.meshgrid(*map(np.arange, image.shape[:2]), indexing="ij"), axis=-1) - middle
        y, x = np.moveaxis(grid @ np.array(matrix).T + middle, -1, 0)
        planes = [
            ndimage.map_coordinates(plane, [y, x], order=1, mode="grid-constant")
            for plane in image.T.swapaxes(1, 2).astype(float)
        ]
        return np.stack(planes, axis=-1)
    if name in ("translate_x", "translate_y"):
        axis = {"translate_x": 1, "translate_y": 0}[name]
        pixels = int(np.rint(sign * level * shift[axis]))
        offset = [0.0, 0.0, 0.0]
        offset[axis] = pixels
        return ndimage.shift(image.astype(float), offset, order=0, mode="constant")
    picture = Image.fromarray(image.squeeze())
    factor = 1 + sign * level * enhance
    made = {
        "identity": lambda: picture,
        "brightness": lambda: ImageEnhance.Brightness(picture).enhance(factor),
        "color": lambda: ImageEnhance.Color(picture).enhance(factor),
        "contrast": lambda: ImageEnhance.Contrast(picture).enhance(factor),
        "sharpness": lambda: ImageEnhance.Sharpness(picture).enhance(factor),
        "posterize": lambda: ImageOps.posterize(picture, int(np.rint(8 - level * (8 - bits)))),
        "solarize": lambda: ImageOps.solarize(picture, 256 * (1 - level)),
        "autocontrast": lambda: ImageOps.autocontrast(picture),
        "equalize": lambda: ImageOps.equalize(picture),
    }[name]()
    return np.asarray(made, dtype=float).reshape(image.shape)


RANDAUGMENT = (0.3, (20 * 150 / 331, 26 * 150 / 331), 30, 0.9, 4)
TRIVIALAUGMENT = (0.99, (32, 32), 135, 0.99, 2)


@pytest.mark.parametrize(
    ("spec", "reach", "levels"),
    [
        ("randaugment(1)", RANDAUGMENT, [9]),
        pytest.param("randaugment(1, 13.5)", RANDAUGMENT, [13.5], marks=pytest.mark.tensorflow_only),
        ("trivialaugment", TRIVIALAUGMENT, [7, 12, 30]),
    ],
)
def test_each_choice_is_that_op_and_no_other(spec, reach, levels):
    image = photograph()
    cases = [(name, sign, level) for name in CHOICES for sign in (-1, 1) for level in levels]
    names, signs, drawn_levels = zip(*cases, strict=True)
    uniforms = uniforms_for(names, signs, drawn_levels if spec == "trivialaugment" else None)
    found = augmented(spec, np.stack([image] * len(cases)), uniforms)
    for case, result in zip(cases, found, strict=True):
        name, sign, level = case
        reference = expected(image, name, sign, level / 30, reach)
        tolerance = TOLERANCE.get(name, 0.01)
        np.testing.assert_allclose(result, reference, atol=tolerance, err_msg=str(case))
        changed = np.abs(result - image).max()
        assert changed == 0 if name == "identity" else changed > 2 * tolerance, case
        if name not in WITHOUT_DIRECTION and reference.any():  # 32 pixels are more than the image has
            other = expected(image, name, -sign, level / 30, reach)
            assert np.abs(result - other).max() > 10, f"{case}: the direction counts"


def test_magnitude_0_leaves_all_but_autocontrast_and_equalize():
    image = photograph()
    image[0, :2] = 255
    image[0, 2, 0] = 0
    cases = [(name, sign) for name in CHOICES for sign in (-1, 1)]
    images, uniforms = np.stack([image] * len(cases)), uniforms_for(*zip(*cases, strict=True))
    trivial = np.concatenate([uniforms, np.zeros((len(cases), 1), "float32")], axis=1)
    for found in (augmented("randaugment(1, 0)", images, uniforms), augmented("trivialaugment", images, trivial)):
        changed = {name for (name, _), result in zip(cases, found, strict=True) if (result != image).any()}
        assert changed == {"autocontrast", "equalize"}


@pytest.mark.tensorflow_only
def test_color_is_the_identity_for_grey_images_and_the_others_are_as_ever():
    image = photograph((20, 26, 1))
    found = augmented("randaugment(1)", np.stack([image] * 14), uniforms_for(CHOICES, [1] * 14))
    for name, result in zip(CHOICES, found, strict=True):
        reference = image if name == "color" else expected(image, name, 1, 0.3, RANDAUGMENT)
        np.testing.assert_allclose(result, reference, atol=TOLERANCE.get(name, 0.01), err_msg=name)


def random_uniforms(plan, count):
    return np.random.default_rng(1).random((count, plan.uniforms), "float32")


@pytest.mark.tensorflow_only
def test_a_second_op_works_on_the_result_of_the_first():
    images = noise(28)
    uniforms = random_uniforms(plan_of("randaugment(2, 12)", images), 28)
    once = augmented("randaugment(1, 12)", images, uniforms[:, :2])
    twice = augmented("randaugment(1, 12)", once, uniforms[:, 2:])
    difference = np.abs(augmented("randaugment(2, 12)", images, uniforms) - twice)
    # A difference of 1e-6 may meet a step of posterize, solarize or equalize.
    assert (difference > 1e-3).mean() < 0.002
    assert (np.abs(twice - once).max(axis=(1, 2, 3)) > 1).mean() > 0.7


@pytest.mark.parametrize(
    "spec",
    [pytest.param("randaugment(1, 15, 'nearest')", marks=pytest.mark.tensorflow_only), "trivialaugment('reflect')"],
)
def test_fused_unfused_host_and_device_are_the_same(spec):
    images = noise(42)
    plan = plan_of(spec, images)
    uniforms = random_uniforms(plan, len(images))
    fused = augmented(spec, images, uniforms)
    unfused = augmented(spec, images, uniforms, fuse=False)
    np.testing.assert_allclose(unfused, fused, atol=1e-3)
    np.testing.assert_allclose(on_host(plan, images, uniforms)[0], fused, atol=1e-3)
    assert [step.kind for step in plan.steps] == ["resample", "colour", "pixel", "pixel", "image", "image", "image"]


def drawn(spec, uniforms):
    """For each slot and choice, which images drew it: (slots, images, 14), by what differs from the neutral."""
    image_spec = ImageSpec(SHAPE)
    (policy,) = sequence.read(spec, image_spec)
    draws = Draws(ops.convert_to_tensor(uniforms))
    found = [policy.member_parameters(number, draws, ops) for number in range(len(policy.members))]
    names = {
        "x_shear": "shear_x", "y_shear": "shear_y", "right": "translate_x", "down": "translate_y", "radians": "rotate",
        "bits": "posterize", "threshold": "solarize",
    }  # fmt: skip
    by_op = {"Brightness": "brightness", "Saturation": "color", "Contrast": "contrast", "Sharpness": "sharpness",
             "Equalize": "equalize", "Autocontrast": "autocontrast"}  # fmt: skip
    slots = len(found) // len(policy.slot)
    acts = np.zeros((slots, len(uniforms), 14), bool)
    for place, (member, parameters) in enumerate(zip(policy.members, found, strict=True)):
        for parameter, value in parameters.items():
            name = by_op.get(type(member).__name__) or names[parameter]
            acts[place // len(policy.slot), :, CHOICES.index(name)] = (
                ops.convert_to_numpy(value) != member.neutral[parameter]
            )
    return acts


@pytest.mark.parametrize("spec", ["randaugment(2)", "trivialaugment"])
def test_ops_are_drawn_alone_as_often_as_each_other_and_per_image(spec):
    count = 14_000
    uniforms = np.random.default_rng(2).random((count, 4 if "rand" in spec else 3), "float32")
    if spec == "trivialaugment":
        uniforms[:, 2] = 0.99  # magnitude 0 would look like nothing drawn
    for slot in drawn(spec, uniforms):
        assert set(slot.sum(axis=1)) == {0, 1}
        observed = np.append(slot.sum(axis=0)[1:], (~slot.any(axis=1)).sum())  # the last one: identity
        chi_square = ((observed - 1000) ** 2 / 1000).sum()
        # 13 degrees of freedom: mean 13, standard deviation sqrt(26).
        assert chi_square < 13 + 5 * math.sqrt(26)


def test_the_two_slots_draw_by_themselves():
    uniforms = np.random.default_rng(3).random((14_000, 4), "float32")
    first, second = (np.where(slot.any(axis=1), slot.argmax(axis=1), 0) for slot in drawn("randaugment(2)", uniforms))
    # The same op twice: 1 in 14, standard deviation sqrt(p (1 - p) / n).
    assert abs((first == second).mean() - 1 / 14) < 5 * math.sqrt(1 / 14 * 13 / 14 / 14_000)


def test_trivialaugment_draws_31_magnitudes_and_both_directions_as_often():
    generator, count = np.random.default_rng(4), 31_000
    uniforms = generator.random((count, 3), "float32")
    uniforms[:, 0] = uniforms_for(["rotate"], [1])[0, 0]
    (policy,) = sequence.read("trivialaugment", ImageSpec(SHAPE))
    draws = Draws(ops.convert_to_tensor(uniforms))
    found = [policy.member_parameters(number, draws, ops) for number in range(len(policy.members))]
    radians = ops.convert_to_numpy(found[2]["radians"])
    magnitudes = np.degrees(np.abs(radians)) / 135 * 30
    np.testing.assert_allclose(magnitudes, np.rint(magnitudes), atol=1e-4)
    observed = np.bincount(np.rint(magnitudes).astype(int), minlength=31)
    assert len(observed) == 31
    # 30 degrees of freedom: mean 30, standard deviation sqrt(60).
    assert ((observed - 1000) ** 2 / 1000).sum() < 30 + 5 * math.sqrt(60)
    moved = radians[radians != 0]
    assert abs((moved > 0).mean() - 0.5) < 5 * 0.5 / math.sqrt(len(moved))


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("randaugment(0)", r"randaugment: count must be an integer, 1 or more\. Received: count=0"),
        ("randaugment(1.5)", r"count must be an integer"),
        ("randaugment(2, 31)", r"randaugment: magnitude must be in \[0, 30\]\. Received: magnitude=31"),
        ("randaugment(2, -1)", r"magnitude must be in \[0, 30\]"),
        ("randaugment(outside='grey')", r"randaugment: outside must be one of .*Received: outside='grey'"),
        ("trivialaugment('grey')", r"trivialaugment: outside must be one of"),
        ("normalize | randaugment", r"randaugment: comes after normalize, but expects values 0 to 255.*op 2 of"),
    ],
)
def test_bad_arguments_are_refused(spec, message):
    with pytest.raises(SpecError, match=message):
        sequence.read(spec, None)
