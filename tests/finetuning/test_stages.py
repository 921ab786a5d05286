import pytest

from kerastricks.finetuning.levels import Level
from kerastricks.finetuning.stages import falling_rates, make_stages

pytestmark = pytest.mark.tensorflow_only

LEVELS = [Level(f"end{n}", (f"conv{n}", f"end{n}"), (8, 8, 4), 10) for n in range(5)]


def test_all_unfreezes_from_the_last_level_to_the_first():
    stages = make_stages("all", LEVELS, epochs=9)
    assert [stage.unfrozen for stage in stages] == [1, 3, 5]
    assert [stage.epochs for stage in stages] == [3, 3, 3]


def test_last_leaves_the_early_levels_alone():
    stages = make_stages("last", LEVELS, epochs=5)
    assert [stage.unfrozen for stage in stages] == [1, 2]
    assert [stage.epochs for stage in stages] == [2, 3]
    assert set(stages[1].rates) == {"conv4", "end4", "conv3", "end3"}


@pytest.mark.parametrize("plan", ["last", "all"])
@pytest.mark.parametrize("epochs", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_stage_has_an_epoch_and_together_they_have_all(plan, epochs, count):
    stages = make_stages(plan, LEVELS[:count], epochs)
    assert sum(stage.epochs for stage in stages) == epochs
    assert all(stage.epochs >= 1 for stage in stages)


def test_plans_with_a_head_alone_have_no_stages():
    assert make_stages("linear", LEVELS, 5) == make_stages("earlier", LEVELS, 5) == []


def test_rates_fall_by_a_factor_from_level_to_level():
    rates = falling_rates(LEVELS, unfrozen=3, decay=2.0)
    assert rates == {"conv4": 0.5, "end4": 0.5, "conv3": 0.25, "end3": 0.25, "conv2": 0.125, "end2": 0.125}
