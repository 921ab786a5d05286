"""MixUp and CutMix: Zhang et al. 2017, section 2; Yun et al. 2019, equations 1 and 2."""

import math

import keras
import numpy as np
import pytest
from conftest import tensorflow_case
from plan_runs import (
    CLASSES,
    are_independent,
    check_everywhere,
    noise,
    on_device,
    op_of,
    parameters_of,
    plan_of,
    uniforms,
)
from scipy.special import betaincinv

from kerastricks.augment.distributions import ALPHA_RANGE, symmetric_beta
from kerastricks.augment.op import ImageSpec
from kerastricks.augment.ops import OPS
from kerastricks.errors import SpecError

EVERY = ["mixup", "mixup(1.0, 0.5)", "cutmix", "cutmix(0.3, 0.5)", "mixup(0.4, 0.5) | cutmix(1.0, 0.5)"]


def labels_of(count):
    return (np.arange(count) * 3 % CLASSES).astype("int32")


def run(text, images, labels, seed=0):
    plan = plan_of(text, images)
    return on_device(plan, images, uniforms(plan, len(images), seed), labels)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("text", EVERY)
def test_host_and_device_give_the_same(text):
    check_everywhere(text, noise(24), labels_of(24))


@pytest.mark.parametrize("alpha", [ALPHA_RANGE[0], 0.05, 0.2, 0.7, 1.0, 1.5, 4.0, 30.0, ALPHA_RANGE[1]])
def test_one_uniform_becomes_a_beta_draw(alpha):
    close_to_0 = np.geomspace(2**-24, 0.01, 2000)
    u = np.concatenate([[0.0], close_to_0, np.linspace(0.01, 0.99, 30_001), 1 - close_to_0])
    u = (np.round(u * 2**23) / 2**23).clip(0, 1 - 2**-23).astype("float32")  # what generators draw
    found = keras.ops.convert_to_numpy(symmetric_beta(keras.ops.convert_to_tensor(u), alpha, keras.ops))
    np.testing.assert_allclose(found, betaincinv(alpha, alpha, u.astype("float64")), rtol=0, atol=2e-5)
    mirrored = keras.ops.convert_to_numpy(symmetric_beta(keras.ops.convert_to_tensor(1 - u), alpha, keras.ops))
    np.testing.assert_allclose(found + mirrored, 1, rtol=0, atol=1e-6)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_mixups_share_is_drawn_per_image_from_the_beta_distribution(alpha):
    count = 10_000
    partner = parameters_of(op_of(f"mixup({alpha})", noise(1)), count)["partner"].astype("float64")
    square = (partner - 0.5) ** 2
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(partner.mean() - 0.5) < 5 * math.sqrt(variance / count)
    assert abs(square.mean() - variance) < 5 * square.std() / math.sqrt(count)
    assert are_independent(partner)


def test_mixup_blends_each_image_and_label_with_the_one_before():
    images, labels = noise(6), labels_of(6)
    plan = plan_of("mixup(1.0)", images)
    draws = uniforms(plan, 6)
    mixed, targets = on_device(plan, images, draws, labels)
    assert mixed.dtype == targets.dtype == "float32"
    one_hot = np.eye(CLASSES)[labels]
    for i in range(6):
        share = betaincinv(1.0, 1.0, draws[i, 1])
        expected = share * images[i].astype("float64") + (1 - share) * images[i - 1]
        np.testing.assert_allclose(mixed[i], expected, rtol=0, atol=2e-5 * 255)
        np.testing.assert_allclose(targets[i], share * one_hot[i] + (1 - share) * one_hot[i - 1], rtol=0, atol=2e-5)


def box_by_loop(image, share, centre):
    """Equation 2: sides W sqrt(1 - share) and H sqrt(1 - share) about the centre, what sticks out is cut off."""
    height, width = image.shape[:2]
    inside = np.zeros((height, width), bool)
    tall, wide = (round(side * math.sqrt(1 - share)) for side in (height, width))
    for y in range(centre[0] - tall // 2, centre[0] - tall // 2 + tall):
        for x in range(centre[1] - wide // 2, centre[1] - wide // 2 + wide):
            if 0 <= y < height and 0 <= x < width:
                inside[y, x] = True
    return inside


@pytest.mark.parametrize("channels", [tensorflow_case(1), 3])
def test_cutmix_pastes_a_box_and_mixes_labels_by_the_area_that_is_kept(channels):
    images, labels = noise(40, channels=channels), labels_of(40)
    plan = plan_of("cutmix", images)
    draws = uniforms(plan, 40)
    mixed, targets = on_device(plan, images, draws, labels)
    one_hot = np.eye(CLASSES)[labels]
    sticking_out = 0
    for i in range(40):
        share = float(draws[i, 1])  # Beta(1, 1) is uniform
        inside = box_by_loop(images[i], share, (int(draws[i, 2] * 9), int(draws[i, 3] * 12)))
        np.testing.assert_array_equal(mixed[i], np.where(inside[..., None], images[i - 1], images[i]))
        kept = 1 - inside.mean()
        np.testing.assert_allclose(targets[i], kept * one_hot[i] + (1 - kept) * one_hot[i - 1], rtol=0, atol=1e-6)
        sticking_out += kept > share + 0.1
    assert sticking_out > 3


@pytest.mark.tensorflow_only
def test_cutmix_draws_area_and_centre():
    """Without the edge, sides and centres are what equation 2 says: seen in large images."""
    count, side = 10_000, 1000
    op = OPS["cutmix"](1.0).bind(ImageSpec((side, side, 3), CLASSES))
    parameters = parameters_of(op, count)
    edges = ("first_row", "end_row", "first_column", "end_column")
    top, bottom, left, right = (parameters[name].astype("float64") for name in edges)
    assert min(top.min(), left.min()) == 0
    assert max(bottom.max(), right.max()) == side
    assert all((edge == np.round(edge)).all() for edge in (top, bottom, left, right))
    free = (top > 0) & (left > 0) & (bottom < side) & (right < side)
    np.testing.assert_array_equal((bottom - top)[free], (right - left)[free])
    # A box of share s of the side fits in a fraction (1 - s)^2 of the places; s^2 is uniform.
    share = np.sqrt(np.linspace(0, 1, 100_001))
    fits = ((1 - share) ** 2).mean()
    assert abs(free.mean() - fits) < 5 * math.sqrt(fits * (1 - fits) / count) + 0.002
    assert abs((share * (1 - share) ** 2).mean() / fits - ((bottom - top)[free] / side).mean()) < 0.01
    middle = (top + bottom)[free] / (2 * side)
    assert abs(middle.mean() - 0.5) < 5 * middle.std() / math.sqrt(free.sum()) + 1 / side
    assert are_independent(middle, (left + right)[free])


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("name", ["mixup", "cutmix"])
@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_rate_is_the_share_of_images_that_are_mixed(name, rate):
    count = 2000
    images = np.zeros((count, 6, 6, 1), "uint8")
    images[::2] = 200
    mixed, targets = run(f"{name}(5.0, {rate})", images, (np.arange(count) % 2).astype("int32"))
    alone = (targets.max(-1) == 1) & (mixed == images).all((1, 2, 3))
    # Beta(5, 5) nearly always leaves a box to cut and a share to blend.
    assert abs((1 - alone).mean() - rate) <= 5 * math.sqrt(rate * (1 - rate) / count) + 0.005 * rate


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("text", EVERY)
def test_labels_stay_probabilities(text):
    targets = run(text, noise(64), labels_of(64))[1]
    assert targets.shape == (64, CLASSES)
    assert targets.min() >= 0
    np.testing.assert_allclose(targets.sum(-1), 1, rtol=0, atol=1e-6)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("text", EVERY)
def test_an_image_alone_is_mixed_with_itself(text):
    images = noise(1)
    mixed, targets = run(text, images, np.array([4], "int32"))
    np.testing.assert_array_equal(mixed, images)
    np.testing.assert_array_equal(targets, np.eye(CLASSES)[[4]])


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("text", ["mixup", "cutmix"])
def test_images_without_labels_are_mixed_alike(text):
    images = noise(8)
    mixed, nothing = run(text, images, None)
    assert nothing is None
    np.testing.assert_array_equal(mixed, run(text, images, labels_of(8))[0])


def test_labels_that_are_probabilities_already_are_mixed_as_they_are():
    images, labels = noise(8), labels_of(8)
    smoothed = (0.9 * np.eye(CLASSES)[labels] + 0.1 / CLASSES).astype("float32")
    expected = 0.9 * run("mixup", images, labels)[1] + 0.1 / CLASSES
    np.testing.assert_allclose(run("mixup", images, smoothed)[1], expected, rtol=0, atol=1e-6)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("name", ["mixup", "cutmix"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0,), r"alpha must be in \[0\.01, 100\]\. Received: alpha=0\.0"),
        ((101,), r"alpha must be in \[0\.01, 100\]"),
        ((float("nan"),), r"alpha must be in"),
        ((1.0, 1.1), r"rate must be in \[0, 1\]\. Received: rate=1\.1"),
    ],
)
def test_an_illegal_argument_names_the_op_and_the_argument(name, arguments, message):
    with pytest.raises(SpecError, match=f"{name}: {message}"):
        OPS[name](*arguments)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_a_number_of_classes_is_needed(name):
    with pytest.raises(SpecError, match=f"{name} needs the number of classes"):
        OPS[name]().bind(ImageSpec((9, 12, 3)))
