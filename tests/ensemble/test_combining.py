"""The Keras model of an ensemble says what the arrays' arithmetic says, and is a model like any other."""

import keras
import numpy as np
import pytest
from scipy import special

import kerastricks
from kerastricks.ensemble import Combination, Member, combine, member_outputs
from kerastricks.errors import EnsembleError

SHAPE = (6, 5, 3)
IMAGES = np.random.default_rng(0).uniform(0, 255, (9, *SHAPE)).astype("float32")


def classifier(seed, classes=3, shape=SHAPE, end="layer"):
    """Small, with a batch normalisation; ends in a softmax layer, a softmax inside, or logits."""
    inputs = keras.Input(shape)
    x = keras.layers.Rescaling(1 / 64, -2.0)(inputs)
    x = keras.layers.Conv2D(4, 3, kernel_initializer=keras.initializers.HeNormal(seed))(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(keras.layers.BatchNormalization()(x)))
    activation = "softmax" if end == "inside" else None
    x = keras.layers.Dense(classes, activation, kernel_initializer=keras.initializers.HeNormal(seed + 100))(x)
    return keras.Model(inputs, keras.layers.Softmax()(x) if end == "layer" else x, name="network")


def logits_of(models, images=IMAGES):
    """(M, N, K) log-probabilities, in float64 from what the models say."""
    outputs = [model.predict_on_batch(images).astype("float64") for model in models]
    return np.stack([special.log_softmax(y, 1) if (y < 0).any() else np.log(y) for y in outputs])


def combinations(count=3, classes=3):
    generator = np.random.default_rng(1)
    weights, temperatures = generator.dirichlet(np.ones(count)), generator.uniform(0.5, 2, count)
    kernel, bias = generator.normal(size=(count * classes, classes)), generator.normal(size=classes)
    return [
        Combination("mean"),
        Combination("mean", weights, temperatures, 1.3),
        Combination("geometric"),
        Combination("logits", weights, temperatures, 0.7),
        Combination("vote"),
        Combination("vote", weights, temperatures, 1.5),
        Combination("stack", temperatures=temperatures, temperature=1.2, kernel=kernel, bias=bias),
        Combination("best", weights=[0, 1, 0]),
    ]


@pytest.mark.parametrize("combination", combinations(), ids=lambda one: one.method)
@pytest.mark.parametrize("kind", ["spread", "extreme"])
def test_the_layer_equals_the_arrays(combination, kind):
    generator = np.random.default_rng(2)
    logits = generator.normal(0, 2, (3, 50, 3))
    if kind == "extreme":
        logits *= 60
        logits[0, :5, 1] = -np.inf
    layer = kerastricks.layers.CombineMembers(combination.method)
    layer.build((None, 3, 3))
    layer.set_values(
        combination.weights, combination.temperatures, combination.temperature, combination.kernel, combination.bias
    )
    found = keras.ops.convert_to_numpy(layer(logits.transpose(1, 0, 2).astype("float32")))
    np.testing.assert_allclose(np.exp(found), combination.apply(logits.astype("float32")), atol=1e-5)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("combination", combinations(), ids=lambda one: one.method)
def test_the_model_equals_its_members(combination):
    models = [classifier(seed, end=end) for seed, end in enumerate(("layer", "inside", "logits"))]
    model = combine(models, combination)
    found = model.predict_on_batch(IMAGES)
    np.testing.assert_allclose(found, combination.apply(logits_of(models)), atol=1e-5)
    assert found.dtype == np.float32
    assert model.output_shape == (None, 3)


def test_methods_by_name_and_with_weights():
    models = [classifier(0), classifier(1)]
    probabilities = np.exp(logits_of(models))
    eye = np.concatenate([np.eye(3), np.eye(3)])
    product = probabilities[0] ** 0.75 * probabilities[1] ** 0.25
    for model, expected in (
        (combine(models), probabilities.mean(0)),
        (combine(models, Combination("mean", [0.75, 0.25])), 0.75 * probabilities[0] + 0.25 * probabilities[1]),
        (combine(models, "geometric"), np.sqrt(probabilities.prod(0)) / np.sqrt(probabilities.prod(0)).sum(1)[:, None]),
        (combine(models, Combination("geometric", [0.75, 0.25])), product / product.sum(1, keepdims=True)),
        (
            combine(models, Combination("stack", kernel=eye, bias=np.zeros(3))),
            probabilities.prod(0) / probabilities.prod(0).sum(1, keepdims=True),
        ),
    ):
        np.testing.assert_allclose(model.predict_on_batch(IMAGES), expected, atol=1e-5)
    votes = combine([*models, classifier(2)], "vote").predict_on_batch(IMAGES)
    majority = [np.bincount(row, minlength=3) for row in logits_of([*models, classifier(2)]).argmax(2).T]
    decided = np.array([row.max() > 1 for row in majority])
    np.testing.assert_array_equal(votes.argmax(1)[decided], np.array(majority).argmax(1)[decided])


@pytest.mark.parametrize("combination", [combinations()[1], combinations()[6]], ids=lambda one: one.method)
def test_it_is_saved_and_loaded(combination, tmp_path):
    models = [
        Member(classifier(0), "a", ("x", "y", "z")),
        Member(classifier(1, shape=(4, 4, 1)), "b", ("z", "x", "y")),
        Member(classifier(2, classes=2), "c", ("y", "z")),
    ]
    model = combine(models, combination)
    model.save(tmp_path / "ensemble.keras")
    loaded = keras.models.load_model(tmp_path / "ensemble.keras")
    images = np.random.default_rng(0).uniform(0, 255, (4, *model.input_shape[1:])).astype("float32")
    np.testing.assert_allclose(loaded.predict_on_batch(images), model.predict_on_batch(images), atol=1e-6)


def test_an_ensemble_is_trained_and_its_members_with_it():
    models = [classifier(0), classifier(1)]
    model = combine(models, "mean")
    assert sum(weight.shape[0] for weight in model.trainable_weights) == sum(
        weight.shape[0] for one in models for weight in one.trainable_weights
    )
    labels = np.arange(9) % 3
    before = [one.predict_on_batch(IMAGES) for one in models]
    model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy")
    losses = model.fit(IMAGES, labels, batch_size=9, epochs=15, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]
    for one, old in zip(models, before, strict=True):
        assert np.abs(one.predict_on_batch(IMAGES) - old).max() > 0.01
    np.testing.assert_allclose(model.predict_on_batch(IMAGES), np.exp(logits_of(models)).mean(0), atol=1e-5)


def test_an_ensemble_is_a_member():
    models = [classifier(seed) for seed in range(3)]
    inner = combine(models[:2], "mean")
    np.testing.assert_allclose(
        combine([inner, models[2]], Combination("mean", [2 / 3, 1 / 3])).predict_on_batch(IMAGES),
        np.exp(logits_of(models)).mean(0),
        atol=1e-5,
    )


def test_outputs_of_the_members():
    models = [classifier(0), classifier(1, end="logits")]
    outputs = member_outputs(models)
    np.testing.assert_allclose(
        outputs.predict_on_batch(IMAGES), logits_of(models).transpose(1, 0, 2), atol=1e-5, rtol=1e-5
    )
    assert [layer.name for layer in outputs.layers if isinstance(layer, keras.Model)] == ["member_0", "member_1"]


def test_log_probabilities_are_exact_where_probabilities_are_zero():
    models = [classifier(0), classifier(1)]
    for model in models:
        model.layers[-2].kernel.assign(np.full((4, 3), 0.0))
        model.layers[-2].bias.assign([0.0, -200.0, -400.0])
    found = member_outputs(models).predict_on_batch(IMAGES)
    np.testing.assert_allclose(found[:, 0], np.tile([0, -200.0, -400.0], (9, 1)), atol=1e-4)


@pytest.mark.tensorflow_only
def test_it_is_exported_like_a_single_model(tmp_path):
    import tensorflow as tf

    names = ("x", "y", "z")
    members = [Member(classifier(0), "a", names), Member(classifier(1, shape=(8, 8, 3)), "b", names[::-1])]
    model = combine(members)
    model.save(tmp_path / "ensemble.keras")
    folder = kerastricks.serving.export_saved_model(tmp_path / "ensemble.keras", names, tmp_path)
    served = tf.saved_model.load(str(folder))
    images = np.random.default_rng(0).integers(0, 256, (2, *model.input_shape[1:])).astype("uint8")
    expected = model.predict_on_batch(images.astype("float32"))
    found = served.signatures["tensor"](images=tf.constant(images, tf.float32))["probabilities"]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    encoded = tf.constant([tf.io.encode_png(image).numpy() for image in images])
    found = served.signatures["serving_default"](bytes=encoded)
    np.testing.assert_allclose(found["probabilities"].numpy(), expected, atol=1e-5)
    assert [name.decode() for name in found["label"].numpy()] == [names[index] for index in expected.argmax(1)]


def two_outputs():
    inputs = keras.Input((3,))
    return keras.Model(inputs, [keras.layers.Dense(2)(inputs), keras.layers.Dense(2)(inputs)])


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: combine([classifier(0)]), "two members or more"),
        (lambda: combine([]), "two members or more"),
        (lambda: combine([(one := classifier(0)), one]), "is the same model as"),
        (lambda: combine([classifier(0), keras.Sequential([keras.layers.Dense(2)])]), "must be a built functional"),
        (lambda: combine([classifier(0), two_outputs()]), "one output"),
        (lambda: combine([classifier(0), "model.keras"]), "must be a keras.Model"),
        (
            lambda: Member(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, "relu")]), "regressor"),
            "'regressor' is no classifier",
        ),
        (lambda: Member(classifier(0), "a", ("x", "y")), "3 different names"),
        (lambda: Member(classifier(0), "a", ("x", "y", "x")), "3 different names"),
        (lambda: combine([classifier(0), classifier(1)], Combination("mean", [0.2, 0.3, 0.5])), "for 3 members"),
        (
            lambda: combine(
                [classifier(0), classifier(1)], Combination("stack", kernel=np.zeros((8, 4)), bias=np.zeros(4))
            ),
            "2 members and 4 classes",
        ),
    ],
)
def test_bad_members(make, message):
    with pytest.raises(EnsembleError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("stack", "must have kernel and bias.*fit_stacking"),
        ("greedy", "mean, geometric, vote, stack, best, logits. Received: method='greedy'; ensemble.fit_combination"),
        ("avrage", "must be one of mean, .*Received: method='avrage'$"),
    ],
)
def test_methods_that_no_name_alone_makes(method, message):
    with pytest.raises(ValueError, match=message):
        combine([classifier(0), classifier(1)], method)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("former", "now"),
    [
        ("average", r'combine\(members, "mean"\)'),
        ("geometric_mean", r'combine\(members, "geometric"\)'),
        ("vote", r'combine\(members, "vote"\)'),
        ("stack", r'combine\(members, Combination\("stack", kernel=\.\.\., bias=\.\.\.\)\)'),
        ("recompute_batch_norm", r"kerastricks\.layers\.recompute_batch_norm"),
    ],
)
def test_former_names_say_the_present_one(former, now):
    with pytest.raises(AttributeError, match=now):
        getattr(kerastricks.ensemble, former)
    with pytest.raises(ImportError, match=now):
        exec(f"from kerastricks.ensemble import {former}")
