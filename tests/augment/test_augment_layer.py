"""Augment: the device's executor of a plan, as a Keras layer."""

import json

import keras
import numpy as np
import pytest
from conftest import tensorflow_case

from kerastricks.augment import Augment
from kerastricks.augment.op import Draws
from kerastricks.augment.spatial_step import Store
from kerastricks.data import PixelStatistics
from kerastricks.data.pipeline import tensorflow_arrays
from kerastricks.errors import SpecError, UnknownNameError

SHAPE, CLASSES = (12, 10, 3), 5
# All kinds of steps, alone and fused, and what mixes labels.
SPECS = (
    "flip | pad_crop(2)",
    "pad_crop(3, 'reflect') | rotate(20) | flip",
    "flip | fancy_pca(0.3) | brightness(0.4) | saturation(0.5) | normalize",
    "gamma(1.5) | blur",
    "rotate(10, 'nearest') | cutout(4) | contrast(0.3) | posterize",
    "flip | brightness(0.2) | mixup(0.4)",
    "pad_crop(2) | cutmix",
)


def smooth(count=16, shape=SHAPE, seed=0):
    """Images without noise, so that a resampling's last digits do not matter."""
    generator = np.random.default_rng(seed)
    small = generator.uniform(0, 256, (count, 3, 3, shape[-1]))
    rows, columns = (np.arange(side) * 3 // side for side in shape[:2])
    return small[:, rows][:, :, columns].astype("uint8")


def statistics_of(images):
    statistics = PixelStatistics(images.shape[-1])
    statistics.update(images)
    return statistics


def numbers(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor)).astype("float64")


def labels_of(count=16):
    return (np.arange(count) * 3 % CLASSES).astype("int32")


def one_hot(labels):
    return np.eye(CLASSES)[labels]


def new_layer(spec, **more):
    return Augment(spec, classes=CLASSES, statistics=statistics_of(smooth()), **{"seed": 0, **more})


@pytest.mark.parametrize("spec", SPECS)
def test_device_and_host_give_the_same_from_the_same_draws(spec):
    import tensorflow as tf

    images, labels = smooth(), labels_of()
    layer = new_layer(spec)
    plan = layer.plan(SHAPE)
    uniforms = np.random.default_rng(1).random((16, plan.uniforms)).astype("float32")
    on_device = layer.transform(
        images, keras.ops.convert_to_tensor(labels), keras.ops.convert_to_tensor(uniforms), plan
    )
    with tf.device("CPU:0"):
        given = (tf.constant(images), tf.constant(labels), Draws(tf.constant(uniforms)))
        on_host = plan(*given, tensorflow_arrays)
    scale = 1.0 if "normalize" in spec else 255.0
    np.testing.assert_allclose(numbers(on_device[0]), on_host[0].numpy(), rtol=1e-5, atol=2e-5 * scale)
    np.testing.assert_allclose(numbers(on_device[1]), on_host[1].numpy(), atol=1e-6)


@pytest.mark.parametrize("spec", SPECS[2::3])
def test_a_call_is_the_plan_with_the_layers_draws(spec):
    images, labels = smooth(), labels_of()
    found, mixed = new_layer(spec)((images, labels), training=True)
    again = new_layer(spec)
    plan = again.plan(SHAPE)
    uniforms = again.draw(16, plan)
    expected, expected_labels = again.transform(images, keras.ops.convert_to_tensor(labels), uniforms, plan)
    assert numbers(uniforms).min() >= 0
    assert numbers(uniforms).max() < 1
    np.testing.assert_array_equal(numbers(found), numbers(expected))
    np.testing.assert_array_equal(numbers(mixed), numbers(expected_labels))


def test_images_have_draws_of_their_own_and_calls_differ():
    images = np.repeat(smooth(1), 32, axis=0)
    layer = Augment("flip | pad_crop(3) | brightness(0.5)", seed=0)
    first, second = (numbers(layer(images, training=True)) for _ in range(2))
    assert len(np.unique(first.reshape(32, -1), axis=0)) == 32
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, numbers(Augment(layer.spec, seed=0)(images, training=True)))


@pytest.mark.tensorflow_only
def test_half_of_the_images_are_flipped():
    images = np.zeros((4000, 1, 2, 1), "uint8")
    images[:, :, 1] = 255
    flipped = numbers(Augment("flip", seed=3)(images, training=True))[:, 0, 0, 0] == 255
    assert abs(flipped.mean() - 0.5) < 5 * 0.5 / np.sqrt(4000)


def test_inference_is_the_identity_but_for_normalize():
    images = smooth()
    np.testing.assert_array_equal(numbers(Augment("flip | pad_crop(2) | brightness")(images)), images)
    statistics = statistics_of(images)
    result = numbers(Augment("brightness(0.9) | normalize", statistics=statistics)(images))
    np.testing.assert_allclose(result, (images - statistics.mean) / statistics.std, rtol=1e-5, atol=1e-5)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("dtype", ["uint8", "int32", "float64"])
def test_images_of_any_dtype_become_floats(dtype):
    images = smooth()
    expected = numbers(Augment("flip | pad_crop(2)", seed=1)(images, training=True))
    for policy in ("float32", "mixed_bfloat16"):
        result = Augment("flip | pad_crop(2)", seed=1, dtype=policy)(images.astype(dtype), training=True)
        assert keras.backend.standardize_dtype(result.dtype) == keras.DTypePolicy(policy).compute_dtype
        np.testing.assert_allclose(numbers(result), expected, rtol=0 if policy == "float32" else 2**-8)


@pytest.mark.tensorflow_only
def test_labels_that_are_not_mixed_come_back_as_they_went_in():
    labels = labels_of()
    _, found = Augment("flip", seed=0)((smooth(), labels), training=True)
    assert keras.backend.standardize_dtype(found.dtype) == "int32"
    np.testing.assert_array_equal(numbers(found), labels)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("form", [labels_of(), labels_of()[:, None], one_hot(labels_of()), one_hot(labels_of()) > 0])
def test_labels_of_any_form_are_mixed_alike(form):
    expected = numbers(new_layer("mixup(1.0)")((smooth(), labels_of()), training=True)[1])
    assert expected.shape == (16, CLASSES)
    assert np.ptp(expected.max(axis=1)) > 0.1
    np.testing.assert_allclose(expected.sum(axis=1), 1, atol=1e-6)
    for training, target in ((True, expected), (False, one_hot(labels_of()))):
        found = new_layer("mixup(1.0)")((smooth(), form), training=training)[1]
        assert keras.backend.standardize_dtype(found.dtype) == "float32"
        np.testing.assert_allclose(numbers(found), target, atol=1e-6)


@pytest.mark.tensorflow_only
def test_classes_are_read_from_one_hot_labels():
    _, found = Augment("cutmix", seed=0)((smooth(), one_hot(labels_of())), training=True)
    assert tuple(found.shape) == (16, CLASSES)


def test_in_a_model_of_unknown_batch_size_with_mixed_labels():
    images, labels = keras.Input(SHAPE), keras.Input((), dtype="int32")
    outputs = new_layer("flip | mixup(1.0)")((images, labels))
    assert tuple(outputs[0].shape) == (None, *SHAPE)
    assert tuple(outputs[1].shape) == (None, CLASSES)
    model = keras.Model([images, labels], outputs)
    for count in (3, 7):
        found, mixed = model([smooth(count), labels_of(count)], training=True)
        assert tuple(found.shape) == (count, *SHAPE)
        assert tuple(mixed.shape) == (count, CLASSES)


@pytest.mark.parametrize("jit", [tensorflow_case(False), True])
def test_in_fit_it_augments_and_in_predict_it_does_not(jit):
    if jit and keras.backend.backend() == "torch":
        pytest.skip("torch.compile needs a C++ compiler and minutes")
    inputs = keras.Input(SHAPE)
    # A mean over the image that only brightness changes: what it learns from is what it was shown.
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(Augment("brightness(1.0)", seed=0)(inputs)))
    model.compile(loss="mse", jit_compile=jit)
    images = np.full((64, *SHAPE), 100, "float32")
    loss = model.fit(images, np.full((64, 3), 100.0), batch_size=16, verbose=0).history["loss"][0]
    # (100 (1 + u) - 100)^2 for u uniform in [-1, 1]: mean 10^4 / 3, deviation 10^4 * 0.298
    assert abs(loss - 1e4 / 3) < 5 * 1e4 * 0.298 / np.sqrt(64)
    np.testing.assert_allclose(model.predict(images, verbose=0), 100, rtol=1e-6)


@pytest.mark.tensorflow_only  # tf.data runs the layer's TensorFlow functions
def test_in_a_data_set():
    import tensorflow as tf

    layer = new_layer("flip | pad_crop(2) | mixup")
    batches = tf.data.Dataset.from_tensor_slices((smooth(20), labels_of(20))).batch(8)
    found = list(batches.map(lambda images, labels: layer((images, labels), training=True)))
    assert [tuple(images.shape) for images, _ in found] == [(8, *SHAPE), (8, *SHAPE), (4, *SHAPE)]
    assert [tuple(labels.shape) for _, labels in found] == [(8, CLASSES), (8, CLASSES), (4, CLASSES)]


def test_a_store_is_read_as_a_batch_of_its_images():
    images = smooth()
    layer = new_layer("flip | pad_crop(3) | rotate(10)")
    plan = layer.plan(SHAPE)
    index = np.array([5, 0, 15, 5], "int32")
    uniforms = layer.draw(4, plan)
    pixels = np.concatenate([images.reshape(-1, 3), np.zeros((1, 3), "uint8")])
    store = Store(keras.ops.convert_to_tensor(pixels), keras.ops.convert_to_tensor(index))
    expected, _ = layer.transform(images[index], None, uniforms, plan)
    np.testing.assert_array_equal(numbers(layer.transform(store, None, uniforms, plan)[0]), numbers(expected))


@pytest.mark.tensorflow_only
def test_statistics_are_part_of_the_configuration_and_saved(tmp_path):
    layer = Augment("fancy_pca(0.2) | normalize", seed=2).fit(smooth())
    json.dumps(layer.get_config())
    inputs = keras.Input(SHAPE)
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[-1].get_config() == layer.get_config()
    np.testing.assert_array_equal(loaded.predict_on_batch(smooth()), model.predict_on_batch(smooth()))


def test_fit_finds_the_statistics_of_the_data_module():
    images = smooth(40)
    expected = statistics_of(images)
    # Of one array, of batches, of batches with labels.
    sources = (
        images,
        (images[i : i + 7] for i in range(0, 40, 7)),
        [(images[:9], 1), (images[9:].astype("float32"), 2)],
    )
    for data in sources:
        found = Augment("normalize").fit(data).statistics
        np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-12)
        np.testing.assert_allclose(found.std, expected.std, rtol=1e-9)
        for ours, theirs in zip(found.eigen(), expected.eigen(), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (smooth() / 255.0, "multiply by 255"),
        (smooth() - 1.0, "in 0-255"),
        (np.full((2, 3, 3, 3), np.nan), "finite"),
        (smooth()[0], "shape"),
        (iter(()), "Received: none"),
        ([smooth(), smooth()[..., :1]], r"width, 3\).*\(16, 12, 10, 1\)"),
    ],
)
def test_fit_refuses_what_are_no_pixels(data, says):
    with pytest.raises(ValueError, match=says):
        Augment("normalize").fit(data)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("spec", "error", "says"),
    [
        ("flop", UnknownNameError, "flip"),
        ("flip | brightness(7)", SpecError, r"strength.*op 2 of 'flip \| brightness\(7\)'"),
        ("normalize | brightness", SpecError, "op 2 of"),
        ("mixup | flip", SpecError, "op 2 of"),
        (
            "pad_crop | alternating_flip",
            SpecError,
            r"alternating_flip counts epochs or classes.*load\(augment=.*op 2 of",
        ),
    ],
)
def test_a_wrong_spec_is_refused_when_the_layer_is_made(spec, error, says):
    with pytest.raises(error, match=says):
        Augment(spec)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("layer", "inputs", "says"),
    [
        (Augment("pad_crop(10)"), smooth(), "below the image's side"),
        (Augment("fancy_pca"), smooth(), "statistics"),
        (Augment("mixup", classes=5), smooth(), r"call the layer with \(images, labels\)"),
        (Augment("mixup"), (smooth(), labels_of()), "number of classes"),
        (Augment("mixup", classes=4), (smooth(), one_hot(labels_of())), r"labels must be.*\(16, 5\)"),
        (Augment("flip"), smooth()[0], "images must be"),
        (Augment("flip"), [smooth(), labels_of(), labels_of()], "3 of them"),
    ],
)
def test_wrong_inputs_are_refused_before_anything_runs(layer, inputs, says):
    with pytest.raises(ValueError, match=says):
        layer(inputs, training=True)


@pytest.mark.tensorflow_only
def test_unknown_sizes_are_refused_when_the_model_is_made():
    with pytest.raises(ValueError, match=r"fixed height, width and channels.*None"):
        Augment("flip")(keras.Input((None, None, 3)))


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"classes": 1}, "classes must be"),
        ({"classes": True}, "classes must be"),
        ({"statistics": {"mean": [1], "std": [0], "eigenvalues": [1], "eigenvectors": [[1]]}}, "std above 0"),
        ({"statistics": {"mean": [1, 2], "std": [1], "eigenvalues": [1], "eigenvectors": [[1]]}}, "eigenvectors of"),
    ],
)
def test_illegal_arguments_are_named(arguments, says):
    with pytest.raises(ValueError, match=f"{says}.*Received"):
        Augment("flip", **arguments)
