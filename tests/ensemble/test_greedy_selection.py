"""Greedy selection against a plain loop over members, and its bags by their distribution."""

import numpy as np
import pytest
from synthetic_members import synthetic_members

from kerastricks.ensemble.weights import convex_weights, greedy_selection

pytestmark = [pytest.mark.tensorflow_only, pytest.mark.filterwarnings("error")]


def score(rows, labels, taken, metric):
    """What is to be minimised, of members taken with replacement."""
    mean = np.mean([np.exp(rows[member]) for member in taken], axis=0)
    log_loss = -np.mean(np.log([mean[i, label] for i, label in enumerate(labels)]))
    return log_loss if metric == "log_loss" else (float(np.mean(mean.argmax(axis=1) != labels)), log_loss)


def reference(rows, labels, rounds, start, metric):
    """Caruana et al. 2004, sections 2.1 and 2.2, without bags."""
    members = range(len(rows))
    order = sorted(members, key=lambda member: score(rows, labels, [member], metric))
    if start is None:
        start = min(range(1, len(rows) + 1), key=lambda n: score(rows, labels, order[:n], metric))
    taken = list(order[:start])
    path = [list(taken)] if taken else []
    for _ in range(rounds):
        taken.append(min(members, key=lambda member: score(rows, labels, [*taken, member], metric)))
        path.append(list(taken))
    best = min(path, key=lambda some: score(rows, labels, some, metric))
    return np.bincount(best, minlength=len(rows)) / len(best)


@pytest.mark.parametrize("metric", ["log_loss", "accuracy"])
@pytest.mark.parametrize("start", [None, 0, 2])
def test_without_bags_it_is_the_loop(metric, start):
    rows, labels = synthetic_members(6, 120, 4, uneven=0.3, noise=1.5)
    found = greedy_selection(rows, labels, rounds=12, bag_fraction=1.0, sorted_start=start, metric=metric)
    np.testing.assert_allclose(found, reference(rows, labels, 12, start, metric), atol=1e-12)


def test_a_bag_is_searched_by_itself():
    rows, labels = synthetic_members(6, 120, 4, uneven=0.3, noise=1.5)
    found = greedy_selection(rows, labels, rounds=8, bags=1, bag_fraction=0.5)
    bag = np.flatnonzero(found)
    assert 1 <= len(bag) <= 3
    alone = [
        reference(rows[list(some)], labels, 8, None, "log_loss")
        for some in [(a, b, c) for a in range(6) for b in range(a + 1, 6) for c in range(b + 1, 6)]
        if set(bag) <= set(some)
    ]
    assert any(np.allclose(sorted(weights[weights > 0]), sorted(found[bag])) for weights in alone)


def test_bags_spread_the_weights():
    """Each member is in half of the bags, and of twins that only bags tell apart each gets its share."""
    rows, labels = synthetic_members(1, 120, 4)
    twins = np.repeat(rows, 10, axis=0)
    bags = 4_000
    found = greedy_selection(twins, labels, rounds=0, bags=bags, sorted_start=1)
    assert found.sum() == pytest.approx(1)
    # The first of a bag of five is taken: member m with chance C(9 - m, 4) / C(10, 5).
    chances = np.array([126, 70, 35, 15, 5, 1, 0, 0, 0, 0]) / 252
    assert np.abs(found - chances).max() < 5 * np.sqrt(0.25 / bags)


@pytest.mark.parametrize(("members", "options"), [(2, (1, 1.0)), (8, (1, 1.0)), (200, (1, 1.0)), (201, (20, 0.5))])
def test_bags_are_for_libraries_of_hundreds(members, options):
    rows, labels = synthetic_members(members, 40, 3, uneven=0.02)
    bags, fraction = options
    expected = greedy_selection(rows, labels, rounds=3, bags=bags, bag_fraction=fraction)
    np.testing.assert_array_equal(greedy_selection(rows, labels, rounds=3), expected)
    half = greedy_selection(rows, labels, rounds=3, bags=20, bag_fraction=0.5)
    np.testing.assert_array_equal(greedy_selection(rows, labels, rounds=3, bags=20), half)
    np.testing.assert_array_equal(greedy_selection(rows, labels, rounds=3, bag_fraction=0.5), half)


def test_with_few_unequal_members_it_is_near_the_best_weights():
    """On new images: 20 bags of half of the members take too much of the poor ones."""
    found = {"greedy": [], "bags": [], "weighted": []}
    for seed in range(4):
        rows, labels = synthetic_members(8, 1_200, 5, seed=seed, uneven=0.5)
        seen, others = rows[:, :400], rows[:, 400:]
        weights = {
            "greedy": greedy_selection(seen, labels[:400]),
            "bags": greedy_selection(seen, labels[:400], bags=20),
            "weighted": convex_weights(seen, labels[:400]),
        }
        for name, weight in weights.items():
            chances = np.einsum("m,mnk->nk", weight, np.exp(others))
            found[name].append(-np.log(chances[np.arange(800), labels[400:]]).mean())
    mean = {name: np.mean(losses) for name, losses in found.items()}
    assert mean["greedy"] < mean["bags"] - 0.005
    assert abs(mean["greedy"] - mean["weighted"]) < 0.005


def test_the_seed_decides():
    rows, labels = synthetic_members(8, 100, 4, uneven=0.1)
    once = greedy_selection(rows, labels, bags=3, seed=1)
    assert (once == greedy_selection(rows, labels, bags=3, seed=1)).all()
    assert (once != greedy_selection(rows, labels, bags=3, seed=2)).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "f1"}, "metric must be one of log_loss, accuracy. Received: metric='f1'"),
        ({"rounds": -1}, "rounds=-1"),
        ({"bags": 0}, "bags=0"),
        ({"bag_fraction": 0}, "bag_fraction must be above 0"),
        ({"sorted_start": -1}, "sorted_start=-1"),
        ({"rounds": 0, "sorted_start": 0}, "nothing would be taken"),
    ],
)
def test_bad_options_are_refused(options, message):
    rows, labels = synthetic_members(2, 20, 4)
    with pytest.raises(ValueError, match=message):
        greedy_selection(rows, labels, **options)
