"""What Centering, RangeScaling, PCAWhitening and ZCAWhitening have in common: how they learn from data."""

import pickle

import keras
import numpy as np
import pytest

from kerastricks.layers import Centering, PCAWhitening, RangeScaling, ZCAWhitening

SHAPE = (4, 3, 2)
KINDS = {
    "centering": lambda **more: Centering(divide_by_std=True, **more),
    "centering_pixel": lambda **more: Centering("pixel", divide_by_std=True, **more),
    "range_scaling": lambda **more: RangeScaling(**more),
    "range_scaling_pixel": lambda **more: RangeScaling("pixel", **more),
    "pca_whitening": lambda **more: PCAWhitening(components=6, **more),
    "zca_whitening": lambda **more: ZCAWhitening(**more),
}
kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
fixed_kinds = pytest.mark.parametrize("kind", [k for n, k in KINDS.items() if n not in ("centering", "range_scaling")])


def images_of(count=90, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *SHAPE)).astype("uint8")


def assert_same(layer, other):
    assert len(layer.weights) == len(other.weights)
    for one, another in zip(layer.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(one, another, rtol=1e-6, atol=1e-9)


def adapted(kind, images):
    layer = kind()
    layer.adapt(images)
    return layer


def result(layer, images):
    return keras.ops.convert_to_numpy(layer(images))


class Pairs(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return images_of()[30 * index : 30 * index + 30], np.zeros(30)


@kinds
def test_streams_equal_the_array(kind):
    images, labels = images_of(), np.zeros(90)
    whole = adapted(kind, images)
    splits = [1, 1, 8, 60]
    batches = np.split(images, splits)
    streams = {
        "uneven batches": batches,
        "in another order": batches[::-1],
        "with labels": list(zip(batches, np.split(labels, splits), strict=True)),
        "a generator": (batch for batch in batches),
        "tensors": [keras.ops.convert_to_tensor(batch) for batch in batches if len(batch)],
        "a PyDataset": Pairs(),
        "a tensor": keras.ops.convert_to_tensor(images),
        "float32": images.astype("float32"),
    }
    for stream in streams.values():
        assert_same(adapted(kind, stream), whole)


@kinds
def test_a_tensorflow_data_set(kind):
    tf = pytest.importorskip("tensorflow")
    dataset = tf.data.Dataset.from_tensor_slices((images_of(), np.zeros(90))).batch(40)
    assert_same(adapted(kind, dataset), adapted(kind, images_of()))
    with pytest.raises(ValueError, match="data must end"):
        kind().adapt(dataset.repeat())


@kinds
def test_parts_that_are_merged_equal_the_whole(kind):
    images = images_of()
    parts = [kind() for _ in range(3)]
    for part, some in zip(parts, np.split(images, [2, 50]), strict=True):
        part.update_state(some)
    first, *others = parts
    sent = [pickle.loads(pickle.dumps(part.statistics)) for part in others]
    first.merge_state(sent)
    first.finalize_state()
    fresh = kind()
    fresh.merge_state([parts[1], parts[2]])
    fresh.update_state(images[:2])
    fresh.finalize_state()
    whole = adapted(kind, images)
    assert_same(first, whole)
    assert_same(fresh, whole)
    np.testing.assert_allclose(result(first, images), result(whole, images), atol=1e-5)


@pytest.mark.tensorflow_only
@kinds
def test_what_cannot_be_merged_is_refused(kind):
    layer = adapted(kind, images_of())
    with pytest.raises(ValueError, match=r"layers must have collected .*adapt drops.*Received: .* with nothing"):
        layer.merge_state([adapted(kind, images_of())])
    three = kind()
    three.update_state(np.zeros((2, 4, 3, 3)))
    with pytest.raises(ValueError, match=r"layers must have collected .*Received: "):
        layer.merge_state([three])
    with pytest.raises(ValueError, match="is not built"):
        kind().merge_state([three.statistics])


@kinds
def test_adapt_before_and_after_build_and_again(kind):
    images = images_of()
    inputs = keras.Input(SHAPE)
    layer = kind()
    model = keras.Model(inputs, layer(inputs))  # not adapted yet
    assert not layer.is_adapted
    layer.adapt(images_of(seed=1) // 2)
    other = model.predict(images, verbose=0)
    layer.adapt(images)
    assert layer.is_adapted
    assert_same(layer, adapted(kind, images))
    out = model.predict(images, verbose=0)  # compiled before: the weights are looked up
    np.testing.assert_allclose(out, result(adapted(kind, images), images), atol=1e-5)
    assert not np.allclose(out, other, atol=1e-3)


@kinds
def test_use_before_adapt_is_refused_eagerly_and_compiled(kind):
    layer = kind(name="first")
    model = keras.Sequential([keras.Input(SHAPE), layer])
    message = r"'first' was used before adapt: call first\.adapt\(training images\)"
    with pytest.raises(ValueError, match=message):
        layer(images_of(2))
    with pytest.raises(ValueError, match=message):
        model.predict(images_of(2), verbose=0)


@kinds
def test_weights_that_are_loaded_or_set_count_as_adapted(kind, tmp_path):
    images = images_of()
    model = keras.Sequential([keras.Input(SHAPE), adapted(kind, images)])
    expected = model.predict(images, verbose=0)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    clone, again = keras.models.clone_model(model), keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    again.load_weights(tmp_path / "model.weights.h5")
    for copy in (keras.models.load_model(tmp_path / "model.keras"), clone, again):
        np.testing.assert_array_equal(copy.predict(images, verbose=0), expected)
        assert copy.layers[0].is_adapted


@kinds
def test_a_layer_saved_before_adapt_is_loaded_as_such(kind, tmp_path):
    model = keras.Sequential([keras.Input(SHAPE), kind()])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").layers[0]
    assert not loaded.is_adapted
    loaded.adapt(images_of())
    assert_same(loaded, adapted(kind, images_of()))


@kinds
def test_training_leaves_the_statistics_alone(kind):
    images = images_of()
    layer = adapted(kind, images)
    before = [weight.copy() for weight in layer.get_weights()]
    model = keras.Sequential([keras.Input(SHAPE), layer, keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1e-3, weight_decay=0.1), "mse")
    model.fit(images, np.zeros((90, 1)), verbose=0)
    for weight, old in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)
    assert layer.is_adapted


@pytest.mark.tensorflow_only
@kinds
def test_large_statistics_are_not_in_the_configuration(kind):
    layer = adapted(kind, images_of())
    assert layer.get_config() == {**type(layer).from_config(layer.get_config()).get_config(), "name": layer.name}
    assert len(str(layer.get_config())) < 400


@pytest.mark.tensorflow_only
@kinds
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((0, *SHAPE)), "data must hold at least one image.*Received: no images"),
        ([], "data must hold at least one image.*Received: no images"),
        (np.zeros((9, 4, 3)), r"data must be \(batch, height, width, channels\) or \(batch, features\).*\(9, 4, 3\)"),
        ([np.zeros((4, 24))] * 2 + [np.zeros(SHAPE)], r"data must be .*\(4, 3, 2\)"),
        ([{"image": 1}], r"data must be \(batch.*Received: shape \(\)"),
        (7, "data must be an array or an iterable of batches.*Received: int"),
        (np.full((3, *SHAPE), "a"), "data must be numbers.*Received: ndarray of dtype <U1"),
        (
            np.where(np.arange(90).reshape(-1, 1, 1, 1) == 7, np.nan, np.zeros((90, *SHAPE))),
            "data must be finite.*7 of",
        ),
        (
            np.where(np.arange(90).reshape(-1, 1, 1, 1) == 7, np.inf, np.zeros((90, *SHAPE))),
            "data must be finite.*7 of",
        ),
    ],
)
def test_bad_data_are_named(kind, data, message):
    layer = kind()
    with pytest.raises(ValueError, match=message) as error:
        layer.adapt(data)
    assert "\n" not in str(error.value)
    assert not layer.is_adapted


class Endless(keras.utils.PyDataset):
    num_batches = None

    def __getitem__(self, index):
        return images_of(8)


@pytest.mark.tensorflow_only
@kinds
def test_a_py_dataset_without_an_end_is_refused(kind):
    with pytest.raises(ValueError, match=r"data must end.*Received: a PyDataset with num_batches None"):
        kind().adapt(Endless())


@kinds
def test_a_failed_adapt_leaves_what_was_there(kind):
    layer = adapted(kind, images_of())
    with pytest.raises(ValueError, match="finite"):
        layer.adapt([images_of(seed=1), np.full((1, *SHAPE), np.nan)])
    assert_same(layer, adapted(kind, images_of()))
    assert layer.statistics is None


@pytest.mark.tensorflow_only
@kinds
def test_other_channels_than_the_fitted_are_refused(kind):
    layer = adapted(kind, images_of())
    with pytest.raises(ValueError, match=r"inputs must have the .*Received: shape \(1, 4, 3, 3\)"):
        layer(np.zeros((1, 4, 3, 3)))
    with pytest.raises(ValueError, match=r"data must have the .*Received: shape \(1, 4, 3, 3\)"):
        layer.adapt(np.zeros((1, 4, 3, 3)))
    with pytest.raises(ValueError, match=r"inputs must be .*Received: shape \(4, 3, 2\)"):
        layer(np.zeros(SHAPE))


@fixed_kinds
def test_layers_with_statistics_per_place_need_one_size(kind):
    with pytest.raises(ValueError, match=r"must have fixed height, width and channels: give keras\.Input the numbers"):
        kind()(keras.Input((None, 3, 2)))
    with pytest.raises(ValueError, match=r"inputs must have the images of shape .*Received: shape \(1, 3, 4, 2\)"):
        adapted(kind, images_of())(np.zeros((1, 3, 4, 2)))
