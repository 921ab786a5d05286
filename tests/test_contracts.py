"""Every public layer, initializer, loss, schedule, op and model keeps the contract."""

import keras
import layer_checks
import numpy as np
import pytest
from conftest import tensorflow_case
from layer_checks import INITIALIZERS, LAYERS, LOSSES, MODELS, SCHEDULES

import kerastricks
from kerastricks.models import CATALOG, create

layers = pytest.mark.parametrize("row", LAYERS.values(), ids=LAYERS)


def is_first_of_its_family(name):
    before = list(MODELS)[: list(MODELS).index(name)]
    return CATALOG[name].family not in [CATALOG[other].family for other in before]


# One model of each family: the others are the same function, and compiling is most of the time.
models = pytest.mark.parametrize(
    ("spec", "shape"),
    [
        pytest.param(*row, id=name, marks=[] if is_first_of_its_family(name) else pytest.mark.slow)
        for name, row in MODELS.items()
    ],
)


def make(row, **more):
    return row.make(**row.config, **more)


def test_every_public_thing_has_a_row():
    public = {name for name in kerastricks.layers.__all__ if isinstance(getattr(kerastricks.layers, name), type)}
    assert public | {"Augment"} == set(LAYERS)
    assert {name for name in kerastricks.initializers.__all__ if name[0].isupper()} == set(INITIALIZERS)
    assert set(kerastricks.losses.__all__) == set(LOSSES)
    public = {name for name in kerastricks.schedules.__all__ if isinstance(getattr(kerastricks.schedules, name), type)}
    assert public == set(SCHEDULES)
    assert set(CATALOG) == set(MODELS)


@layers
def test_layer_output_shape_is_what_it_says(row):
    layer = make(row)
    for training in (False, True):
        out = (
            layer(layer_checks.batch(row), training=training)
            if _takes_training(layer)
            else layer(layer_checks.batch(row))
        )
        assert tuple(out.shape) == row.output_shape
    assert tuple(layer.compute_output_shape(row.input_shape)) == row.output_shape


@layers
def test_layer_with_a_batch_of_one_and_unknown_sizes(row):
    sides = [None] * (len(row.input_shape) - 2) if row.dynamic else row.input_shape[1:-1]
    inputs = keras.Input((*sides, row.input_shape[-1]))
    model = keras.Model(inputs, make(row)(inputs))
    assert model.predict_on_batch(layer_checks.batch(row, 1)).shape == (1, *row.output_shape[1:])


@layers
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_layer_keeps_its_dtype_policy(row, policy):
    out = make(row, dtype=policy)(layer_checks.batch(row))
    assert keras.backend.standardize_dtype(out.dtype) == keras.DTypePolicy(policy).compute_dtype


@layers
def test_layer_config_makes_the_same_layer_before_and_after_build(row):
    layer = make(row)
    before = layer.get_config()
    layer(layer_checks.batch(row))
    assert layer.get_config() == before
    assert type(layer).from_config(before).get_config() == before


@layers
def test_layer_is_saved_and_loaded(row, tmp_path):
    inputs = keras.Input(row.input_shape[1:])
    model = keras.Model(inputs, make(row)(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    images = layer_checks.batch(row)
    ours, theirs = (keras.ops.convert_to_numpy(one(images)) for one in (loaded, model))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@layers
def test_layer_in_a_training_step(row):
    inputs = keras.Input(row.input_shape[1:])
    x = make(row)(keras.layers.Dense(row.input_shape[-1])(inputs))
    outputs = keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(x))
    labels = np.arange(row.input_shape[0]) % 2
    assert np.isfinite(layer_checks.one_training_step(keras.Model(inputs, outputs), layer_checks.batch(row), labels))


@layers
def test_layer_compiled_equals_eager(row):
    if keras.backend.backend() == "torch":
        pytest.skip("torch.compile needs a C++ compiler and minutes")
    inputs = keras.Input(row.input_shape[1:])
    model = keras.Model(inputs, make(row)(inputs))
    images = layer_checks.batch(row)
    model.compile(jit_compile=True)
    np.testing.assert_allclose(model.predict(images, verbose=0), np.asarray(model(images)), rtol=1e-5, atol=1e-5)


@layers
@pytest.mark.tensorflow_only  # the backend that writes SavedModels
def test_layer_is_exported(row, tmp_path):
    import tensorflow as tf

    inputs = keras.Input(row.input_shape[1:])
    model = keras.Model(inputs, make(row)(inputs))
    model.export(tmp_path / "exported", verbose=False)
    images = layer_checks.batch(row)
    exported = tf.saved_model.load(tmp_path / "exported")  # kept: its variables live as long as it does
    served = exported.serve(images)
    np.testing.assert_allclose(served.numpy(), model.predict_on_batch(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("factory", "shape"), INITIALIZERS.values(), ids=INITIALIZERS)
def test_initializer_gives_shape_and_dtype_and_survives_its_config(factory, shape):
    start = factory()
    values = start(shape, "float32")
    assert tuple(values.shape) == shape
    again = keras.initializers.deserialize(keras.initializers.serialize(start))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(again(shape)), keras.ops.convert_to_numpy(values))


@pytest.mark.parametrize("factory", LOSSES.values(), ids=LOSSES)
def test_loss_is_finite_and_survives_its_config(factory):
    loss = factory()
    labels, logits = np.array([0, 2, 1]), np.array([[50.0, -50, 0], [0, 0, 0], [1, 2, 3]], "float32")
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert np.isfinite(float(loss(labels, logits)))
    assert float(again(labels, logits)) == float(loss(labels, logits))


@pytest.mark.parametrize("factory", SCHEDULES.values(), ids=SCHEDULES)
def test_schedule_survives_its_config_and_drives_an_optimizer(factory):
    schedule = factory()
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    for step in (0, 1, 20, 99, 500):
        assert float(again(step)) == float(schedule(step))
    optimizer = keras.optimizers.SGD(schedule)
    assert float(keras.ops.convert_to_numpy(optimizer.learning_rate)) == pytest.approx(float(schedule(0)))


@models
def test_model_gives_probabilities_in_float32(spec, shape):
    model = create(spec, shape, classes=5)
    out = model.predict_on_batch(np.random.default_rng(0).uniform(0, 255, (3, *shape)).astype("float32"))
    assert out.shape == (3, 5)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out.sum(axis=1), 1, atol=1e-5)
    assert model.get_layer("logits").output.shape == (None, 5)


@models
def test_model_is_the_same_from_the_same_seed(spec, shape):
    weights = []
    for seed in (3, 3, 4):
        keras.utils.set_random_seed(seed)
        weights.append(create(spec, shape, classes=3).get_weights())
    assert all((a == b).all() for a, b in zip(weights[0], weights[1], strict=True))
    assert any((a != b).any() for a, b in zip(weights[0], weights[2], strict=True))


@models
def test_model_is_saved_and_loaded(spec, shape, tmp_path):
    model = create(spec, shape, classes=3, mean=[100.0] * shape[-1], std=[50.0] * shape[-1])
    model.save(tmp_path / "model.keras")
    images = np.random.default_rng(0).uniform(0, 255, (2, *shape)).astype("float32")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(layer_checks.output(loaded, images), layer_checks.output(model, images), atol=1e-5)


# Of each family one step is compiled; those of the others differ from it in their depth and width.
# Compiling one is seven seconds on JAX, whose own layers all three have.
@pytest.mark.parametrize(
    "name",
    [
        row
        if row in ("plain_cnn", "resnet_20")  # compiling an EfficientNet's takes JAX minutes
        else tensorflow_case(row)
        if is_first_of_its_family(row)
        else pytest.param(row, marks=pytest.mark.slow)
        for row in MODELS
    ],
)
def test_model_takes_a_training_step(name):
    spec, shape = MODELS[name]
    images = np.random.default_rng(0).uniform(0, 255, (4, *shape)).astype("float32")
    model = create(spec, shape, classes=3)
    assert np.isfinite(
        layer_checks.one_training_step(model, images, np.array([0, 1, 2, 0]), eager=not is_first_of_its_family(name))
    )


@pytest.mark.parametrize("name", filter(is_first_of_its_family, MODELS))
@pytest.mark.parametrize(
    "activation",
    # A function, a layer with a setting, one with weights, one that draws: on JAX and torch the last says enough.
    [*map(tensorflow_case, ("tanh", "leaky_relu(0.18)", "prelu")), "rrelu"],
)
def test_model_takes_the_options(name, activation):
    spec, shape = MODELS[name]
    model = create(
        spec, shape, 3, activation=activation, initializer="glorot_uniform", regularizer=keras.regularizers.L2(1e-4)
    )
    assert model.losses
    assert np.isfinite(layer_checks.output(model, np.zeros((1, *shape), "float32"))).all()


def _takes_training(layer):
    import inspect

    return "training" in inspect.signature(layer.call).parameters
