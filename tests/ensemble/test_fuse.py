"""The model of early fusion says what its members' features and the fitted layers say, computed by hand."""

import keras
import numpy as np
import pytest
from conftest import tensorflow_case
from scipy import special

from kerastricks.data.fitting import Fitting
from kerastricks.ensemble import Combination, Member, combine, fit_fusion, fuse, member_features
from kerastricks.ensemble.fusion import Fusion
from kerastricks.ensemble.inputs import shared_pixels
from kerastricks.errors import EnsembleError

SHAPE = (6, 5, 3)
IMAGES = np.random.default_rng(0).uniform(0, 255, (8, *SHAPE)).astype("float32")


def dense(seed, units=4, classes=3, shape=SHAPE, end="softmax"):
    """Its features are a hidden layer's outputs; ends in probabilities or in logits."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input(shape)
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 128, -1.0)(inputs))
    x = keras.layers.Dense(units, "relu", name="hidden")(x)
    return keras.Model(inputs, keras.layers.Dense(classes, end, name="last")(x), name="dense")


def convolutional(seed, classes=3, shape=SHAPE):
    """The maps of its classes are averaged: what its last layer gets are maps."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input(shape)
    x = keras.layers.Conv2D(classes, 1, name="maps")(keras.layers.Rescaling(1 / 128, -1.0)(inputs))
    return keras.Model(inputs, keras.layers.Softmax()(keras.layers.GlobalAveragePooling2D()(x)), name="convolutional")


def weights_of(model, name):
    return [keras.ops.convert_to_numpy(weight).astype("float64") for weight in model.get_layer(name).weights]


def features_of(model, images=IMAGES):
    """By hand, in float64."""
    pixels = images.astype("float64") / 128 - 1
    if model.name == "dense":
        kernel, bias = weights_of(model, "hidden")
        return np.maximum(pixels.reshape(len(pixels), -1) @ kernel + bias, 0)
    kernel, bias = weights_of(model, "maps")
    return (pixels @ kernel[0, 0] + bias).mean(axis=(1, 2))


def logits_of(model, images=IMAGES):
    if model.name == "convolutional":
        return features_of(model, images)
    kernel, bias = weights_of(model, "last")
    return features_of(model, images) @ kernel + bias


def fusion(features, classes=3, hidden=()):
    """A classifier that nobody fitted."""
    generator, layers = np.random.default_rng(5), []
    for width, units in zip((features, *hidden), (*hidden, classes), strict=True):
        kernel = generator.normal(0, width**-0.5, (width, units))
        layers.append((kernel.astype("float32"), generator.normal(0, 0.3, units).astype("float32")))
    return Fusion("mlp", tuple(layers), 1.0, 1.0, None, None)


def fused_logits(features, layers):
    for place, (kernel, bias) in enumerate(layers):
        features = features @ kernel.astype("float64") + bias
        if place < len(layers) - 1:
            features = np.maximum(features, 0)
    return features


def test_features_are_what_the_last_layers_get():
    models = [dense(0), convolutional(1), dense(2, units=5, end=None)]
    found = member_features(models).predict_on_batch(IMAGES)
    expected = np.concatenate([features_of(model) for model in models], axis=1)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("hidden", [(), (6,)])
def test_it_equals_the_features_and_layers_by_hand(hidden):
    models = [dense(0), convolutional(1), dense(2, units=5, end=None)]
    classifier = fusion(12, hidden=hidden)
    model = fuse(models, classifier)
    features = np.concatenate([features_of(one) for one in models], axis=1)
    expected = special.softmax(fused_logits(features, classifier.layers), axis=1)
    np.testing.assert_allclose(model.predict_on_batch(IMAGES), expected, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 0.1  # images are told apart


@pytest.mark.parametrize("method", [tensorflow_case("mean"), "geometric"])
def test_with_late_fusion_it_is_one_more_member(method):
    models = [dense(0, end=None), convolutional(1)]
    classifier = fusion(7)
    combination = Combination(method, weights=[0.2, 0.3, 0.5], temperatures=[1.0, 2.0, 0.5])
    found = fuse(models, classifier, combination).predict_on_batch(IMAGES)
    features = np.concatenate([features_of(one) for one in models], axis=1)
    logits = [*(logits_of(one) for one in models), fused_logits(features, classifier.layers)]
    np.testing.assert_allclose(found, combination.apply(np.stack(logits)), atol=1e-5)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("classifier", ["logistic", "linear", "mlp"])
def test_every_classifier_says_in_the_model_what_it_says_of_the_arrays(classifier):
    generator = np.random.default_rng(1)
    labels = np.arange(120) % 3
    images = generator.uniform(0, 128, (120, *SHAPE)) + 60 * np.eye(3)[labels][:, None, None]
    images = images.astype("float32")
    models = [dense(0), convolutional(1)]
    features = member_features(models).predict_on_batch(images)
    fitted = fit_fusion(features[:80], labels[:80], features[80:], labels[80:], 3, classifier)
    found = fuse(models, fitted).predict_on_batch(images[80:])
    np.testing.assert_allclose(found, fitted.predict(features[80:]), atol=1e-5)
    assert (found.argmax(axis=1) == labels[80:]).mean() > 0.9


@pytest.mark.parametrize("late", [tensorflow_case(False), True])
def test_members_of_other_sizes_and_other_orders_of_classes_saved_and_loaded(late, tmp_path):
    members = [
        Member(dense(0, shape=(8, 8, 3), end=None), "large", ("a", "b", "c")),
        Member(dense(1, units=5, shape=(4, 4, 1)), "small", ("c", "a", "b"), Fitting(0.5)),
    ]
    shared = shared_pixels(members)
    pixels = keras.Input(shared.image_shape)
    resized = keras.Model(pixels, [shared.for_member(pixels, member) for member in members])
    images = np.random.default_rng(0).uniform(0, 255, (4, *shared.image_shape)).astype("float32")
    inputs = [keras.ops.convert_to_numpy(one) for one in resized.predict_on_batch(images)]
    features = [features_of(one.model, own) for one, own in zip(members, inputs, strict=True)]
    classifier = fusion(9)
    fused = fused_logits(np.concatenate(features, axis=1), classifier.layers)
    large, small = (logits_of(one.model, own) for one, own in zip(members, inputs, strict=True))
    combination = Combination("mean", weights=[0.2, 0.3, 0.5]) if late else None
    expected = special.softmax(fused, axis=1)
    if combination is not None:
        expected = combination.apply(np.stack([large, small[:, [1, 2, 0]], fused]))
    model = fuse(members, classifier, combination)
    np.testing.assert_allclose(model.predict_on_batch(images), expected, atol=1e-5)
    model.save(tmp_path / "fused.keras")
    loaded = keras.models.load_model(tmp_path / "fused.keras")
    np.testing.assert_allclose(loaded.predict_on_batch(images), expected, atol=1e-5)


def test_early_fusion_alone_asks_for_no_classes_in_common():
    models = [dense(0, classes=2), dense(1, classes=5)]
    classifier = fusion(8)
    features = np.concatenate([features_of(one) for one in models], axis=1)
    expected = special.softmax(fused_logits(features, classifier.layers), axis=1)
    np.testing.assert_allclose(fuse(models, classifier).predict_on_batch(IMAGES), expected, atol=1e-5)
    with pytest.raises(EnsembleError, match="must have the same classes, or class_names"):
        fuse(models, classifier, Combination("mean"))


def test_features_of_a_model_inside_a_model():
    inner, inputs = dense(0), keras.Input(SHAPE)
    outer = keras.Model(inputs, inner(inputs))
    found = member_features([outer, dense(1)]).predict_on_batch(IMAGES)
    np.testing.assert_allclose(found[:, :4], features_of(inner), atol=1e-5)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("end", ["softmax", None])
def test_features_of_a_sequential_model(end):
    inner = dense(0, end=end)
    model = keras.Sequential([keras.Input(SHAPE), *inner.layers[1:]])
    found = member_features([model, dense(1)]).predict_on_batch(IMAGES)
    np.testing.assert_allclose(found[:, :4], features_of(inner), atol=1e-5)


@pytest.mark.tensorflow_only
def test_features_are_all_branches_that_the_last_layer_joins():
    first, second, inputs = dense(0, end=None), dense(1, end=None), keras.Input(SHAPE)
    first.name, second.name = "first", "second"
    joined = keras.layers.Softmax()(keras.layers.Add()([first(inputs), second(inputs)]))
    found = member_features([keras.Model(inputs, joined), dense(2)]).predict_on_batch(IMAGES)
    branches = [one.predict_on_batch(IMAGES) for one in (first, second)]
    np.testing.assert_allclose(found, np.concatenate([*branches, features_of(dense(2))], axis=1), atol=1e-5)


@pytest.mark.slow
def test_a_model_from_a_file_of_another_process(tmp_path):
    """Names count from the start there too: what is put behind a member must not have the name of a layer of it."""
    convolutional(0).save(tmp_path / "maps.keras")
    inputs = keras.Input(SHAPE)
    x = keras.layers.Flatten()(keras.ops.cast(inputs, "float32"))
    keras.Model(inputs, keras.layers.Dense(3, "softmax")(x)).save(tmp_path / "operations.keras")
    for name in ("maps", "operations"):
        keras.utils.clear_session()
        model = keras.models.load_model(tmp_path / f"{name}.keras")
        other = dense(1)
        keras.utils.clear_session()
        assert member_features([model, other]).output_shape[1] == {"maps": 3, "operations": 90}[name] + 4
        keras.utils.clear_session()
        assert combine([model, other]).output_shape == (None, 3)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fuse([dense(0)], fusion(4)), r"two members or more\. Received: 1; use the model as it is"),
        (lambda: fuse([dense(0), dense(1)], fusion(7)), "fusion is for 7 features. Received: members with 8; fit it"),
        (
            lambda: fuse([dense(0), dense(1)], fusion(8), Combination("mean", weights=[0.5, 0.5])),
            "combination 'mean' is for 2 members. Received: 3 members",
        ),
    ],
)
def test_what_cannot_be_fused_is_one_line(make, message):
    with pytest.raises(EnsembleError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.tensorflow_only
def test_a_member_without_features_is_named():
    flat = keras.Sequential([keras.Input((3,)), keras.layers.Softmax()], name="flat")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    with pytest.raises(EnsembleError, match=r"member 'flat \(0\)': must have a layer whose inputs are features"):
        member_features([flat, model])
