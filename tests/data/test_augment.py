"""Specs become two stages; errors name op, place and the whole spec. Runs under every backend."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from kerastricks import data
from kerastricks.data.augment import Augmentation
from kerastricks.data.ops.flip import Flip
from kerastricks.data.ops.pad_crop import PadCrop
from kerastricks.data.statistics import PixelStatistics
from kerastricks.data.tensorflow_device import has_gpu
from kerastricks.errors import SpecError, UnknownNameError
from kerastricks.layers import FancyPCA

ON_HOST = keras.backend.backend() == "tensorflow" and not has_gpu()
SPEC = "flip | pad_crop(2) | fancy_pca(0.3)"


def photographs(count=40, channels=3):
    light = np.random.default_rng(0).normal(0, 30, (count, 8, 8, 1))
    colour = np.random.default_rng(1).normal(0, 9, (count, 8, 8, channels))
    return np.clip(128 + light + colour, 0, 255).astype("uint8")


def statistics_of(images):
    statistics = PixelStatistics(images.shape[-1])
    statistics.update(images)
    return statistics


def arrays(channels=3):
    return photographs(channels=channels), np.arange(40) % 2


def test_the_ops_are_applied_in_order_with_a_seed_for_each_place():
    images = tf.constant(photographs())
    seed = tf.constant([1, 2], tf.int64)
    augmentation = Augmentation("flip(0.3) | pad_crop(2) | flip(0.6)", statistics_of(photographs()), 0)
    expected = images
    for place, op in enumerate([Flip(0.3), PadCrop(2), Flip(0.6)]):
        expected = op(expected, tf.random.experimental.stateless_fold_in(seed, place))
    np.testing.assert_array_equal(augmentation.on_host(images, seed), expected)


def test_no_spec_changes_nothing():
    images = tf.constant(photographs())
    augmentation = Augmentation("", statistics_of(photographs()), 0)
    np.testing.assert_array_equal(augmentation.on_host(images, tf.constant([1, 2], tf.int64)), images)
    assert augmentation.device_stage is None


def test_index_ops_leave_nothing_for_the_device():
    assert data.load(arrays(), augment="flip | pad_crop(2)").device_stage is None


def test_colour_ops_run_on_the_device_unless_tensorflow_trains_on_a_cpu():
    loaded = data.load(arrays(), augment=SPEC, batch_size=8)
    images, _ = next(iter(loaded.train))
    if ON_HOST:
        assert loaded.device_stage is None
        assert images.dtype == tf.float32
    else:
        (layer,) = loaded.device_stage.layers
        assert isinstance(layer, FancyPCA)
        assert images.dtype == tf.uint8


def test_stages_host_leaves_nothing_for_the_device():
    loaded = data.load(arrays(), augment=SPEC, batch_size=8, stages="host")
    assert loaded.device_stage is None
    images, _ = next(iter(loaded.train))
    assert images.dtype == tf.float32
    assert 0 <= float(tf.reduce_min(images)) < float(tf.reduce_max(images)) <= 255


@pytest.mark.tensorflow_only
def test_both_stages_of_a_cpu_give_the_same_batches():
    auto, host = (data.load(arrays(), augment=SPEC, batch_size=8, stages=stages) for stages in ("auto", "host"))
    if not ON_HOST:
        pytest.skip("on a GPU the stages draw from different generators")
    for (images, _), (others, _) in zip(auto.train_from(0).take(3), host.train_from(0).take(3), strict=True):
        np.testing.assert_array_equal(images, others)


def test_fancy_pca_is_fitted_on_the_training_split():
    loaded = data.load(arrays(), augment="fancy_pca(0.3, 'stddev')", batch_size=8)
    train = np.concatenate([images.numpy() for images, _ in loaded.splits["train"].evaluation()])
    values, vectors = np.linalg.eigh(np.cov(train.reshape(-1, 3).T / 255.0, bias=True))
    if ON_HOST:
        plain = data.load(arrays(), batch_size=8)
        # Few pixels are clipped: the median over an image is its shift.
        pairs = zip(loaded.train_from(0).take(40), plain.train_from(0).take(40), strict=True)
        shifts = np.concatenate(
            [np.median(a.numpy() - b.numpy().astype(float), axis=(1, 2)) for (a, _), (b, _) in pairs]
        )
        drawn = shifts / 255 @ vectors / np.sqrt(values) / 0.3
        # 320 standard normal draws per component.
        assert np.abs(drawn.std(0) - 1).max() < 5 / np.sqrt(2 * len(drawn))
    else:
        (layer,) = loaded.device_stage.layers
        np.testing.assert_allclose(layer.eigenvalues, values[::-1], rtol=1e-9)
        np.testing.assert_allclose(np.abs(np.array(layer.eigenvectors)), np.abs(vectors[:, ::-1]), atol=1e-9)
        assert (layer.stddev, layer.scale) == (0.3, "stddev")


def test_the_device_stage_shifts_training_images_and_leaves_others():
    augmentation = Augmentation("fancy_pca(0.3)", statistics_of(photographs()), 0)
    stage = augmentation.device_stage or keras.Sequential([FancyPCA(0.3, *statistics_of(photographs()).eigen())])
    images = photographs(4).astype("float32")
    np.testing.assert_array_equal(ops.convert_to_numpy(stage(images, training=False)), images)
    assert np.abs(ops.convert_to_numpy(stage(images, training=True)) - images).max() > 0


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flip | pad_crop(-1)", r"pad_crop: pixels must be .*\(op 2 of 'flip \| pad_crop\(-1\)'\)"),
        ("flip(2) | pad_crop(1)", r"flip: rate must be .*\(op 1 of 'flip\(2\) \| pad_crop\(1\)'\)"),
        ("flip | pad_crop(1, 2, 3)", r"pad_crop\(1, 2, 3\): .*\(op 2 of 'flip \| pad_crop\(1, 2, 3\)'\)"),
        ("flip(side=1)", r"flip\(side=1\): .*arguments of flip: rate\) \(op 1 of 'flip\(side=1\)'\)"),
        ("flip | flip([1])", r"flip\(\[1\]\): .*\(op 2 of 'flip \| flip\(\[1\]\)'\)"),
        ("flip | fancy_pca(-1)", r"fancy_pca: stddev must be .*\(op 2 of 'flip \| fancy_pca\(-1\)'\)"),
        ("flip | fancy_pca(1, 'x')", r"fancy_pca: scale must be .*\(op 2 of "),
        ("flip | fancy_pca([1])", r"fancy_pca.*\(op 2 of 'flip \| fancy_pca\(\[1\]\)'\)"),
        ("fancy_pca(0.1) | flip", r"flip \(op 2 of 'fancy_pca\(0\.1\) \| flip'\) stands behind fancy_pca"),
        ("flip | 4", r"'flip \| 4': expected name"),
        ("pad_crop(4", r"'pad_crop\(4': does not parse"),
    ],
)
def test_an_error_names_the_op_its_place_and_the_whole_spec(text, message):
    with pytest.raises(SpecError, match=message) as error:
        data.load(arrays(), augment=text)
    assert "\n" not in str(error.value)


@pytest.mark.tensorflow_only
def test_an_unknown_op_gets_the_nearest():
    with pytest.raises(UnknownNameError, match=r"no op is called 'padcrop': did you mean pad_crop") as error:
        data.load(arrays(), augment="flip | padcrop(4)")
    assert "\n" not in str(error.value)


@pytest.mark.tensorflow_only
def test_fancy_pca_of_grey_images_names_its_place():
    with pytest.raises(SpecError, match=r"fancy_pca needs colour images: .*\(op 2 of 'flip \| fancy_pca'\)"):
        data.load(arrays(1), augment="flip | fancy_pca")


@pytest.mark.tensorflow_only
def test_a_reflection_wider_than_the_images_is_refused_by_load():
    with pytest.raises(SpecError, match=r"pad_crop: reflect needs fewer pixels.*\(op 2 of ") as error:
        data.load(arrays(), augment="flip | pad_crop(8, mode='reflect')")
    assert "\n" not in str(error.value)


@pytest.mark.tensorflow_only
def test_stages_of_another_name_are_refused():
    with pytest.raises(SpecError, match=r"stages must be \"auto\" or \"host\"\. Received: stages='device'"):
        data.load(arrays(), stages="device")


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(("kind", "expected"), [("files", "flip | pad_crop(2)"), ("arrays", "pad_crop(1)")])
def test_auto_flips_photographs_alone(image_folder, kind, expected):
    loaded = data.load(image_folder if kind == "files" else arrays(), augment="auto")
    assert loaded.augmentation.text == expected
