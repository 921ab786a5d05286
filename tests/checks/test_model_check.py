"""check_model: one deliberate fault each, and no false alarms."""

import functools
import json
import zipfile

import keras
import numpy as np
import pytest
from faulty_models import (
    FAULTS,
    HEALTHY,
    SMALL,
    SPARSE,
    UNIT,
    WILD,
    conv,
    dense,
    net,
    trained,
    vectors,
)
from layer_checks import MODELS

import kerastricks
from kerastricks.checks import check_model
from kerastricks.checks.model_finding import SOURCES
from kerastricks.errors import ModelFileError, UsageError
from kerastricks.models import create

pytestmark = pytest.mark.tensorflow_only
layers = keras.layers


def faults(report):
    return [finding for finding in report.findings if finding.severity != "ok"]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.code)
def test_each_fault_is_one_finding(fault):
    report = check_model(fault.build())
    (finding,) = faults(report)
    assert (finding.code, finding.severity, finding.layers) == (fault.code, fault.severity, tuple(fault.names))
    assert finding.source == SOURCES[fault.source]
    assert any(letter.isdigit() for letter in finding.evidence)
    assert finding.next_step
    assert report.is_healthy == (fault.severity == "note")


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


def test_the_evidence_is_of_the_worst_layer():
    model = vectors(*(dense(kernel_initializer=scale, name=name) for name, scale in (("a", UNIT), ("b", WILD))))
    (finding,) = faults(check_model(model))
    assert finding.layers == ("a", "b")
    assert finding.evidence.startswith("b: standard deviation ")
    assert finding.next_step.endswith(" for b")
    (finding,) = faults(check_model(net(conv(), layers.Dropout(0.8, name="a"), conv(), layers.Dropout(0.95, name="b"))))
    assert finding.layers == ("a", "b")
    assert finding.evidence == "rate 0.95: 5% of the units are left in a step"


HE, XAVIER, FAN_IN = (getattr(kerastricks.initializers, name)(seed=0) for name in ("HeNormal", "XavierNormal", "FanIn"))


@pytest.mark.parametrize(
    ("layer", "options", "kernel", "argument", "advised", "deviation"),
    [
        ("DepthwiseConv2D", {"activation": "relu"}, "kernel", "depthwise_initializer", HE, 0.471),
        ("DepthwiseConv2D", {"activation": "tanh"}, "kernel", "depthwise_initializer", XAVIER, 0.333),
        ("SeparableConv2D", {"activation": "relu"}, "depthwise_kernel", "depthwise_initializer", HE, 0.471),
        ("SeparableConv2D", {"activation": "relu"}, "pointwise_kernel", "pointwise_initializer", "he_normal", 0.177),
        ("Conv2DTranspose", {"activation": "selu"}, "kernel", "kernel_initializer", FAN_IN, 0.0417),
        ("Conv2D", {"activation": "relu", "groups": 2}, "kernel", "kernel_initializer", "he_normal", 0.0833),
    ],
)
def test_the_next_step_gives_the_deviation_that_it_names(layer, options, kernel, argument, advised, deviation):
    if layer != "DepthwiseConv2D":
        options = {"filters": 32, **options}
    kind = getattr(layers, layer)
    (finding,) = faults(check_model(net(conv(64), kind(kernel_size=3, name="a", **{argument: WILD}, **options))))
    said = f'"{advised}"' if isinstance(advised, str) else f"kerastricks.initializers.{type(advised).__name__}()"
    assert finding.next_step == f"{argument}={said}, of standard deviation {deviation:g} for a"
    taken = kind(kernel_size=3, **{argument: advised}, **options)
    taken.build((None, 8, 8, 64))
    assert np.std(getattr(taken, kernel)) == pytest.approx(deviation, rel=0.15)


def test_the_units_of_a_transposed_kernel_are_counted():
    model = net(conv(5), layers.Conv2DTranspose(4, 2, 2, kernel_initializer="ones", name="a"), conv())
    (finding,) = faults(check_model(model))
    assert finding.evidence == "all 80 weights of a are 1: its 4 units are equal, and get equal gradients"


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


def test_statistics_of_batch_norm_show_a_training():
    model = net(conv(use_bias=False, activation=None), layers.BatchNormalization(name="norm"), layers.ReLU())
    assert check_model(model).trained is None
    model.get_layer("norm").moving_mean.assign([0.5] * 4)
    assert check_model(model).trained == "norm has moving statistics other than 0 and 1"


def own_loss(y_true, y_pred):
    return keras.ops.mean(y_pred)


@pytest.mark.parametrize(
    ("loss", "shown", "codes"),
    [
        (
            keras.losses.categorical_crossentropy,
            "categorical_crossentropy(from_logits=False)",
            ["loss_expects_probabilities"],
        ),
        (own_loss, "own_loss", []),
    ],
)
def test_a_loss_that_is_a_function(tmp_path, loss, shown, codes):
    model = net(conv(), loss=loss, head=(None, 3))
    model.save(tmp_path / "model.keras")
    for report in map(check_model, (model, tmp_path / "model.keras")):
        assert report.loss == shown
        assert [finding.code for finding in faults(report)] == codes


def test_losses_that_no_file_can_hold_are_named():
    on_logits = functools.partial(keras.losses.categorical_crossentropy, from_logits=True)
    for loss, shown in ((on_logits, "partial"), (lambda _, y_pred: keras.ops.mean(y_pred), "<lambda>")):
        report = check_model(net(conv(), loss=loss, head=(None, 3)))
        assert report.loss == shown
        assert report.is_healthy


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


@pytest.mark.parametrize(
    ("kernel", "stride", "side", "evidence", "next_step"),
    [
        (5, 1, 2, "a: 5x5 on 2x2 maps: 9 of 25 weights", "images 2 times as wide, or kernels of 3x3"),
        (4, 4, 2, "a: 4x4 on 2x2 maps: 4 of 16 weights", "images 2 times as wide, or kernels of 2x2"),
        (3, 2, 2, "a: 3x3 on 2x2 maps: 4 of 9 weights", "images 2 times as wide, or kernels of 2x2"),
        (7, 1, 1, "a: 7x7 on 1x1 maps: 1 of 49 weights", "images 4 times as wide, or kernels of 1x1"),
    ],
)
def test_weights_that_see_only_padding_are_counted(kernel, stride, side, evidence, next_step):
    model = net(conv(kernel_size=kernel, strides=stride, name="a"), side=side)
    (finding,) = (found for found in faults(check_model(model)) if found.code == "kernel_larger_than_input")
    assert finding.evidence == f"{evidence} per channel see more than padding"
    assert finding.next_step == next_step
    image = np.ones((1, side, side, 1), "float32")
    layer = layers.Conv2D(1, kernel, stride, "same", kernel_initializer="zeros")
    layer.build(image.shape)
    seen = 0
    for index in np.ndindex(kernel, kernel):
        taps = np.zeros((kernel, kernel, 1, 1))
        taps[index] = 1
        layer.kernel.assign(taps)
        seen += bool(np.any(layer(image)))
    assert f" {seen} of " in evidence


def test_errors_come_before_notes():
    report = check_model(net(conv(name="raw"), conv(kernel_initializer="zeros", name="zero"), scaling=False))
    assert [finding.severity for finding in report.findings] == ["error", "note"]
    assert [finding.code for finding in report.findings] == ["zero_kernel", "input_not_scaled"]


def test_three_layers_are_named_and_the_others_counted():
    model = net(*(conv(kernel_initializer="zeros", name=name) for name in "abcde"))
    (finding,) = check_model(model).findings
    assert finding.layers == tuple("abcde")
    assert str(finding).startswith("error    zero_kernel: a, b, c and 2 more\n")


def test_a_healthy_model_says_what_was_checked_and_what_to_measure_next():
    model = net(conv(name="a"))
    (finding,) = check_model(model).findings
    assert (finding.severity, finding.layers) == ("ok", ())
    assert finding.evidence == "0 errors and 0 warnings in weights, structure and outputs; all 127 weights are finite"
    assert finding.next_step.startswith("kerastricks check init ")
    (finding,) = check_model(trained(conv(name="a"))).findings
    assert finding.next_step.startswith("kerastricks check activation ")


def test_open_sides_and_a_path_from_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    net(conv(), side=None).save(tmp_path / "open.keras")
    report = check_model("~/open.keras")
    assert report.inputs == ("?x?x3",)
    assert "input ?x?x3; output 3 x softmax" in report.to_text()


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
