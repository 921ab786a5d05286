"""check_model: one deliberate fault each, and no false alarms."""

import json
import zipfile

import keras
import numpy as np
import pytest
from layer_checks import MODELS

import kerastricks
from kerastricks.checks import check_model
from kerastricks.checks.model_finding import SOURCES
from kerastricks.errors import ModelFileError, UsageError
from kerastricks.models import create

pytestmark = pytest.mark.tensorflow_only

layers = keras.layers


def conv(filters=4, kernel_size=3, **options):
    given = {"padding": "same", "activation": "relu", "kernel_initializer": "he_normal", **options}
    return layers.Conv2D(filters, kernel_size, **given)


def dense(units=16, activation="relu", **options):
    return layers.Dense(units, activation, **{"kernel_initializer": "he_normal", **options})


def net(*stack, side=8, dtype="float32", scaling=True, loss=None, head=("softmax", 3)):
    """A healthy classifier around the layers that are given."""
    first = [layers.Rescaling(1 / 127.5, offset=-1)] if scaling else []
    last = [layers.GlobalAveragePooling2D(), layers.Dense(head[1], head[0], name="head")]
    model = keras.Sequential([keras.Input((side, side, 3), dtype=dtype), *first, *stack, *last], name="net")
    if loss is not None:
        model.compile("sgd", loss)
    return model


def vectors(*stack, inputs=16):
    return keras.Sequential([keras.Input((inputs,)), *stack, layers.Dense(3, "softmax", name="head")], name="net")


def equal_units():
    model = net(conv(name="a"))
    kernel = np.array(model.get_layer("a").kernel)
    kernel[..., 1] = kernel[..., 0]
    model.get_layer("a").kernel.assign(kernel)
    return model


def not_a_number():
    model = net(conv(name="a"))
    kernel = np.array(model.get_layer("a").kernel)
    kernel[0, 0, 0, :2] = np.nan
    model.get_layer("a").kernel.assign(kernel)
    return model


def trained(*stack):
    """With a bias that has moved."""
    model = net(*stack)
    model.get_layer("head").bias.assign([0.1, -0.1, 0.0])
    return model


def plain(depth, **options):
    return vectors(*(dense(name=f"d{number}", **options) for number in range(depth)))


def saturating(activation, depth):
    stack = (dense(activation=activation, kernel_initializer="glorot_normal", name=f"d{n}") for n in range(depth))
    return vectors(*stack)


BINARY, CATEGORICAL, SPARSE = (
    keras.losses.BinaryCrossentropy,
    keras.losses.CategoricalCrossentropy,
    keras.losses.SparseCategoricalCrossentropy,
)
SMALL = keras.initializers.RandomNormal(stddev=0.001)
UNIT = keras.initializers.RandomNormal(stddev=3.0)
FAULTS = [
    ("zero_kernel", "error", ["a"], lambda: net(conv(kernel_initializer="zeros", name="a"), conv())),
    ("constant_kernel", "error", ["a"], lambda: net(conv(kernel_initializer="ones", name="a"), conv())),
    ("equal_units", "warning", ["a"], equal_units),
    ("kernel_scale", "warning", ["a"], lambda: net(conv(kernel_initializer=SMALL, name="a"))),
    ("kernel_scale", "warning", ["a"], lambda: net(conv(kernel_initializer=UNIT, name="a"))),
    ("kernel_scale", "warning", ["a"], lambda: vectors(dense(activation="tanh", kernel_initializer=UNIT, name="a"))),
    ("non_finite_weights", "error", ["a"], not_a_number),
    ("regularized_bias", "warning", ["a"], lambda: net(conv(bias_regularizer="l2", name="a"))),
    ("regularized_scale", "warning", ["a"], lambda: net(layers.BatchNormalization(gamma_regularizer="l2", name="a"))),
    ("regularized_scale", "warning", ["a"], lambda: net(conv(activation=None), layers.PReLU("ones", "l1", name="a"))),
    ("normalization_not_adapted", "warning", ["a"], lambda: net(layers.Normalization(name="a"), scaling=False)),
    ("normalization_not_adapted", "note", ["a"], lambda: net(layers.Normalization(name="a"), conv())),
    (
        "layer_not_fitted",
        "error",
        ["a"],
        lambda: net(kerastricks.layers.Centering(name="a"), scaling=False),
    ),
    (
        "batch_norm_not_updated",
        "warning",
        ["a"],
        lambda: trained(conv(use_bias=False, activation=None), layers.BatchNormalization(name="a"), layers.ReLU()),
    ),
    (
        "kernel_waits_for_data",
        "note",
        ["a"],
        lambda: net(conv(24, 3, kernel_initializer=kerastricks.initializers.PatchWhitening(), name="a")),
    ),
    ("saturating_chain", "warning", ["d0", "d1", "d2"], lambda: saturating("sigmoid", 3)),
    ("saturating_chain", "warning", [f"d{number}" for number in range(6)], lambda: saturating("tanh", 6)),
    ("missing_normalization", "note", [*(f"d{number}" for number in range(9)), "head"], lambda: plain(9)),
    (
        "missing_normalization",
        "warning",
        [*(f"d{number}" for number in range(40)), "head"],
        lambda: plain(40, kernel_initializer="glorot_normal"),
    ),
    ("dropout_rate", "warning", ["a"], lambda: net(conv(), layers.Dropout(0.9, name="a"))),
    (
        "dropouts_in_a_row",
        "warning",
        ["a", "b"],
        lambda: net(
            conv(), layers.Dropout(0.5, name="a"), layers.MaxPooling2D(), layers.SpatialDropout2D(0.5, name="b")
        ),
    ),
    (
        "dropout_before_batch_norm",
        "warning",
        ["a"],
        lambda: net(conv(), layers.Dropout(0.5, name="a"), layers.BatchNormalization()),
    ),
    ("mixing_layer", "warning", ["a"], lambda: net(layers.MixUp(name="a"), conv())),
    ("augmentation_layer", "note", ["a"], lambda: net(layers.RandomFlip(name="a"), conv())),
    ("input_not_scaled", "note", ["a"], lambda: net(conv(name="a"), scaling=False)),
    ("input_not_scaled", "warning", ["a"], lambda: net(conv(name="a"), scaling=False, dtype="uint8")),
    (
        "bias_before_batch_norm",
        "note",
        ["a"],
        lambda: net(conv(activation=None, name="a"), layers.BatchNormalization(), layers.ReLU()),
    ),
    ("uneven_size", "note", ["a"], lambda: net(conv(), layers.MaxPooling2D(name="a"), side=9)),
    ("even_kernel", "note", ["a"], lambda: net(conv(kernel_size=2, name="a"))),
    ("kernel_larger_than_input", "note", ["a"], lambda: net(conv(kernel_size=5, name="a"), side=2)),
    ("softmax_of_one_unit", "error", ["head"], lambda: net(conv(), head=("softmax", 1))),
    ("loss_expects_logits", "error", ["head"], lambda: net(conv(), loss=SPARSE(from_logits=True))),
    ("loss_expects_logits", "error", ["head"], lambda: net(conv(), loss=BINARY(from_logits=True), head=("sigmoid", 1))),
    ("loss_expects_probabilities", "error", ["head"], lambda: net(conv(), loss=SPARSE(), head=(None, 3))),
    ("softmax_with_binary_crossentropy", "warning", ["head"], lambda: net(conv(), loss="binary_crossentropy")),
    (
        "sigmoid_with_categorical_crossentropy",
        "warning",
        ["head"],
        lambda: net(conv(), loss=CATEGORICAL(), head=("sigmoid", 3)),
    ),
    (
        "categorical_loss_of_one_unit",
        "error",
        ["head"],
        lambda: net(conv(), loss="categorical_crossentropy", head=("sigmoid", 1)),
    ),
]


def faults(report):
    return [finding for finding in report.findings if finding.severity != "ok"]


@pytest.mark.parametrize(("code", "severity", "names", "build"), FAULTS)
def test_each_fault_is_one_finding(code, severity, names, build):
    report = check_model(build())
    (finding,) = faults(report)
    assert (finding.code, finding.severity, list(finding.layers)) == (code, severity, names)
    assert any(letter.isdigit() for letter in finding.evidence)
    assert finding.next_step
    assert finding.source in SOURCES.values()
    assert report.is_healthy == (severity == "note")


HEALTHY = {
    "dropout after batch norm": lambda: net(conv(), layers.BatchNormalization(), layers.Dropout(0.5), conv()),
    "dropout before a kernel": lambda: net(conv(), layers.Dropout(0.5), conv(activation=None, use_bias=False)),
    "stochastic depth": lambda: net(
        conv(), layers.Dropout(0.9, noise_shape=(None, 1, 1, 1)), layers.BatchNormalization()
    ),
    "two sigmoid layers": lambda: saturating("sigmoid", 2),
    "five tanh layers": lambda: saturating("tanh", 5),
    "selu": lambda: plain(12, activation="selu", kernel_initializer="lecun_normal"),
    "scale before batch norm": lambda: net(
        conv(activation=None, use_bias=False, kernel_initializer=UNIT), layers.BatchNormalization(), layers.ReLU()
    ),
    "frozen constant kernel": lambda: net(conv(kernel_initializer="ones", trainable=False)),
    "depthwise mean": lambda: net(layers.DepthwiseConv2D(3, padding="same", depthwise_initializer="ones"), conv()),
    "given mean and variance": lambda: net(layers.Normalization(mean=0.0, variance=1.0), conv(), scaling=False),
    "batch norm scales the input": lambda: net(layers.BatchNormalization(), conv(), scaling=False),
    "penalty of strength 0": lambda: net(conv(bias_regularizer=keras.regularizers.L2(0.0), kernel_regularizer="l2")),
    "matching losses": lambda: net(conv(), loss=SPARSE(from_logits=True), head=(None, 3)),
    "two classes": lambda: net(conv(), loss="binary_crossentropy", head=("sigmoid", 1)),
    "regression": lambda: net(conv(), loss="mse", head=(None, 1)),
}


@pytest.mark.parametrize("build", HEALTHY.values(), ids=HEALTHY)
def test_what_is_no_fault(build):
    report = check_model(build())
    assert faults(report) == []
    assert [finding.code for finding in report.findings] == ["healthy"]


def test_a_zero_head_and_a_zero_residual_branch_are_a_good_start():
    x = inputs = keras.Input((8, 8, 4))
    branch = conv(activation=None, kernel_initializer="zeros")(conv()(x))
    x = layers.Add()([x, layers.Dropout(0.1)(branch)])
    x = layers.Dense(3, "softmax", kernel_initializer="zeros")(layers.Flatten()(x))
    assert check_model(keras.Model(inputs, x), raw_pixels=False).is_healthy


def test_the_scale_is_judged_of_untrained_models_only():
    wide = keras.initializers.RandomNormal(stddev=3.0)
    assert [finding.code for finding in faults(check_model(net(conv(kernel_initializer=wide))))] == ["kernel_scale"]
    report = check_model(trained(conv(kernel_initializer=wide)))
    assert faults(report) == []
    assert report.trained == "2 numbers of 3 in head/bias have left their start"


def test_the_scale_of_he_and_xavier_is_in_the_evidence():
    (finding,) = faults(check_model(vectors(dense(64, kernel_initializer=SMALL, name="a"), inputs=200)))
    assert "200 inputs, 64 outputs and relu He gives 0.1 and Xavier 0.087" in finding.evidence
    assert "untrained models only" in finding.evidence
    assert finding.next_step == 'kernel_initializer="he_normal", of standard deviation 0.1 for a'


def test_equal_units_of_wide_and_of_thin_kernels():
    thin = vectors(dense(2000, name="thin"), inputs=1)  # of 2,000 numbers two may be equal
    assert faults(check_model(thin)) == []
    kernel = np.random.default_rng(0).normal(0, 0.03, (300, 1000)).astype("float32")
    kernel[:, 500:] = kernel[:, :500]
    wide = vectors(dense(1000, name="wide"), inputs=300)
    wide.get_layer("wide").kernel.assign(kernel)
    (finding,) = faults(check_model(wide))
    assert finding.evidence.startswith("500 different ones among 1,000 units of wide")


def test_models_inside_models_are_looked_into():
    inner = keras.Sequential([keras.Input((8, 8, 3)), conv(kernel_initializer="zeros", name="a"), conv()], name="inner")
    inputs = keras.Input((8, 8, 3))
    x = inner(layers.Rescaling(1 / 255)(inputs))
    x = layers.BatchNormalization()(layers.Dropout(0.5, name="drop")(x))
    x = layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(x))
    report = check_model(keras.Model(inputs, x))
    assert [(finding.code, finding.layers) for finding in report.findings] == [
        ("zero_kernel", ("inner/a",)),
        ("dropout_before_batch_norm", ("drop",)),
    ]


def test_layers_in_wrappers_and_pipelines_are_found():
    wrapped = kerastricks.layers.WeightNormalization(dense(bias_regularizer="l2", name="inside"), name="outside")
    (finding,) = faults(check_model(vectors(wrapped)))
    assert (finding.code, finding.layers) == ("regularized_bias", ("outside/inside",))
    pipeline = layers.Pipeline([layers.RandomFlip(name="flip"), layers.RandomContrast(0.1, name="contrast")])
    (finding,) = faults(check_model(net(pipeline, conv())))
    assert (finding.code, finding.layers) == ("augmentation_layer", ("flip", "contrast"))


def test_the_range_of_the_input_may_be_known():
    model = net(conv(name="a"), scaling=False)
    severities = [[finding.severity for finding in faults(check_model(model, raw_pixels=raw))] for raw in (True, False)]
    assert severities == [["warning"], []]


def test_of_a_subclassed_model_only_the_weights_are_checked():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden, self.head = dense(kernel_initializer="zeros", name="hidden"), layers.Dense(3, name="head")

        def call(self, x):
            return self.head(self.hidden(x))

    model = Own()
    with pytest.raises(UsageError, match="must be built"):
        check_model(model)
    model(np.zeros((1, 4), "float32"))
    assert [(finding.code, finding.layers) for finding in check_model(model).findings] == [
        ("zero_kernel", ("hidden",)),
        ("no_graph", ()),
    ]


def test_the_loss_and_the_training_are_read_from_the_file(tmp_path):
    model = net(conv(use_bias=False), loss=SPARSE(from_logits=True))
    model.save(tmp_path / "new.keras")
    report = check_model(tmp_path / "new.keras")
    assert [finding.code for finding in report.findings] == ["loss_expects_logits"]
    assert report.loss == "SparseCategoricalCrossentropy(from_logits=True)"
    assert report.trained is None
    model.optimizer.iterations.assign(7)
    model.save(tmp_path / "trained.keras")
    assert check_model(str(tmp_path / "trained.keras")).trained == "the optimizer has taken 7 steps"
    assert check_model(model).trained == "the optimizer has taken 7 steps"


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.SGD(0.0),
        lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.0)),
        lambda: keras.optimizers.SGD(0.0, gradient_accumulation_steps=4),
    ],
    ids=["plain", "loss scale", "accumulation"],
)
def test_the_steps_of_a_training_are_the_same_in_memory_and_in_the_file(tmp_path, optimizer):
    model = vectors(dense(4), inputs=2)
    model.compile(optimizer(), SPARSE(), run_eagerly=True)
    for _ in range(3):
        model.train_on_batch(np.ones((2, 2)), np.zeros(2))
    model.save(tmp_path / "model.keras")
    sign = "the optimizer has taken 3 steps"
    assert [check_model(one).trained for one in (model, str(tmp_path / "model.keras"))] == [sign, sign]


def test_each_output_has_its_own_loss():
    inputs = keras.Input((4,))
    hidden = dense()(inputs)
    outputs = [layers.Dense(3, name="logits")(hidden), layers.Dense(3, "softmax", name="classes")(hidden)]
    model = keras.Model(inputs, outputs)
    model.compile("sgd", [SPARSE(from_logits=True), SPARSE(from_logits=True)])
    (finding,) = faults(check_model(model))
    assert (finding.code, finding.layers) == ("loss_expects_logits", ("classes",))
    model.compile(
        "sgd", {"logits": SPARSE(from_logits=True), "classes": kerastricks.losses.LabelSmoothingCrossentropy()}
    )
    assert [finding.layers for finding in faults(check_model(model))] == [("classes",)]


def test_report_as_text_and_json():
    report = check_model(net(conv(kernel_initializer="zeros", name="a"), conv()))
    text = str(report)
    assert text == report.to_text()
    assert text.startswith("net: 5 layers, 275 weights, untrained, as far as its weights show\n")
    assert "input 8x8x3; output 3 x softmax (probabilities); not compiled" in text
    assert "\nerror    zero_kernel: a\n         all 108 weights are 0" in text
    record = json.loads(json.dumps(report.to_json()))
    assert record["healthy"] is False
    assert record["findings"][0]["layers"] == ["a"]
    assert set(record["findings"][0]) == {"code", "severity", "layers", "evidence", "next_step", "source"}


def test_files_that_are_no_models_are_refused_in_one_line(tmp_path):
    (tmp_path / "bad.keras").write_text("no model")
    with zipfile.ZipFile(tmp_path / "empty.keras", "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", "")
    for name in ("missing.keras", "bad.keras", "empty.keras"):
        with pytest.raises(ModelFileError, match=name) as raised:
            check_model(tmp_path / name)
        assert "\n" not in str(raised.value)


def warnings(model):
    return [str(finding) for finding in check_model(model, raw_pixels=True).findings if finding.severity in LOUD]


LOUD = ("error", "warning")
FIRST_OF_FAMILY = ("airbench", "efficientnet_lite0", "mlp", "nin", "plain_22", "plain_cnn", "resnet_18", "resnet_20")
FIRST_OF_FAMILY += ("vgg_11", "wide_resnet_16_8")


@pytest.mark.parametrize("name", FIRST_OF_FAMILY)
def test_a_family_of_the_zoo_is_healthy(name):
    spec, shape = MODELS[name]
    assert warnings(create(spec, shape, 4)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_zoo_is_healthy(name):
    spec, shape = MODELS[name]
    assert warnings(create(spec, shape, 4)) == []
    assert warnings(create(name, (32, 32, 3), 4)) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "ConvNeXtTiny", "DenseNet121", "EfficientNetB0", "EfficientNetV2B0", "InceptionResNetV2", "InceptionV3",
        "MobileNet", "MobileNetV2", "MobileNetV3Small", "NASNetMobile", "ResNet50", "ResNet50V2", "VGG16", "VGG19",
        "Xception",
    ],
)  # fmt: skip
def test_the_applications_are_healthy(name):
    assert warnings(create(f"applications/{name}", (96, 96, 3), 4)) == []
    model = getattr(keras.applications, name)(weights=None, input_shape=(96, 96, 3), classes=4)
    assert [finding.code for finding in check_model(model).findings if finding.severity in LOUD] == []
