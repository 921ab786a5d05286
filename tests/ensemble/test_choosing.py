"""Which combination is chosen, where the answer is known; fairness of the scores."""

import json

import numpy as np
import pytest
from scipy import special
from synthetic_members import synthetic_members

from kerastricks.ensemble.choosing import Candidate, Choice, choose
from kerastricks.ensemble.combination import Combination, tempered
from kerastricks.ensemble.combination_fitting import FITTED_METHODS, SCALINGS, fit_combination, out_of_fold
from kerastricks.ensemble.stacking import fit_stacking, fit_temperature, held_out_folds
from kerastricks.errors import EnsembleError
from kerastricks.metrics.bootstrap import Estimate
from kerastricks.metrics.calibration import log_losses

pytestmark = [pytest.mark.tensorflow_only, pytest.mark.filterwarnings("error")]


def names(members):
    return [f"s{number}" for number in range(members)]


def loss(combination, rows, labels):
    return float(log_losses(combination.apply(rows), labels).mean())


@pytest.mark.parametrize("method", FITTED_METHODS)
@pytest.mark.parametrize("scaling", SCALINGS)
def test_scaling_fits_the_temperatures_it_says(method, scaling):
    rows, labels = synthetic_members(3, 200, 4, uneven=0.3, sharpness=2.5)
    found = fit_combination(method, rows, labels, scaling=scaling)
    assert (found.temperatures is not None) == (scaling in ("before", "both"))
    twice = method == "best" and scaling == "both"  # a single member has been scaled already
    assert (found.temperature != 1.0) == (scaling in ("after", "both")) or twice
    if found.temperatures is not None:
        assert found.temperatures.min() > 1.5
    if method == "stack" and scaling in ("after", "both"):  # of predictions for images it was not fitted to
        exact = tempered(rows, 1.0 if found.temperatures is None else found.temperatures)
        unseen = np.log(fit_stacking(exact, labels, 0).out_of_fold)
        assert found.temperature == pytest.approx(fit_temperature(unseen, labels), rel=1e-3)
    elif scaling in ("after", "both"):
        without = fit_combination(method, rows, labels, scaling={"after": "none", "both": "before"}[scaling])
        assert loss(found, rows, labels) < loss(without, rows, labels) + 1e-9 * twice


def test_the_best_member_is_that_of_least_log_loss():
    rows, labels = synthetic_members(4, 300, 4, uneven=0.5)
    rows = rows[::-1]
    found = fit_combination("best", rows, labels)
    assert found.weights.tolist() == [0, 0, 0, 1]
    assert loss(found, rows, labels) == pytest.approx(-rows[3, np.arange(300), labels].mean())


def test_where_members_are_copies_the_single_one_is_the_answer():
    rows, labels = synthetic_members(1, 400, 4)
    choice = choose(np.repeat(rows, 4, axis=0), labels, names(4))
    assert choice.method == "best"
    assert choice.combination.weights.max() == 1
    assert choice.reason.startswith("The single best member, s0, ")


def test_where_members_err_apart_a_mean_is_the_answer():
    rows, labels = synthetic_members(5, 600, 4, noise=1.5)
    choice = choose(rows, labels, names(5))
    assert choice.method in ("mean", "geometric")
    gains = {candidate.method: candidate.gain for candidate in choice.candidates}
    assert gains[choice.method].low > 0.1
    assert "a gain of" in choice.reason
    others, other_labels = synthetic_members(5, 2_000, 4, seed=1, noise=1.5)
    single = fit_combination("best", rows, labels, scaling="both")
    assert loss(choice.combination, others, other_labels) < loss(single, others, other_labels) - 0.1


def test_where_one_member_alone_is_good_it_is_the_answer():
    rows, labels = synthetic_members(1, 400, 4, noise=0.6)
    generator = np.random.default_rng(5)
    noise = special.log_softmax(generator.normal(0, 3, (3, 400, 4)), axis=-1)
    choice = choose(np.concatenate([noise, rows]), labels, names(4))
    assert choice.best_member == "s3"
    assert choice.method == "best"
    assert choice.combination.weights.tolist() == [0, 0, 0, 1]


def test_where_members_take_classes_for_others_stacking_is_the_answer():
    rows, labels = synthetic_members(3, 1_000, 4)
    choice = choose(rows[:, :, [1, 0, 2, 3]], labels, names(3))
    assert choice.method == "stack"


def test_out_of_fold_predictions_are_of_fits_without_the_image():
    rows, labels = synthetic_members(3, 100, 3, uneven=0.3)
    found = out_of_fold(rows, labels, ["weighted"], seed=4)["weighted"]["both"]
    fold = held_out_folds(labels, 4)
    assert np.bincount(fold).min() >= 19
    for number in range(5):
        seen = fold != number
        fitted = fit_combination("weighted", rows[:, seen], labels[seen], seed=4, scaling="both")
        np.testing.assert_allclose(found[~seen], fitted.apply(rows[:, ~seen]), atol=1e-12)


def test_the_score_of_the_best_of_many_is_not_that_of_luck():
    """Members of pure chance: the best of twenty seems good on the images, and the score must know better."""
    fair, lucky = [], []
    for seed in range(20):
        generator = np.random.default_rng(seed)
        labels = generator.integers(0, 2, 60)
        rows = special.log_softmax(generator.normal(0, 1.5, (20, 60, 2)), axis=-1)
        fair.append(log_losses(out_of_fold(rows, labels, ["best"], seed)["best"]["none"], labels).mean())
        lucky.append(-rows[:, np.arange(60), labels].mean(axis=1).max())
    # The log-loss of one member is softplus of the difference of two logits, z with deviation 1.5 * sqrt(2).
    losses = np.logaddexp(0, np.random.default_rng(99).normal(0, 1.5 * np.sqrt(2), 1_000_000))
    bound = 4 * losses.std() / np.sqrt(20 * 60)
    assert abs(np.mean(fair) - losses.mean()) < bound
    assert np.mean(lucky) < losses.mean() - bound


def test_a_gain_is_measured_image_by_image():
    rows, labels = synthetic_members(5, 300, 4)
    choice = choose(rows, labels, names(5), seed=3)
    single = choice.candidates[0]
    assert single.method == "best"
    assert (single.gain.value, single.gain.low, single.gain.high) == (0, 0, 0)
    for candidate in choice.candidates:
        assert candidate.gain.value == pytest.approx(single.log_loss.value - candidate.log_loss.value)
        assert candidate.accuracy_gain.value == pytest.approx(candidate.accuracy.value - single.accuracy.value)
        # Paired: far less spread than of two independent sets of images.
        assert candidate.gain.standard_error < 0.9 * np.hypot(
            candidate.log_loss.standard_error, single.log_loss.standard_error
        )


@pytest.mark.parametrize(("own_noise", "method"), [(0.2, "best"), (0.8, "geometric")])
def test_less_than_a_hundredth_is_no_reason_to_run_more_networks(own_noise, method):
    """Two members that mostly err together; of 4,000 images even a little gain is sure."""
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 2, 4_000)
    together = (2 * labels - 1) + generator.normal(0, np.sqrt(2), 4_000)  # calibrated: 2 * mean / variance = 1
    logits = together + generator.normal(0, own_noise, (2, 4_000))
    rows = np.stack([np.zeros_like(logits), logits], axis=-1)
    choice = choose(rows, labels, names(2), methods=["best", "geometric"])
    assert choice.candidates[1].gain.low > 0
    assert choice.method == method
    assert ("less than a hundredth" in choice.reason) == (method == "best")


def test_only_the_methods_that_are_wanted_are_chosen_among():
    rows, labels = synthetic_members(3, 100, 3)
    choice = choose(rows, labels, names(3), methods=["logits", "vote"])
    assert choice.method in ("geometric", "vote")
    assert [candidate.method for candidate in choice.candidates] == ["best", "geometric", "vote"]


def test_the_seed_decides_and_json_keeps_the_combination():
    rows, labels = synthetic_members(4, 120, 3, uneven=0.3)
    once, again = (choose(rows, labels, names(4), seed=2).to_json() for _ in range(2))
    assert once == again
    kept = json.loads(json.dumps(once))
    assert [candidate["method"] for candidate in kept["candidates"]] == list(FITTED_METHODS)
    assert Combination.from_json(kept["combination"]).apply(rows).shape == (120, 3)
    assert "\n" not in kept["reason"]


def test_a_large_kernel_is_left_out_of_the_candidates_and_kept_in_the_choice():
    def written(classes):
        estimate, kernel = Estimate(0.5, 0.4, 0.6, 0.05), np.zeros((2 * classes, classes))
        stack = Combination("stack", kernel=kernel, bias=np.zeros(classes))
        candidate = Candidate("stack", "none", stack, estimate, estimate, 0.1, estimate, estimate)
        return Choice("stack", stack, [candidate], "s0", "because").to_json()

    small, large = written(70), written(71)  # 9,800 and 10,082 numbers
    assert len(small["candidates"][0]["combination"]["kernel"]) == 140
    assert large["candidates"][0]["combination"]["kernel"] is None
    assert len(large["combination"]["kernel"]) == 142
    once, twice = (len(json.dumps(written(classes)["candidates"])) for classes in (500, 1000))
    assert twice < 2.1 * once


@pytest.mark.parametrize("images", [4, 7, 20])
def test_few_images_are_enough_to_run(images):
    rows, _ = synthetic_members(3, images, 5)
    labels = np.arange(images) % 5
    assert choose(rows, labels, names(3)).method in FITTED_METHODS


def test_bad_input_is_refused():
    rows, labels = synthetic_members(3, 20, 3)
    with pytest.raises(EnsembleError, match="two members or more"):
        choose(rows[:1], labels, ["a"])
    with pytest.raises(ValueError, match=r"one for each of 3 members\. Received: 2"):
        choose(rows, labels, ["a", "b"])
    with pytest.raises(ValueError, match=r"methods must be some of .* Received: methods=\['median'\]"):
        choose(rows, labels, names(3), methods=["median"])
    with pytest.raises(EnsembleError, match="Received: 3 of 2 classes; hold out more images"):
        choose(rows[:, :3], np.array([0, 1, 0]), names(3))
    with pytest.raises(ValueError, match="method must be one of"):
        fit_combination("median", rows, labels)
    with pytest.raises(ValueError, match="scaling must be one of"):
        fit_combination("mean", rows, labels, scaling="twice")
