"""Runs of ops that move pixels: fused into one gather or one resampling, against one after the other."""

import itertools

import numpy as np
import pytest
from conftest import tensorflow_case
from plan_runs import image_spec_of, noise, on_device, on_host, op_of, plan_of, smooth, uniforms, with_parameters

from kerastricks.augment.op import Draws
from kerastricks.augment.plan import Plan
from kerastricks.augment.spatial_step import Store

BEYOND = ("black", "nearest", "reflect")
# What lies beyond the first of two ops and beyond the second; the backends make no difference to all of them.
PAIRS = [
    pytest.param(
        *pair, marks=[] if pair in (("black", "reflect"), ("nearest", "black")) else pytest.mark.tensorflow_only
    )
    for pair in itertools.product(BEYOND, BEYOND)
]

# Whole pixels, also where one of them resamples: fused, nothing is lost.
INDEX_RUNS = [
    "flip | pad_crop(4) | vertical_flip",
    "pad_crop(4) | pad_crop(4)",
    "pad_crop(4, 'reflect') | flip | pad_crop(4)",
    "pad_crop(4) | flip | pad_crop(8, 'reflect')",
    "cutout(4) | flip | pad_crop(3)",
    "pad_crop(4) | erase(0.8, fill='colour')",
    "erase(0.8, fill='colour') | translate(0.5, 'reflect') | vertical_flip",
    "erase(0.8, fill='mean') | erase(0.8, fill='colour') | translate(0.5) | cutout(3)",
    "alternating_flip | flip | translate(0.2, 'nearest')",
]
RESAMPLED_RUNS = [
    "flip | vertical_flip | shear(40, 20) | flip | pad_crop(3)",
    "random_resized_crop(0.2) | flip | pad_crop(4)",
    "pad_crop(4) | random_resized_crop(0.2)",
    "rotate(60) | erase(0.8, fill='colour') | translate(0.4, 'reflect')",
    "rotate(60) | erase(0.8, fill='colour') | pad_crop(4) | cutout(4, 'mean') | flip",
    "erase(0.8, fill='colour') | rotate(60)",
]


def one_by_one(text, images, draws, **options):
    plan = plan_of(text, images, fuse=False)
    assert all(len(step.entries) == 1 for step in plan.steps)
    return on_device(plan, images, draws, **options)[0]


def check_index_run(text):
    images = noise(16)
    plan = plan_of(text, images)
    assert [step.kind for step in plan.steps] == ["index"]
    draws = uniforms(plan, 16)
    result = on_device(plan, images, draws, epoch=1)[0]
    assert result.dtype == "uint8"
    np.testing.assert_array_equal(result, one_by_one(text, images, draws, epoch=1))
    assert (result != images).any()


def check_resampled_run(text):
    images = noise(16).astype("float32")
    plan = plan_of(text, images)
    assert [step.kind for step in plan.steps] == (["index", "resample"] if text.startswith("erase") else ["resample"])
    draws = uniforms(plan, 16)
    # 1e-5 of a pixel between neighbours that differ by 255.
    expected = one_by_one(text, images, draws)
    np.testing.assert_allclose(on_device(plan, images, draws)[0], expected, rtol=0, atol=4e-3)


# On JAX and torch every third: what runs there is the same gather.
@pytest.mark.parametrize("text", [run if n % 3 == 2 else tensorflow_case(run) for n, run in enumerate(INDEX_RUNS)])
def test_a_run_of_whole_pixels_is_the_ops_one_after_the_other(text):
    check_index_run(text)


@pytest.mark.parametrize("text", [run if n % 3 == 1 else tensorflow_case(run) for n, run in enumerate(RESAMPLED_RUNS)])
def test_one_resampling_among_whole_pixels_is_the_ops_one_after_the_other(text):
    check_resampled_run(text)


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_what_lies_beyond_one_op_is_what_the_next_one_takes(first, second):
    check_index_run(f"translate(0.4, {first!r}) | flip | translate(0.4, {second!r})")
    check_resampled_run(f"translate(0.4, {first!r}) | rotate(60, {second!r})")
    check_resampled_run(f"zoom(0.4, 1.5, {first!r}) | pad_crop(4, 'reflect') | translate(0.4, {second!r})")


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("text", ["flip | pad_crop(3)", "rotate(60, 'reflect') | cutout(4)", "zoom | translate(0.3)"])
def test_any_number_of_channels(text, channels):
    images = noise(8, channels=channels).astype("float32")
    plan = plan_of(text, images)
    draws = uniforms(plan, 8)
    result = on_device(plan, images, draws)[0]
    for channel in range(channels):
        alone = images[..., channel : channel + 1]
        found = on_device(plan_of(text, alone), alone, draws)[0]
        np.testing.assert_allclose(result[..., channel : channel + 1], found, rtol=0, atol=1e-3)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("shape", [(1, 6), (6, 1), (1, 1), (2, 2)])
@pytest.mark.parametrize("outside", BEYOND)
def test_images_of_a_pixel_or_two(shape, outside):
    images = noise(8, *shape).astype("float32")
    text = f"translate(1.0, {outside!r}) | rotate(180, {outside!r}) | flip"
    plan = plan_of(text, images)
    draws = uniforms(plan, 8)
    result = on_device(plan, images, draws)[0]
    np.testing.assert_allclose(result, one_by_one(text, images, draws), rtol=0, atol=4e-3)
    assert result.min() >= 0
    assert result.max() <= images.max() + 1e-3


@pytest.mark.parametrize("text", ["rotate(10)", "translate(0.3) | shear(10)"])
def test_integers_stay_integers_and_are_rounded_once(text):
    images = noise(8)
    plan = plan_of(text, images)
    draws = uniforms(plan, 8)
    result = on_device(plan, images, draws)[0]
    exact = on_device(plan, images.astype("float32"), draws)[0]
    assert (result.dtype, exact.dtype) == ("uint8", "float32")
    assert np.abs(result - exact).max() <= 0.5 + 1e-3


def middle(images, fraction=0.5):
    """What is left of images when the border is cut off, whose pixels come from the edge."""
    rows, columns = (round(side * (1 - fraction) / 2) for side in images.shape[1:3])
    return images[:, rows:-rows, columns:-columns]


@pytest.mark.parametrize(
    "text",
    [
        "rotate(20) | zoom(0.9, 1.3)",
        "rotate(20) | shear(15, 15)",
        "shear(15) | flip | rotate(20)",
        "random_resized_crop(0.5) | rotate(15) | pad_crop(2) | shear(10)",
    ],
)
def test_several_resamplings_become_one_that_blurs_less(text):
    """Waves of 40 pixels and more, 107 high: a linear interpolation errs by at most 107 (2 pi / 40)^2 / 8 = 0.33 in
    each of two directions, so four resamplings instead of one differ by less than 3."""
    images = (smooth(8, 40, 52) - 127.5) / 2 + 127.5
    plan = plan_of(text, images)
    assert [step.kind for step in plan.steps] == ["resample"]
    draws = uniforms(plan, 8)
    fused, plain = on_device(plan, images, draws)[0], one_by_one(text, images, draws)
    difference = np.abs(middle(fused) - middle(plain))
    assert difference.max() < 3
    assert difference.mean() < 0.5
    # Not for want of a difference: another order is another image.
    assert np.abs(middle(fused) - middle(images)).mean() > 5


def test_several_resamplings_look_where_the_first_looks_for_what_the_last_looks_for():
    """A place shows its x + 100 y: a resampling of such a plane is exact."""
    height, width = 21, 30
    y, x = np.mgrid[:height, :width].astype("float64")
    image = (x + 100 * y)[None, ..., None].astype("float32")
    image_spec = image_spec_of(noise(1, height, width, 1))
    first = with_parameters(op_of("rotate", noise(1, height, width, 1)), radians=[0.5])
    last = with_parameters(op_of("shear", noise(1, height, width, 1)), x_shear=[0.4], y_shear=[0.0])
    plan = Plan([first, last], image_spec)
    result = on_device(plan, image, uniforms(plan, 1))[0][0, ..., 0]
    p = (x - (width - 1) / 2) + 1j * (y - (height - 1) / 2)
    inside = np.ones((height, width), bool)
    for step in (lambda p: p + 0.4 * p.imag, lambda p: p * np.exp(-0.5j)):  # the shear slides rows
        p = step(p)
        seen_x, seen_y = p.real + (width - 1) / 2, p.imag + (height - 1) / 2
        inside &= (seen_x >= 0) & (seen_x <= width - 1) & (seen_y >= 0) & (seen_y <= height - 1)
    assert inside.mean() > 0.5
    np.testing.assert_allclose(result[inside], (seen_x + 100 * seen_y)[inside], rtol=0, atol=0.01)


def test_what_is_painted_before_moves_and_what_is_painted_behind_does_not():
    images = np.full((1, 4, 5, 1), 9, "uint8")
    image_spec = image_spec_of(images)
    shift = with_parameters(op_of("translate(0.5)", images), down=[1], right=[-1])
    paint = op_of("erase(fill='colour')", images)
    box = {"top": [0], "bottom": [2], "left": [3], "right": [5], "colour": [[7]]}
    paint = with_parameters(paint, **box)
    before = [[0, 0, 0, 0, 0], [9, 9, 7, 7, 0], [9, 9, 7, 7, 0], [9, 9, 9, 9, 0]]
    behind = [[0, 0, 0, 7, 7], [9, 9, 9, 7, 7], [9, 9, 9, 9, 0], [9, 9, 9, 9, 0]]
    for ops, expected in (([paint, shift], before), ([shift, paint], behind)):
        plan = Plan(ops, image_spec)
        np.testing.assert_array_equal(on_device(plan, images, uniforms(plan, 1))[0][0, ..., 0], expected)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        "flip | pad_crop(4)",
        "translate(0.3, 'reflect')",
        "cutout(4, 'mean')",
        "rotate(60, 'reflect') | cutout(4)",
        "pad_crop(4) | random_resized_crop(0.2)",
    ],
)
def test_images_in_a_store_are_the_batchs(text, compiled):
    images = noise(16)
    plan = plan_of(text, images)
    assert plan.takes_store
    draws = uniforms(plan, 16)
    expected = on_host(plan, images, draws)[0]
    found = on_host(plan, images, draws, stored=True, compiled=compiled)[0]
    assert found.dtype == "uint8"
    if plan.steps[-1].kind == "index":
        np.testing.assert_array_equal(found, expected)
    else:
        # Where half a value is rounded; a box of half the side meets many halves.
        assert np.abs(found.astype(int) - expected).max() <= 1
        assert (found != expected).mean() < 0.02


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("text", ["flip | pad_crop(4)", "zoom"])
def test_a_store_too_large_for_32_bits_is_read_with_64(text):
    """The places alone are looked at: such a store does not fit here."""
    import tensorflow as tf

    from kerastricks.data.pipeline import tensorflow_arrays

    asked = []

    class Spy:
        def __getattr__(self, name):
            return getattr(tensorflow_arrays, name)

        def shape(self, x):
            return (3 * 2**31 + 1, 3) if x.shape[0] == 1 else tensorflow_arrays.shape(x)

        def take(self, x, places, axis):
            asked.append(places.numpy())
            return tf.zeros((*places.shape, 3), tf.uint8)

    images = noise(2)
    plan = plan_of(text, images)
    last = 3 * 2**31 // (9 * 12) - 1  # the last image that it holds
    store = Store(tf.zeros((1, 3), tf.uint8), tf.constant([0, last]), wide=True)
    draws = tf.constant(uniforms(plan, 2))
    plan(store, None, Draws(draws), Spy())
    places = np.stack(asked)
    first = last * 9 * 12
    assert places.dtype == "int64"
    assert (places[:, 0][places[:, 0] < 3 * 2**31] < 9 * 12).all()
    inside = places[:, 1][places[:, 1] < 3 * 2**31]
    assert inside.min() >= first
    assert inside.max() < first + 9 * 12
