"""The default space: what it holds for which model, and where it starts."""

import pytest

from kerastricks.augment import sequence
from kerastricks.augment.op import ImageSpec
from kerastricks.data import PixelStatistics
from kerastricks.search import DataFacts, default_space
from kerastricks.search.space.checks import check_space
from kerastricks.search.space.defaults import augment_strength
from kerastricks.training import Config

pytestmark = pytest.mark.tensorflow_only

FACTS = DataFacts(50_000, (32, 32, 3), 10, "flip | pad_crop(4)")


def names(space):
    return [parameter.name for parameter in space]


def test_the_learning_rate_comes_first_and_the_order_is_that_of_the_documentation():
    assert names(default_space(Config(model="resnet_20"), FACTS)) == [
        "learning_rate",
        "batch_size",
        "weight_decay",
        "schedule",
        "model.dropout",
        "model.activation",
        "model.initializer",
        "augment.strength",
        "model.width",
    ]


@pytest.mark.parametrize(
    ("model", "size"),
    [
        ("resnet_20", "8, 16, 24"),
        ("wide_resnet_16_8", "4, 8, 12"),
        ("efficientnet_lite0", "0.5, 1.0, 1.5"),
        ("mlp(width=10)", "5, 10, 15"),
        ("plain_cnn", "(32, 96, 128), (64, 192, 256), (96, 288, 384)"),
        ("plain_cnn(widths=(8,))", "(4,), (8,), (12,)"),
        ("airbench", "(32, 128, 128), (64, 256, 256), (96, 384, 384)"),
        ("applications/MobileNetV2", "0.5, 0.75, 1.0"),
        ("nin", None),
        ("applications/ResNet50", None),
    ],
)
def test_the_size_is_what_the_family_has(model, size):
    space = default_space(Config(model=model), FACTS)
    found = [str(one) for one in space if one.name in ("model.width", "model.widths", "model.alpha")]
    assert found == ([] if size is None else [size])


def test_what_a_model_does_not_have_is_left_out():
    space = default_space(Config(model="applications/ResNet50"), FACTS)
    assert "model.activation" not in space
    assert "model.dropout" in space
    assert not any(name.startswith("model") for name in names(default_space(Config(), FACTS, own_model=True)))


@pytest.mark.parametrize("model", ["plain_cnn(widths=(4,))", "resnet_20(width=4)", "mlp(depth=1)", "nin"])
def test_every_value_can_be_used(model):
    base = Config(model=model)
    check_space(default_space(base, FACTS), base, FACTS)


@pytest.mark.parametrize("optimizer", ["sgd(momentum=0.9)", "adam", "adamw(beta_2=0.99)", "lion", "rmsprop"])
def test_it_starts_from_the_configuration(optimizer):
    base = Config(optimizer=optimizer, learning_rate=0.002, weight_decay=0.02, batch_size=96)
    space = default_space(base, FACTS)
    config = space.apply(space.start(), base)
    assert (config.learning_rate, config.weight_decay, config.batch_size) == (0.002, 0.02, 96)
    assert (config.schedule, config.augment) == (base.schedule, "flip | pad_crop(4)")


def test_a_rate_outside_what_is_usual_widens_the_range():
    assert str(default_space(Config(learning_rate=4.0), FACTS)["learning_rate"]) == "0.001-4 log"
    assert default_space(Config(weight_decay=0.0), FACTS)["weight_decay"].start == 1e-4


def test_the_interval_of_the_range_test_is_widened_by_3():
    parameter = default_space(Config(learning_rate=5.0), FACTS, (0.03, 0.3))["learning_rate"]
    assert (parameter.min, parameter.max, parameter.start) == (0.01, 0.9, 0.9)


@pytest.mark.parametrize(("images", "sizes"), [(50_000, "64, 128, 256"), (1100, "64, 128"), (300, None)])
def test_batches_leave_an_epoch_its_steps(images, sizes):
    space = default_space(Config(), DataFacts(images, (32, 32, 3), 10, ""))
    assert (str(space["batch_size"]) if "batch_size" in space else None) == sizes


@pytest.mark.parametrize("shape", [(32, 32, 3), (28, 28, 1), (8, 8, 1)])
def test_strengths_fit_the_images(shape):
    image_spec = ImageSpec(shape, 10, PixelStatistics(shape[-1]))
    specs = augment_strength("pad_crop(1)", shape)
    assert specs[:2] == ("", "pad_crop(1)")
    assert len(specs) == 4
    for spec in specs:
        sequence.read(spec, image_spec)


@pytest.mark.parametrize(
    ("light", "second", "third"),
    [
        ("flip", "flip | color_jitter(0.2, 0.2, 0.2, 0.0)", "flip | randaugment(1, 9) | cutout(8)"),
        ("flip | mixup(0.2)", "flip | color_jitter(0.2, 0.2, 0.2, 0.0) | mixup(0.2)", None),
        ("hsv | flip", "hsv | flip | cutout(8)", None),
        ("", "pad_crop(4) | color_jitter(0.2, 0.2, 0.2, 0.0)", None),
    ],
)
def test_what_is_there_is_not_added_again(light, second, third):
    specs = augment_strength(light, (32, 32, 3))
    assert specs[2] == second
    if third is not None:
        assert specs[3] == third


def test_one_is_what_the_configuration_asks_for():
    space = default_space(Config(augment="hsv"), FACTS)
    assert space["augment.strength"].start == 1
    assert space["augment.strength"].stands_for[1] == "hsv"
