"""The planner: what is fused with what, and that the fused plan does what the ops do one by one."""

import keras
import numpy as np
import pytest
from plan_runs import CLASSES, image_spec_of, noise, on_device, on_host, plan_of, uniforms

from kerastricks.augment import sequence
from kerastricks.augment.op import Draws, GeometricMap, Policy
from kerastricks.augment.ops import OPS
from kerastricks.augment.plan import Plan

# Every op, strong, and applied to every image.
SPECS = {
    "alternating_flip": "alternating_flip",
    "autocontrast": "autocontrast(1.0)",
    "blur": "blur",
    "brightness": "brightness(0.9)",
    "color_jitter": "color_jitter(0.5, 0.5, 0.5, 0.2)",
    "contrast": "contrast(0.9)",
    "cutmix": "cutmix",
    "cutout": "cutout(4, 'mean')",
    "equalize": "equalize(1.0)",
    "erase": "erase(1.0, fill='colour')",
    "fancy_pca": "fancy_pca(1.0, 'stddev')",
    "flip": "flip",
    "gamma": "gamma(2.0)",
    "grayscale": "grayscale(0.5)",
    "hsv": "hsv",
    "for_rare": "for_rare('flip | translate(0.4) | brightness(0.9)')",
    "hue": "hue(0.4)",
    "hue_yiq": "hue_yiq(0.4)",
    "invert": "invert(0.5)",
    "mixup": "mixup(1.0)",
    "normalize": "normalize",
    "pad_crop": "pad_crop(4)",
    "posterize": "posterize(3, 1.0)",
    "randaugment": "randaugment(1, 20, 'reflect')",
    "random_resized_crop": "random_resized_crop(0.3)",
    "rotate": "rotate(60)",
    "saturation": "saturation(0.9)",
    "sharpness": "sharpness(0.9)",
    "shear": "shear(30, 20, 'nearest')",
    "solarize": "solarize(128, 1.0)",
    "translate": "translate(0.4, 'reflect')",
    "trivialaugment": "trivialaugment",
    "vertical_flip": "vertical_flip",
    "zoom": "zoom(0.6, 1.5, 'reflect')",
}
LAST = ("normalize", "mixup", "cutmix")  # what only these may follow
# Where a value is looked up, cut to bits or compared, and where a hue jumps, the last digit of a float may matter.
JUMPS = ("equalize", "posterize", "solarize", "hsv", "randaugment", "trivialaugment")


def test_every_op_is_here():
    assert set(SPECS) == set(OPS)


def check_fused(text, on):
    images = noise(8, 13, 17)
    fused, plain = plan_of(text, images), plan_of(text, images, fuse=False)
    assert all(len(step.entries) == 1 for step in plain.steps)
    draws, labels = uniforms(fused, 8), (np.arange(8) % CLASSES).astype("int32")
    (result, targets), (expected, expected_targets) = (on(p, images, draws, labels, epoch=1) for p in (fused, plain))
    assert result.dtype == expected.dtype
    assert targets.dtype == expected_targets.dtype
    np.testing.assert_array_equal(targets, expected_targets)
    difference = np.abs(result.astype("float64") - expected)
    # A place that is off by 1e-5 of a pixel, between pixels that differ by up to 255; an integer may be rounded away.
    bound = 0.02 if result.dtype == "float32" else 1
    if any(name in text for name in JUMPS):
        assert (difference > bound).mean() < 0.005, text
    else:
        assert difference.max() <= bound, text
        assert (difference > 0.02).mean() < 0.02, text


def resamples_twice(text):
    """Whether two ops are fused into one resampling: that is another image, see test_spatial_step.py."""
    for step in plan_of(text, noise(8, 13, 17)).steps:
        # A policy's members are neutral but one.
        moving = {entry.name.split(".")[0] for entry in step.entries if isinstance(entry.op, GeometricMap)}
        if len(moving) > 1:
            return True
    return False


def random_specs(count, seed):
    """Sequences of two to six ops, each legal."""
    generator = np.random.default_rng(seed)
    found = []
    while len(found) < count:
        names = [name for name in generator.permutation(sorted(SPECS))[: generator.integers(2, 7)] if name not in LAST]
        names += [name for name in LAST if generator.random() < 0.25]
        text = " | ".join(SPECS[name] for name in names)
        if len(names) > 1 and not resamples_twice(text):
            found.append(text)
    return found


@pytest.mark.parametrize("text", random_specs(6, seed=1))
def test_random_sequences_are_the_ops_one_by_one(text):
    check_fused(text, on_device)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("text", random_specs(60, seed=2))
def test_random_sequences_are_the_ops_one_by_one_on_the_host(text):
    check_fused(text, on_host)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("first", sorted(set(SPECS) - set(LAST)))
def test_every_op_before_and_behind_colours_and_moves(first):
    for others in ("brightness(0.9) | {}", "{} | fancy_pca(1.0) | normalize", "flip | {} | translate(0.3)"):
        text = others.format(SPECS[first])
        if first not in text.replace(SPECS[first], ""):
            check_fused(text, on_host)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("", []),
        ("flip | pad_crop(4)", ["index"]),
        ("flip | pad_crop(4) | fancy_pca(0.1)", ["index", "colour"]),
        ("flip | pad_crop(4) | fancy_pca(0.1) | normalize", ["index", "colour"]),
        ("flip | rotate(15) | pad_crop(4) | zoom | saturation(0.5) | brightness(0.2)", ["resample", "colour"]),
        ("flip | erase | rotate(15)", ["index", "resample"]),
        ("rotate(15) | erase | flip", ["resample"]),
        ("brightness | flip | contrast", ["colour", "index", "colour"]),
        ("gamma | posterize | flip", ["pixel", "pixel", "index"]),
        ("color_jitter | normalize", ["colour", "pixel", "colour"]),
        ("color_jitter(hue=0) | hue_yiq(0.1) | normalize", ["colour"]),
        ("brightness | gamma | contrast | normalize", ["colour", "pixel", "colour"]),
        ("blur | normalize | mixup | cutmix", ["image", "colour", "mix", "mix"]),
        ("normalize | flip", ["colour", "index"]),
    ],
)
def test_neighbours_of_a_kind_are_fused(text, kinds):
    assert [step.kind for step in plan_of(text, noise(4)).steps] == kinds


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("flip | brightness | saturation | gamma", [["flip"], ["brightness", "saturation", "clip"], ["gamma"]]),
        ("brightness | normalize", [["brightness", "clip", "normalize"]]),
        ("brightness | flip", [["brightness", "clip"], ["flip"]]),
        ("normalize | flip", [["normalize"], ["flip"]]),
        ("fancy_pca | normalize | cutmix", [["fancy_pca", "clip", "normalize"], ["cutmix"]]),
    ],
)
def test_a_run_of_colours_ends_with_a_clip_through_which_normalize_is_drawn(text, names):
    plan = plan_of(text, noise(4))
    assert [[entry.name for entry in step.entries] for step in plan.steps] == names
    plain = plan_of(text, noise(4), fuse=False)
    assert [entry.name for step in plain.steps for entry in step.entries] == [name for step in names for name in step]


@pytest.mark.parametrize(
    ("text", "keeps"),
    [
        ("", True),
        ("flip | pad_crop(4) | cutout(3) | alternating_flip", True),
        ("rotate(15) | erase(1.0, fill='mean')", True),
        ("flip | brightness(0.0)", False),
        ("flip | posterize", False),
        ("blur", False),
        ("flip | mixup", False),
    ],
)
def test_pixels_that_are_only_moved_stay_integers(text, keeps):
    images = noise(4)
    plan = plan_of(text, images)
    assert plan.keeps_integers == keeps
    for given, dtype in ((images, "uint8" if keeps else "float32"), (images.astype("float32"), "float32")):
        assert on_device(plan, given, uniforms(plan, 4), np.zeros(4, "int32"))[0].dtype == dtype


def test_an_empty_plan_gives_what_it_gets():
    images, labels = noise(3), np.array([0, 1, 2], "int32")
    plan = plan_of("", images)
    assert (plan.uniforms, plan.needs_place, plan.mixes, plan.takes_store) == (0, False, False, False)
    result, targets = on_device(plan, images, uniforms(plan, 3), labels)
    np.testing.assert_array_equal(result, images)
    np.testing.assert_array_equal(targets, labels)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("text", "uniforms_", "needs_place", "mixes", "takes_store"),
    [
        ("flip | pad_crop(4) | fancy_pca(0.1)", 1 + 2 + 3, False, False, True),
        ("brightness | flip", 2, False, False, False),
        ("alternating_flip | mixup", 2, True, True, True),
        ("erase(fill='colour') | cutmix", 8 + 4, False, True, True),
        ("gamma | random_resized_crop", 1 + 22, False, False, False),
        ("rotate | hsv", 8, False, False, True),
    ],
)
def test_a_plan_says_what_it_needs(text, uniforms_, needs_place, mixes, takes_store):
    plan = plan_of(text, noise(3))
    found = (plan.uniforms, plan.needs_place, plan.mixes, plan.takes_store)
    assert found == (uniforms_, needs_place, mixes, takes_store)


def test_labels_become_one_hot_where_they_are_mixed_and_else_stay():
    images, labels = noise(4), np.array([6, 0, 3, 3], "int32")
    plan = plan_of("mixup(rate=0.0)", images)
    targets = on_device(plan, images, uniforms(plan, 4), labels)[1]
    assert targets.dtype == "float32"
    np.testing.assert_array_equal(targets, np.eye(CLASSES)[labels])
    plan = plan_of("flip | brightness", images)
    targets = on_device(plan, images, uniforms(plan, 4), labels)[1]
    assert targets.dtype == "int32"
    np.testing.assert_array_equal(targets, labels)


def test_each_op_has_draws_of_its_own():
    images = noise(4)
    text = ["flip(0.3)", "pad_crop(4)", "brightness(0.5)", "random_resized_crop(0.3)", "fancy_pca(0.1)"]
    image_spec = image_spec_of(images)
    plan = Plan(sequence.read(" | ".join(text), image_spec), image_spec)
    draws = uniforms(plan, 4)
    first = 0
    entries = [entry for step in plan.steps for entry in step.entries if entry.name != "clip"]
    for one, entry in zip(text, entries, strict=True):
        (op,) = sequence.read(one, image_spec)
        expected = op.parameters(Draws(keras.ops.convert_to_tensor(draws[:, first : first + op.uniforms])), keras.ops)
        found = entry.read(Draws(keras.ops.convert_to_tensor(draws)), keras.ops)
        assert set(found) == set(expected)
        for name in expected:
            np.testing.assert_array_equal(
                keras.ops.convert_to_numpy(found[name]), keras.ops.convert_to_numpy(expected[name])
            )
        first += op.uniforms
    assert first == plan.uniforms


class OneOfTwo(Policy):
    """Mirrors each image left to right or top to bottom."""

    uniforms = 1

    def __init__(self, image_spec):
        self._members = tuple(sequence.read("flip | vertical_flip", image_spec))

    @property
    def members(self):
        return self._members

    def member_parameters(self, number, draws, xp):
        first = xp.cast(draws.uniforms[:, 0] < 0.5, "float32")
        return {"flipped": 1 - first if number else first}


@pytest.mark.parametrize("fuse", [True, False])
def test_a_policy_stands_for_its_members(fuse):
    images = noise(8)
    image_spec = image_spec_of(images)
    plan = Plan([*sequence.read("pad_crop(0)", image_spec), OneOfTwo(image_spec)], image_spec, fuse)
    names = [entry.name for step in plan.steps for entry in step.entries]
    assert names == ["pad_crop", "one_of_two.flip", "one_of_two.vertical_flip"]
    assert len(plan.steps) == (1 if fuse else 3)
    draws = uniforms(plan, 8)
    result = on_device(plan, images, draws)[0]
    for i in range(8):
        expected = images[i, :, ::-1] if draws[i, 2] < 0.5 else images[i, ::-1]
        np.testing.assert_array_equal(result[i], expected)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("flip | fancy_pca | normalize", [["index", "colour"]]),
        ("brightness | cutout(3)", [["colour", "index"]]),
        ("gamma | erase | flip", [["pixel"], ["index"]]),
        ("flip | saturation | mixup", [["index"], ["colour"], ["mix"]]),
        ("flip | contrast", [["index"], ["colour"]]),
    ],
)
def test_a_pass_goes_on_where_each_value_is_made_of_one(text, passes):
    assert [[step.kind for step in steps] for steps in plan_of(text, noise(4)).passes] == passes


@pytest.mark.parametrize("text", ["", "flip | fancy_pca | normalize", "rotate | saturation | gamma | flip | mixup"])
def test_passes_are_the_plan_piece_by_piece(text):
    """A host may compile each by itself, so that nothing is computed twice."""
    images = noise(4)
    plan = plan_of(text, images)
    assert [step for steps in plan.passes for step in steps] == list(plan.steps)
    draws, labels = uniforms(plan, 4), np.array([0, 1, 2, 3], "int32")
    expected, expected_labels = on_device(plan, images, draws, labels, compiled=False)
    convert = keras.ops.convert_to_tensor
    result, mixed = convert(images), convert(labels)
    for steps in plan.passes:
        result, mixed = plan.run(steps, result, mixed, Draws(convert(draws)), keras.ops, True)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(result), expected)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(mixed), expected_labels)
