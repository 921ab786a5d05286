"""Models that Keras and kerastricks write are never refused, and their parameters are counted right."""

import math

import keras
import pytest

import kerastricks
from kerastricks.interop import inspect
from kerastricks.interop.allowed import CLASSES, FUNCTIONS, KERASTRICKS, OPERATIONS, REFUSED

pytestmark = pytest.mark.tensorflow_only
L = keras.layers


def functional():
    """Nested models, a shared layer, operations on tensors, two inputs and outputs, wrappers, attention."""
    first, second = keras.Input((6, 4), name="first"), keras.Input((6, 4), name="second")
    shared = L.Dense(4, activation="gelu", kernel_regularizer="l2", kernel_constraint="max_norm")
    inner_input = keras.Input((6, 4))
    inner = keras.Model(inner_input, L.LayerNormalization()(L.Conv1D(4, 3, padding="same")(inner_input)), name="inner")
    x = keras.ops.concatenate([inner(shared(first)), shared(second)], axis=-1) * 2.0 + 1.0
    x = L.MultiHeadAttention(2, 3, dropout=0.1)(x, x)
    x = L.Bidirectional(L.LSTM(3, return_sequences=True, recurrent_dropout=0.1))(x)
    x = L.TimeDistributed(L.Dense(3))(x)
    x = L.RNN([L.GRUCell(3), L.SimpleRNNCell(2)])(x[:, 1:])
    outer = keras.Sequential([L.Dense(5), keras.Sequential([L.Dense(3), L.BatchNormalization()])], name="outer")
    return keras.Model([first, second], {"a": outer(x), "b": L.Dense(1, dtype="mixed_bfloat16")(x)})


def images():
    """Preprocessing, random layers, convolutions of every kind, spectral normalization."""
    normalization = L.Normalization(mean=[1.0, 2.0, 3.0], variance=[1.0, 2.0, 3.0])
    random = [L.RandomFlip(), L.RandomRotation(0.1), L.RandomZoom(0.1), L.RandomContrast(0.1), L.RandomCrop(9, 9)]
    convolutions = [L.SeparableConv2D(4, 3), L.DepthwiseConv2D(3), L.Conv2DTranspose(3, 3), L.GroupNormalization(3)]
    shapes = [L.SpectralNormalization(L.Conv2D(3, 3)), L.UpSampling2D(), L.ZeroPadding2D(), L.Cropping2D(), L.PReLU()]
    head = [L.GlobalAveragePooling2D(), L.Dropout(0.1), L.Dense(2, activation="softmax")]
    start = [keras.Input((12, 12, 3)), L.Rescaling(1 / 255), L.Resizing(10, 10), normalization]
    return keras.Sequential([*start, *random, *convolutions, *shapes, *head])


def words():
    """Embedding, masking, hashing of integers."""
    return keras.Sequential(
        [keras.Input((5,), dtype="int32"), L.Embedding(20, 4, mask_zero=True), L.GRU(3), L.Dense(1)]
    )


def quantized():
    """Weights of 8 bits."""
    model = keras.Sequential([keras.Input((8,)), L.Dense(16), L.Dense(2)])
    model.quantize("int8")
    return model


def low_rank():
    """LoRA beside a kernel."""
    model = keras.Sequential([keras.Input((8,)), L.Dense(16), L.Dense(2)])
    model.layers[0].enable_lora(2)
    return model


def half():
    """Weights of bfloat16, which HDF5 does not know."""
    return keras.Sequential([keras.Input((8,)), L.Dense(4, dtype="bfloat16")])


def lookups():
    """Vocabularies, which are entries of the archive."""
    return keras.Sequential([keras.Input((1,), dtype="string"), L.TextVectorization(vocabulary=["a", "b"])])


OPTIMIZERS = sorted(
    name
    for name in dir(keras.optimizers)
    if isinstance(getattr(keras.optimizers, name), type)
    and name not in {"Optimizer", "LossScaleOptimizer", "MultiOptimizer", "OptimizerMap"}
)


@pytest.mark.parametrize("build", [functional, images, words, quantized, low_rank, half, lookups])
@pytest.mark.parametrize("suffix", [".keras", ".h5", ".weights.h5"])
def test_models_of_keras_are_not_refused(build, suffix, tmp_path):
    model = build()
    model.compile("adam", "mse")
    path = tmp_path / f"model{suffix}"
    if suffix == ".weights.h5":
        model.save_weights(path)
    elif suffix == ".h5" and build in (lookups, half):
        pytest.skip("Keras itself cannot save it so")
    else:
        model.save(path)
    report = inspect(path)
    assert report.findings == () or suffix == ".weights.h5"
    assert not report.refused
    wrapped = [layer for layer in model.layers if isinstance(layer, L.SpectralNormalization)]
    twice = sum(math.prod(layer.kernel.shape) for layer in wrapped if suffix != ".h5")  # Keras stores it twice
    merged = 2 * (8 + 16) if build is low_rank and suffix != ".h5" else 0  # into the kernel
    assert report.parameters == model.count_params() + twice - merged
    if suffix != ".weights.h5":
        assert report.keras_version == keras.__version__
        assert report.class_name == type(model).__name__
        names = [one.name for one in report.layers if "/" not in one.name]
        assert {layer.name for layer in model.layers} <= set(names)
        counts = {one.name: one.parameters for one in report.layers}
        assert all(
            counts[one.name] == one.count_params()
            for one in model.layers
            if one.count_params() and one not in wrapped and build is not low_rank
        )


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_is_shown_with_its_settings(name, tmp_path):
    model = keras.Sequential([keras.Input((3,)), L.Dense(2)])
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 100)
    model.compile(getattr(keras.optimizers, name)(learning_rate=schedule), "mse", metrics=["mae", keras.metrics.AUC()])
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    report = inspect(tmp_path / "model.keras")
    assert not report.refused
    assert report.optimizer["class"] == name
    assert report.optimizer["learning_rate"] | {"name": None} == {
        "class": "CosineDecay", "initial_learning_rate": 0.1, "decay_steps": 100, "alpha": 0.0, "warmup_target": None,
        "warmup_steps": 0, "name": None,
    }  # fmt: skip
    assert report.losses == ("mse",)
    assert report.metrics == ("mae", "AUC")
    assert report.parameters == 8
    assert report.optimizer_bytes > 0


def test_a_class_or_function_of_keras_is_either_allowed_or_refused():
    """A new one must be put into one of the lists of kerastricks/interop/allowed.py."""
    bases = {"Layer", "Optimizer", "Metric", "Loss", "Initializer", "Regularizer", "Constraint", "LearningRateSchedule"}
    bases |= {"InputSpec", "Wrapper", "Quantizer"}
    spaces = (
        "layers optimizers optimizers.schedules losses metrics initializers regularizers constraints dtype_policies"
    )
    found = set()
    for space in (*spaces.split(), "quantizers"):
        module = keras
        for part in space.split("."):
            module = getattr(module, part)
        found |= {name for name in dir(module) if name[0].isupper() and isinstance(getattr(module, name), type)}
    assert found - bases - CLASSES - set(REFUSED) == set()
    assert not CLASSES & set(REFUSED)
    activations = {name for name in dir(keras.activations) if name[0] != "_"} - {"get", "serialize", "deserialize"}
    assert activations <= FUNCTIONS
    assert not OPERATIONS & {"Cond", "ForiLoop", "Map", "Scan", "VectorizedMap", "WhileLoop"}  # they call functions


def test_the_list_of_kerastricks_is_what_it_registers():
    registered = {
        name.removeprefix("kerastricks>")
        for name, thing in keras.saving.get_custom_objects().items()
        if name.startswith("kerastricks>") and thing.__module__.startswith("kerastricks.")
    }
    assert registered == KERASTRICKS


@pytest.mark.parametrize("name", ["mlp(depth=1, width=4)", "nin", "resnet_20"])
def test_models_of_the_zoo_are_not_refused(name, tmp_path):
    model = kerastricks.models.create(name, classes=3, input_shape=(32, 32, 3))
    model.save(tmp_path / "model.keras")
    report = inspect(tmp_path / "model.keras")
    assert report.findings == ()
    assert report.parameters == model.count_params()


APPLICATIONS = ("MobileNetV3Small", "ResNet50V2", "DenseNet121", "EfficientNetV2B0", "NASNetMobile", "ConvNeXtTiny")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*kerastricks.models.CATALOG, *(f"applications/{name}" for name in APPLICATIONS)])
def test_no_model_of_the_zoo_is_refused(name, tmp_path):
    model = kerastricks.models.create(name, classes=3, input_shape=(96, 96, 3))
    for suffix in (".keras", ".h5"):
        model.save(tmp_path / f"model{suffix}")
        report = inspect(tmp_path / f"model{suffix}")
        assert report.findings == ()
        assert report.parameters == model.count_params()
