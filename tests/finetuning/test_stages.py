import pytest

from kerastricks.finetuning.levels import Level
from kerastricks.finetuning.stages import falling_rates, make_stage

pytestmark = pytest.mark.tensorflow_only

LEVELS = [Level(f"end{n}", (f"conv{n}", f"end{n}"), (8, 8, 4), 10) for n in range(5)]


def test_all_moves_every_level():
    stage = make_stage("all", LEVELS)
    assert stage.unfrozen == 5
    assert set(stage.lr_multipliers) == {layer for level in LEVELS for layer in level.layers}
    assert not stage.freezes_norms
    # The slowest level learns with more than the rate of the configuration, a quarter of the head's or more.
    assert min(stage.lr_multipliers.values()) * stage.rate >= 1.0
    assert min(stage.lr_multipliers.values()) >= 0.25


def test_last_leaves_the_early_levels_alone():
    stage = make_stage("last", LEVELS)
    assert stage.unfrozen == 2
    assert stage.rate == 1.0
    assert stage.freezes_norms
    assert set(stage.lr_multipliers) == {"conv4", "end4", "conv3", "end3"}
    assert make_stage("last", LEVELS[:1]).unfrozen == 1


def test_random_weights_have_one_rate():
    assert make_stage("scratch", LEVELS).lr_multipliers == {}


def test_plans_with_a_head_alone_have_no_stage():
    assert make_stage("linear", LEVELS) is make_stage("earlier", LEVELS) is None


def test_rates_fall_by_a_factor_from_level_to_level():
    rates = falling_rates(LEVELS, unfrozen=3, decay=2.0)
    assert rates == {"conv4": 0.5, "end4": 0.5, "conv3": 0.25, "end3": 0.25, "conv2": 0.125, "end2": 0.125}
