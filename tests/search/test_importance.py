"""Importance of each value, against sums over the whole grid."""

import itertools
import random

import numpy as np
import pytest
from made_trials import made_trials, trial
from sklearn.tree import DecisionTreeRegressor

from kerastricks.search.importance import LEAST_TRIALS, importance_of, marginal_shares

pytestmark = pytest.mark.tensorflow_only


def shares_over_the_grid(tree, levels):
    """Functional ANOVA by its definition: means over all points, weighted."""
    points = np.array(list(itertools.product(*(places for places, _ in levels))))
    weights = np.array([np.prod(row) for row in itertools.product(*(weight for _, weight in levels))])
    values = tree.predict(points)
    mean = (weights * values).sum()
    variance = (weights * (values - mean) ** 2).sum()
    shares = []
    for column, (places, _) in enumerate(levels):
        explained = 0.0
        for place in places:
            here = points[:, column] == place
            marginal = (weights[here] * values[here]).sum() / weights[here].sum()
            explained += weights[here].sum() * (marginal - mean) ** 2
        shares.append(explained / variance)
    return np.array(shares)


def test_the_shares_of_a_tree_are_those_over_the_whole_grid():
    draw = np.random.default_rng(0)
    x = draw.random((200, 3))
    y = 3 * x[:, 0] + np.sin(7 * x[:, 1]) * x[:, 2] + 0.1 * draw.standard_normal(200)
    tree = DecisionTreeRegressor(min_samples_leaf=3, random_state=0).fit(x, y)
    levels = []
    for count in (7, 11, 5):
        weight = draw.random(count)
        levels.append(((np.arange(count) + 0.5) / count, weight / weight.sum()))
    np.testing.assert_allclose(marginal_shares(tree.tree_, levels), shares_over_the_grid(tree, levels), atol=1e-10)


def test_a_tree_without_a_split_has_no_shares():
    tree = DecisionTreeRegressor().fit(np.zeros((5, 1)), np.ones(5))
    assert marginal_shares(tree.tree_, [(np.array([0.5]), np.array([1.0]))]) is None


def four_values(count, objective):
    draw = random.Random(1)
    records = []
    for number in range(count):
        values = {
            "dropout": draw.uniform(0, 0.5),
            "schedule": draw.choice(["constant", "step", "cosine"]),
            "learning_rate": 10 ** draw.uniform(-5, 0),
            "batch_size": draw.choice([32, 64, 128]),
        }
        records.append(trial(f"{number:03}", objective(values), **values))
    return records


@pytest.mark.parametrize(
    ("name", "objective"),
    [
        ("learning_rate", lambda values: (np.log10(values["learning_rate"]) + 2) ** 2),
        ("schedule", lambda values: {"constant": 3.0, "step": 1.0, "cosine": 2.0}[values["schedule"]]),
        ("dropout", lambda values: 1e6 * values["dropout"] ** 8),
    ],
)
def test_the_only_value_that_matters_has_nearly_all(name, objective):
    found = importance_of(four_values(60, objective))
    assert found.shares[0].name == name
    assert found.shares[0].low > 0.8
    assert all(share.high < 0.1 for share in found.shares[1:])
    assert found.fit > 0.8
    assert found.note == ""


def test_two_equal_values_share_and_their_product_is_what_remains():
    found = importance_of(
        four_values(400, lambda values: np.sign(values["dropout"] - 0.25) * np.sign(values["batch_size"] - 100))
    )
    assert found.rest > 0.5
    assert {share.name for share in found.shares[:2]} == {"dropout", "batch_size"}


def test_noise_is_called_noise():
    draw = random.Random(0)
    found = importance_of(four_values(40, lambda values: draw.gauss(0, 1)))
    assert found.fit <= 0
    assert "noise" in found.note


def test_intervals_hold_the_share_and_sum_with_the_rest_to_one():
    found = importance_of(made_trials(60))
    assert all(0 <= share.low <= share.high <= 1 for share in found.shares)
    assert sum(share.share for share in found.shares) + found.rest == pytest.approx(1, abs=1e-9)
    assert found.shares[0].name == "learning_rate"


def test_a_value_that_is_there_only_sometimes_is_told_from_one_that_matters():
    draw = random.Random(3)
    records = []
    for number in range(80):
        values = {"schedule": draw.choice(["constant", "cosine"]), "dropout": draw.random()}
        if values["schedule"] == "cosine":
            values["warm_up_epochs"] = draw.choice([0, 1, 2, 3])
        score = values.get("warm_up_epochs", 1.5) + draw.gauss(0, 0.05)
        records.append(trial(f"{number:02}", score, **values))
    found = importance_of(records)
    assert found.shares[0].name == "warm_up_epochs"
    # Not all: the schedule says as well whether it is there.
    assert found.shares[0].share > 0.6 > 3 * max(share.share for share in found.shares if share.name == "dropout")


@pytest.mark.parametrize(
    ("records", "note"),
    [
        ([], f"Needs {LEAST_TRIALS} trials"),
        (made_trials(5), f"Needs {LEAST_TRIALS} trials"),
        ([trial(f"{i}", None, "failed", learning_rate=0.1 * i) for i in range(30)], "so far: 0"),
        ([trial(f"{i}", float("nan"), learning_rate=0.1 * i) for i in range(30)], "so far: 0"),
        ([trial(f"{i}", 1.0, learning_rate=0.1 * i) for i in range(30)], "the same score"),
        ([trial(f"{i}", float(i), learning_rate=0.1) for i in range(30)], "the same values"),
        ([trial(f"{i}", float(i)) for i in range(30)], "the same values"),
    ],
)
def test_what_cannot_be_told_is_not_told(records, note):
    found = importance_of(records)
    assert found.shares == ()
    assert note in found.note


def test_few_trials_are_said_to_be_few():
    assert "Only" in importance_of(four_values(20, lambda values: values["dropout"])).note


def test_the_answer_is_the_same_each_time():
    assert importance_of(made_trials(30)) == importance_of(made_trials(30))
