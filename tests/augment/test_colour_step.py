"""Runs of linear colour ops: fused into one multiply-add, against one matrix after the other in float64."""

from typing import Any

import numpy as np
import pytest
from plan_runs import image_spec_of, noise, on_device, on_host, plan_of, uniforms

from kerastricks.augment.op import ColourMap
from kerastricks.augment.plan import Plan


class Linear(ColourMap):
    """Any matrix or factors, any shift, for each image or for all."""

    def __init__(self, gain: Any, shift: Any) -> None:
        self.gain, self.shift = np.asarray(gain, "float32"), np.asarray(shift, "float32")
        self.mixes_channels = self.gain.ndim == 3

    def matrix(self, parameters: Any, mean: Any, xp: Any) -> tuple[Any, Any]:
        return xp.convert_to_tensor(self.gain), xp.convert_to_tensor(self.shift)

    def by_hand(self, image: np.ndarray, i: int) -> np.ndarray:
        gain, shift = (values.astype("float64")[i % len(values)] for values in (self.gain, self.shift))
        matrix = gain if gain.ndim == 2 else np.diag(np.broadcast_to(gain, image.shape[-1:]))
        return np.einsum("yxc,dc->yxd", image, matrix) + shift


class AwayFromMean(ColourMap):
    """Doubles the distance of each pixel from the image's mean colour, channels turned by one."""

    needs_mean = True
    mixes_channels = True

    def matrix(self, parameters: Any, mean: Any, xp: Any) -> tuple[Any, Any]:
        turned = np.roll(np.eye(3, dtype="float32"), 1, axis=1)
        return xp.convert_to_tensor(2 * turned[None]), -mean

    def by_hand(self, image: np.ndarray, i: int) -> np.ndarray:
        return 2 * np.roll(image, -1, axis=-1) - image.mean((0, 1))


class Ending(Linear):
    """As `normalize`: what stands behind the clip."""

    ends_raw = True


def random_maps(seed: int, count: int = 6) -> dict[str, ColourMap]:
    generator = np.random.default_rng(seed)

    def values(*shape: int) -> np.ndarray:
        return generator.uniform(-1, 1, shape)

    return {
        "factor": Linear(1 + 0.5 * values(count, 1), np.zeros((1, 1))),
        "factors": Linear(1 + 0.5 * values(count, 3), 30 * values(count, 3)),
        "shift": Linear(np.ones((1, 3)), 80 * values(count, 3)),
        "matrix": Linear(np.eye(3) + 0.5 * values(count, 3, 3), 30 * values(count, 3)),
        "one_matrix": Linear(np.eye(3) + 0.5 * values(1, 3, 3), 30 * values(1, 3)),
        "mean": AwayFromMean(),
        "end": Ending(0.02 + 0.01 * values(1, 3), values(1, 3)),
    }


RUNS = [
    "factor",
    "matrix",
    "shift factors",
    "factors matrix shift",
    "matrix factors",
    "matrix one_matrix matrix",
    "one_matrix factor",
    "mean",
    "factors mean",
    "matrix shift mean factor mean",
    "factors end",
    "one_matrix end",
    "matrix mean end",
]


@pytest.mark.parametrize(("run", "dtype"), [*((run, "uint8") for run in RUNS), ("matrix mean end", "float32")])
def test_a_run_is_one_map_after_the_other_and_clipped_once_before_what_ends_it(run, dtype):
    images = noise(6).astype(dtype)
    ops = [random_maps(seed)[name] for seed, name in enumerate(run.split())]
    expected = images.astype("float64")
    is_clipped = False
    for op in ops:
        if op.ends_raw:
            expected, is_clipped = np.clip(expected, 0, 255), True
        expected = np.stack([op.by_hand(image, i) for i, image in enumerate(expected)])
    if not is_clipped:
        assert expected.min() < 0 or expected.max() > 255  # else the clip is not tested
        expected = np.clip(expected, 0, 255)
    image_spec = image_spec_of(images)
    fused, plain = Plan(ops, image_spec), Plan(ops, image_spec, fuse=False)
    assert [step.kind for step in fused.steps] == ["colour"]
    assert len(plain.steps) == len(ops) + 1
    draws = uniforms(fused, 6)
    for plan in (fused, plain):
        result = on_device(plan, images, draws)[0]
        assert result.dtype == "float32"
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5 * 255)
    np.testing.assert_allclose(on_host(fused, images, draws, compiled=True)[0], expected, rtol=1e-5, atol=1e-5 * 255)


def test_grey_images():
    images = noise(5, channels=1)
    ops = [Linear(np.linspace(0.5, 2, 5)[:, None], np.linspace(-50, 50, 5)[:, None]), Linear([[1.5]], [[-20]])]
    plan = Plan(ops, image_spec_of(images))
    expected = np.stack([ops[1].by_hand(ops[0].by_hand(image, i), i) for i, image in enumerate(images)])
    result = on_device(plan, images, uniforms(plan, 5))[0]
    np.testing.assert_allclose(result, expected.clip(0, 255), rtol=1e-5, atol=1e-5 * 255)


def test_what_is_clipped_is_lost_where_a_run_ends_and_not_within_it():
    images = np.full((1, 2, 2, 3), 200, "uint8")
    doubled, halved = Linear([[2.0]], [[0.0]]), Linear([[0.5]], [[0.0]])
    image_spec = image_spec_of(images)
    flip = plan_of("flip", images).ops[0]
    for ops, expected in (([doubled, halved], 200), ([doubled, flip, halved], 127.5), ([doubled, flip], 255)):
        for fuse in (True, False):
            plan = Plan(ops, image_spec, fuse)
            np.testing.assert_array_equal(on_device(plan, images, uniforms(plan, 1))[0], expected)


def test_normalised_values_are_those_of_clipped_ones():
    images = noise(4)
    statistics = image_spec_of(images).statistics
    plan = plan_of("brightness(1.0) | normalize", images)
    draws = uniforms(plan, 4)
    raw = on_device(plan_of("brightness(1.0)", images), images, draws)[0]
    expected = (raw - statistics.mean) / statistics.std
    np.testing.assert_allclose(on_device(plan, images, draws)[0], expected, rtol=0, atol=1e-5)
    assert raw.max() == 255
