"""Spaces: what may be set, its order and conditions, and the configuration that values make."""

import json
import math

import pytest

from kerastricks.errors import SpaceError, UsageError
from kerastricks.search import Parameter, Space
from kerastricks.training import Config

pytestmark = pytest.mark.tensorflow_only

RATE = Parameter("learning_rate", "float", min=1e-3, max=0.1, sampling="log", default=0.02)
OPTIMIZER = Parameter("optimizer", "choice", values=("sgd(momentum=0.9)", "sgd", "adamw"))
DECAY = Parameter("weight_decay", "float", min=1e-5, max=1e-2, sampling="log", when={"optimizer": ("adamw",)})


def test_values_of_fields_and_options_are_merged():
    space = Space(
        [
            RATE,
            Parameter("model.dropout", "float", min=0, max=0.5),
            Parameter("model.widths", "choice", values=("(8,)", "(8, 16)")),
            Parameter("clip_norm", "choice", values=("none", "1.0")),
            Parameter("jit", "choice", values=(True, False)),
            Parameter("augment.strength", "int", min=0, max=1, stands_for=("", "flip")),
        ]
    )
    values = {
        "learning_rate": 0.05,
        "model.dropout": 0.25,
        "model.widths": "(8, 16)",
        "clip_norm": "none",
        "jit": 0,  # as keras-tuner gives it back
        "augment.strength": 1,
    }
    config = space.apply(values, Config(model="plain_cnn(whitening=False, dropout=0.1)", clip_norm=5.0))
    assert config.model == "plain_cnn(whitening=False, dropout=0.25, widths=(8, 16))"
    assert (config.learning_rate, config.clip_norm, config.augment) == (0.05, None, "flip")
    assert config.jit is False


def test_options_go_to_the_model_that_was_chosen():
    space = Space(
        [
            Parameter("model.dropout", "choice", values=(0.1, 0.2)),
            Parameter("model", "choice", values=("resnet_20", "mlp(depth=2)")),
        ]
    )
    assert space.apply({"model": "mlp(depth=2)", "model.dropout": 0.2}, Config()).model == "mlp(depth=2, dropout=0.2)"


def test_parameters_stand_behind_those_they_depend_on():
    smoothing = Parameter("label_smoothing", "float", min=0, max=0.2, when={"weight_decay": (0, 1)})
    decay = Parameter("weight_decay", "choice", values=(0, 1), when={"optimizer": ("adamw",)})
    assert [one.name for one in Space([RATE, smoothing, decay, OPTIMIZER])] == [
        "learning_rate",
        "optimizer",
        "weight_decay",
        "label_smoothing",
    ]


def test_what_hangs_on_something_inactive_is_inactive():
    smoothing = Parameter("label_smoothing", "float", min=0, max=0.2, when={"weight_decay": (0, 1)})
    decay = Parameter("weight_decay", "choice", values=(0, 1), when={"optimizer": ("adamw",)})
    space = Space([OPTIMIZER, decay, smoothing])
    values = {"optimizer": "sgd", "weight_decay": 1, "label_smoothing": 0.1}
    assert space.active(values) == {"optimizer": "sgd"}
    assert space.active({**values, "optimizer": "adamw"}) == {**values, "optimizer": "adamw"}
    assert space.apply(values, Config(label_smoothing=0.05)).label_smoothing == 0.05


def test_a_name_in_a_condition_means_all_specs_of_that_name():
    other = Parameter("optimizer", "choice", values=("sgd(momentum=0.9)", "sgd(momentum=0.5)", "adamw"))
    decay = Parameter("weight_decay", "choice", values=(0, 1), when={"optimizer": ("sgd",)})
    assert Space([other, decay])["weight_decay"].when["optimizer"] == ("sgd(momentum=0.9)", "sgd(momentum=0.5)")
    # A value that is the name itself is meant alone.
    assert Space([OPTIMIZER, decay])["weight_decay"].when["optimizer"] == ("sgd",)


def test_an_active_value_that_is_missing_is_named():
    with pytest.raises(SpaceError, match="weight_decay: has no value, and is active"):
        Space([OPTIMIZER, DECAY]).active({"optimizer": "adamw"})


def test_values_outside_are_refused_and_those_of_keras_tuner_left_out():
    space = Space([RATE])
    assert space.active({"learning_rate": 0.01, "tuner/epochs": 3}) == {"learning_rate": 0.01}
    with pytest.raises(SpaceError, match=r"learning_rate: is 0.001-0.1 log. Received: 0.2"):
        space.active({"learning_rate": 0.2})
    with pytest.raises(SpaceError, match="'learning_rates': did you mean learning_rate"):
        space.active({"learning_rates": 0.01})


def test_the_space_comes_back_from_json_and_lines_are_equal_for_equal_spaces():
    space = Space([RATE, OPTIMIZER, DECAY, Parameter("batch_size", "int", min=32, max=128, step=2, sampling="log")])
    text = json.dumps(space.to_dict())
    assert Space.from_dict(json.loads(text)) == space
    assert json.dumps(Space.from_dict(json.loads(text)).to_dict()) == text


def test_differences_are_told():
    wide = Parameter("learning_rate", "float", min=1e-3, max=1, sampling="log")
    assert Space([wide, OPTIMIZER]).differences(Space([RATE, OPTIMIZER])) == [
        "learning_rate: 0.001-0.1 log then, 0.001-1 log now"
    ]
    assert Space([RATE]).differences(Space([RATE, OPTIMIZER])) == [
        "optimizer: sgd(momentum=0.9), sgd, adamw then, not searched now"
    ]
    started = Parameter("learning_rate", "float", min=1e-3, max=0.1, sampling="log", default=0.03)
    assert Space([started]).differences(Space([RATE])) == ["learning_rate: default 0.02 then, default 0.03 now"]
    assert Space([OPTIMIZER, RATE]).differences(Space([RATE, OPTIMIZER])) == [
        "order: learning_rate, optimizer then, optimizer, learning_rate now"
    ]
    assert Space([RATE, OPTIMIZER]).differences(Space([RATE, OPTIMIZER])) == []


def test_hyperparameters_draw_the_values_of_the_space():
    space = Space(
        [
            RATE,
            OPTIMIZER,
            DECAY,
            Parameter("batch_size", "int", min=32, max=128, step=2, sampling="log"),
            Parameter("jit", "choice", values=(False, True)),
            Parameter("clip_norm", "fixed", values=(1.0,)),
        ]
    )
    hyperparameters = space.to_hyperparameters()
    assert hyperparameters.values == space.start()
    assert hyperparameters.values["learning_rate"] == 0.02
    by_name = {one.name: one for one in hyperparameters.space}
    assert list(by_name) == [one.name for one in space]
    assert {by_name["batch_size"].random_sample(seed) for seed in range(50)} == {32, 64, 128}
    rates = [by_name["learning_rate"].random_sample(seed) for seed in range(2000)]
    assert 1e-3 <= min(rates) <= max(rates) <= 0.1
    # Each of the two decades has half of the draws: 1000 +- 4.5 sqrt(2000 / 4).
    assert abs(sum(rate < 0.01 for rate in rates) - 1000) < 4.5 * math.sqrt(500)


def test_keras_tuner_sees_conditions_on_several_and_on_conditional_parents():
    smoothing = Parameter(
        "label_smoothing", "choice", values=(0.0, 0.1), when={"weight_decay": (1,), "batch_size": (64,)}
    )
    decay = Parameter("weight_decay", "choice", values=(0, 1), when={"optimizer": ("adamw",)})
    space = Space([OPTIMIZER, Parameter("batch_size", "choice", values=(32, 64)), decay, smoothing])
    hyperparameters = space.to_hyperparameters()
    for optimizer in ("sgd", "adamw"):
        for batch_size in (32, 64):
            values = {"optimizer": optimizer, "batch_size": batch_size}
            hyperparameters.values = dict(values)
            assert hyperparameters.is_active("weight_decay") == (optimizer == "adamw")
            hyperparameters.values["weight_decay"] = 1
            expected = "label_smoothing" in space.active({**values, "weight_decay": 1, "label_smoothing": 0.1})
            if optimizer == "adamw":
                assert hyperparameters.is_active("label_smoothing") == expected == (batch_size == 64)
            else:
                assert not expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "float", "min": 0.1, "max": 0.1}, "min must be below max. Received: 'min=0.1, max=0.1'"),
        ({"kind": "float", "min": 0.0, "max": 0.1, "sampling": "log"}, "min must be above 0 with sampling='log'"),
        ({"kind": "float", "min": 0.1, "max": math.inf}, "max must be a finite number"),
        ({"kind": "float", "min": 0.1}, "max must be a finite number"),
        ({"kind": "int", "min": 1.5, "max": 3}, "min must be an integer"),
        ({"kind": "float", "min": 1, "max": 2, "sampling": "logarithmic"}, "sampling must be one of linear, log"),
        ({"kind": "int", "min": 1, "max": 3, "step": 4}, "step must be above 0, and at most 2"),
        ({"kind": "float", "min": 1, "max": 8, "step": 1, "sampling": "log"}, "step must be above 1, and at most 8"),
        ({"kind": "choice"}, "values must hold at least one"),
        ({"kind": "choice", "values": (1, 2, 1)}, "values must differ, and one is there twice. Received: 1"),
        ({"kind": "choice", "values": (1, "a")}, "values must be of one type"),
        ({"kind": "choice", "values": (None, 1)}, "values must be numbers, text, true or false"),
        ({"kind": "fixed", "values": (1, 2)}, "a fixed parameter has one value"),
        ({"kind": "choice", "values": (1, 2), "default": 3}, "default must be one of its values. Received: 3"),
        ({"kind": "normal"}, "kind must be one of float, int, choice, fixed"),
    ],
)
def test_parameters_that_cannot_be_drawn_are_refused(arguments, message):
    with pytest.raises(SpaceError) as raised:
        Parameter("learning_rate", **arguments)
    assert str(raised.value).startswith("learning_rate: ")
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ([Parameter("lerning_rate", "fixed", values=(1.0,))], "'lerning_rate': did you mean learning_rate"),
        ([Parameter("seed", "choice", values=(1, 2))], "seed: cannot be searched"),
        ([RATE, RATE], "learning_rate: is there twice"),
        ([DECAY], "weight_decay: when: no parameter is called 'optimizer'"),
        ([RATE, Parameter("clip_norm", "fixed", values=(1.0,), when={"learning_rate": (0.1,)})], "range of numbers"),
        (
            [OPTIMIZER, Parameter("clip_norm", "fixed", values=(1.0,), when={"optimizer": ("adamv",)})],
            "clip_norm: when: optimizer never takes 'adamv': did you mean adamw",
        ),
        (
            [
                Parameter("batch_size", "choice", values=(1, 2), when={"base_batch": (1,)}),
                Parameter("base_batch", "choice", values=(1, 2), when={"batch_size": (1,)}),
            ],
            "form a circle: batch_size -> base_batch -> batch_size",
        ),
        (
            [
                Parameter("augment", "choice", values=("", "flip")),
                Parameter("augment.strength", "choice", values=(0, 1), stands_for=("", "flip")),
            ],
            "take one of the two",
        ),
    ],
)
def test_spaces_that_cannot_be_are_refused(parameters, message):
    with pytest.raises(SpaceError) as raised:
        Space(parameters)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_values_that_the_configuration_refuses_are_refused():
    with pytest.raises(UsageError, match="label_smoothing must be in"):
        Space([Parameter("label_smoothing", "choice", values=(0.0, 1.5))]).apply({"label_smoothing": 1.5}, Config())
