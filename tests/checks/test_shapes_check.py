"""check_shapes: each piece of advice, broken on purpose."""

import keras
import pytest

from kerastricks.checks import check_shapes
from kerastricks.errors import UsageError
from kerastricks.models import create

pytestmark = pytest.mark.tensorflow_only

layers = keras.layers


def report(*stack, side=32):
    return check_shapes(keras.Sequential([keras.Input((side, side, 3)), *stack], name="net"))


def conv(**options):
    return layers.Conv2D(4, **{"kernel_size": 3, "padding": "same", **options})


def test_what_follows_the_advice_is_fine():
    found = report(conv(), layers.MaxPooling2D(), conv(kernel_size=1), layers.AveragePooling2D(2), conv())
    assert found.findings == ()
    assert found.verdicts == (
        "fine: 32x32 pixels divide evenly all the way; 3x3 and 1x1 filters; stride 1; zero padding; "
        "2x2 pooling of stride 2",
    )


@pytest.mark.parametrize(
    ("stack", "side", "about", "minor", "words"),
    [
        (
            [layers.MaxPooling2D(name="a"), layers.MaxPooling2D(name="b")],
            30,
            "size",
            False,
            "15 pixels are not divisible by 2 (remainder 1)",
        ),
        ([conv(kernel_size=5, name="a")], 32, "filter", False, "25 weights for each pair of channels, 2 layers of 3x3"),
        ([conv(kernel_size=7, name="a")], 32, "filter", False, "49 weights for each pair of channels, 3 layers of 3x3"),
        ([conv(kernel_size=2, name="a")], 32, "filter", False, "without a centre"),
        ([conv(kernel_size=(1, 7), name="a")], 32, "filter", True, "1 of 1 convolutions is not square"),
        ([conv(strides=2, name="a")], 32, "stride", True, "1 of 1 convolutions has a stride above 1"),
        ([conv(kernel_size=1, strides=2, name="a")], 32, "stride", False, "skip pixels unseen"),
        ([conv(padding="valid", name="a")], 32, "padding", False, "maps shrink"),
        ([layers.MaxPooling2D(3, 2, padding="same", name="a")], 32, "pooling", True, "3x3 of stride 2"),
    ],
)
def test_each_deviation_is_one_finding(stack, side, about, minor, words):
    (finding,) = report(*stack, side=side).findings
    assert (finding.about, finding.minor, finding.layers) == (about, minor, (stack[-1].name,))
    assert words in finding.evidence
    assert finding.advice
    assert str(finding).startswith(about)


def test_the_size_that_is_advised_is_the_nearest():
    pool = [layers.MaxPooling2D() for _ in range(2)]
    for side, advice in ((30, "32 pixels"), (250, "224 pixels"), (1001, "512 pixels")):
        assert advice in report(*pool, side=side).findings[0].advice
    # The image is right, and a layer spoils it.
    found = report(conv(padding="valid"), layers.MaxPooling2D(), layers.MaxPooling2D(), side=32)
    assert {finding.about: finding.advice for finding in found.findings}["size"].startswith("zero padding")


@pytest.mark.parametrize(
    "stack",
    [
        [layers.DepthwiseConv2D(5, strides=2, padding="same")],
        [layers.SeparableConv2D(4, 3, padding="same")],
        [layers.ZeroPadding2D(1), conv(padding="valid")],
        [conv(), layers.GlobalMaxPooling2D()],
        [conv(), layers.AveragePooling2D(3, strides=1, padding="same")],
        [layers.Flatten(), layers.Dense(3)],
    ],
)
def test_what_is_no_deviation(stack):
    assert report(*stack).findings == ()


def test_layers_are_grouped_and_counted_and_the_minor_come_last():
    stack = [conv(kernel_size=5, name=f"conv{number}") for number in range(6)]
    found = report(layers.MaxPooling2D(3, 2, padding="same"), *stack, conv())
    assert [(finding.about, finding.minor) for finding in found.findings] == [("filter", False), ("pooling", True)]
    assert "6 of 7 convolutions are 5x5" in found.to_text()
    assert "(conv0, conv1, conv2 and 3 more)" in found.to_text()


def test_a_network_of_the_zoo():
    found = check_shapes(create("resnet_50(variant='original', width=4)", (224, 224, 3), 4))
    assert [(finding.about, finding.minor) for finding in found.findings] == [
        ("filter", False),
        ("stride", False),
        ("stride", True),
        ("pooling", True),
    ]
    assert found.findings[1].layers[0].startswith("stage2_block1")
    # A 1x1 in the first convolution and one in the shortcut, in each of three stages.
    assert len(found.findings[1].layers) == 6
    plain = check_shapes(create("plain_cnn(widths=(4, 4), whitening=False)", (32, 32, 3), 4))
    assert plain.findings == ()


def test_models_inside_models_are_looked_into():
    inner = keras.Sequential([keras.Input((None, None, 3)), conv(kernel_size=5, name="wide")], name="inner")
    assert report(inner).findings[0].layers == ("inner/wide",)


def test_report_as_text_and_json():
    found = report(conv(kernel_size=5, name="wide"))
    assert found.to_text().startswith("net: shapes for 32x32x3\n\nfilter: 1 of 1 convolutions is 5x5: ")
    record = found.to_json()
    assert record["findings"][0]["layers"] == ["wide"]
    assert record["fine"][0] == "32x32 pixels divide evenly all the way"
    inputs = keras.Input((None, None, 3))
    assert check_shapes(keras.Model(inputs, conv()(inputs))).input == "?x?x3"


def test_other_models_are_refused():
    class Own(keras.Model):
        pass

    with pytest.raises(UsageError, match="Received: Own"):
        check_shapes(Own())
