"""Verdicts on curves whose rate is known, and on those that show none."""

import json

import numpy as np
import pytest
from PIL import Image

from kerastricks.range_test import between_edges, judge_sweeps

pytestmark = pytest.mark.tensorflow_only

RATES = np.geomspace(1e-5, 10, 100)


def curve(middle=0.1, edge=1.0):
    """Falls around one rate and rises around another."""
    x = np.log10(RATES)
    falls = 1.2 / (1 + np.exp(-4 * (x - np.log10(middle))))
    return 2.3 - falls + 3 / (1 + np.exp(-8 * (x - np.log10(edge) - 0.3)))


def sweeps(losses, noise=0.05, count=5, seed=0):
    return losses + np.random.default_rng(seed).normal(scale=noise, size=(count, len(losses)))


def test_a_clear_curve_is_answered_with_confidence():
    result = judge_sweeps(RATES, sweeps(curve()))
    clean = between_edges(RATES, curve())
    assert clean / 1.3 < result.suggestion < clean * 1.3
    assert result.interval[0] < result.suggestion < result.interval[1]
    assert 1 <= result.spread < 2
    assert result.confidence > 0.9
    assert result.reason == ""
    assert set(result.others) == {"steepest", "valley", "minimum_over_ten"}


def test_suggestions_of_other_noise_are_near():
    found = [judge_sweeps(RATES, sweeps(curve(), seed=seed)).suggestion for seed in range(10)]
    assert max(found) / min(found) < 1.6


def test_band_and_median_are_those_of_the_smoothed_sweeps():
    result = judge_sweeps(RATES, sweeps(curve()))
    assert np.all((result.band[0] <= result.median) & (result.median <= result.band[1]))
    quarter = slice(10, 60)  # away from the ends and the edge
    np.testing.assert_allclose(result.median[quarter], curve()[quarter], atol=0.06)


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.3])
def test_a_flat_curve_is_not_answered(noise):
    for seed in range(5):
        result = judge_sweeps(RATES, sweeps(np.full(100, 2.3), noise, seed=seed))
        assert result.suggestion is None
        assert result.interval is None
        assert result.spread is None
        assert result.confidence == 0
        assert result.reason.split(":")[0] in ("flat", "noisy")
    assert judge_sweeps(RATES, sweeps(np.full(100, 2.3), 0.02)).reason.startswith(
        "flat: the loss falls at no rate up to 10"
    )


def test_a_flat_curve_that_diverges_in_the_end_is_flat():
    losses = sweeps(np.full(100, 2.3), 0.02)
    losses[:, 80:] = np.nan
    losses[:, 79] = np.inf
    result = judge_sweeps(RATES, losses)
    assert result.reason.startswith("flat: the loss falls at no rate and rises from")
    assert result.suggestion is None


def test_a_fall_that_drowns_in_noise_is_not_answered():
    result = judge_sweeps(RATES, sweeps(2.3 - 0.1 * (RATES > 0.01), noise=0.8))
    assert result.suggestion is None
    assert result.reason.startswith("noisy: ")


def test_sweeps_that_disagree_are_not_answered():
    losses = np.stack([curve(10.0**-k / 3, 10.0**-k) for k in (-0.5, 0.5, 1.5, 2.5, 3.5)])
    result = judge_sweeps(RATES, sweeps(losses[0], 0.01) + losses - losses[0])
    assert result.suggestion is None
    assert result.reason.startswith(("noisy: repeated sweeps disagree", "noisy: the sweeps fall"))


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_a_divergence_at_once_is_not_answered(steps):
    losses = np.full((3, 100), np.nan)
    losses[:, :steps] = 2.3
    losses[:, steps] = np.inf
    result = judge_sweeps(RATES, losses)
    assert result.suggestion is None
    assert result.reason.startswith("diverged at once: the loss blew up")
    json.dumps(result.to_dict(), allow_nan=False)


def test_a_slow_rise_from_the_start_is_a_divergence_too():
    result = judge_sweeps(RATES, sweeps(2.3 + 2 * np.linspace(0, 1, 100), 0.02))
    assert result.reason.startswith("diverged at once: the loss rises from")


def test_an_edge_that_was_not_reached_halves_the_confidence():
    x = np.log10(RATES)
    result = judge_sweeps(RATES, sweeps(2.3 - 1.2 / (1 + np.exp(-4 * (x + 1)))))
    assert result.interval[1] == RATES[-1]
    assert result.confidence <= 0.5
    assert "raise its bounds" in result.reason


def test_one_sweep_has_no_spread_and_half_a_confidence():
    result = judge_sweeps(RATES, sweeps(curve(), count=1))
    assert result.suggestion is not None
    assert result.spread is None
    assert result.confidence == 0.5


def test_text_has_the_curve_and_the_answer():
    text = str(judge_sweeps(RATES, sweeps(curve())))
    assert text.splitlines()[0].startswith("loss at rates 1e-05 to 10  ▄")
    assert "▁" in text.splitlines()[0]
    assert "\nlearning rate 0." in text
    assert "\ninterval " in text
    assert "cannot tell: flat" in str(judge_sweeps(RATES, sweeps(np.full(100, 2.3), 0.01)))


def test_values_are_plain():
    losses = sweeps(curve())
    losses[0, 90:] = np.nan
    losses[0, 89] = np.inf
    result = judge_sweeps(RATES, losses)
    record = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert record["suggestion"] == result.suggestion
    assert record["losses"][0][88:] == [losses[0, 88], *[None] * 11]
    assert len(record["rates"]) == len(record["median"]) == len(record["band"][0]) == 100


def test_pictures_of_all_answers_are_drawn(tmp_path):
    blank = judge_sweeps(RATES, sweeps(np.full(100, 2.3), 0.0))
    gone = np.full((2, 100), np.nan)
    gone[:, 0] = np.inf
    drawn = set()
    for number, result in enumerate([judge_sweeps(RATES, sweeps(curve())), blank, judge_sweeps(RATES, gone)]):
        path = result.plot(tmp_path / f"{number}.png")
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            drawn.add(picture.convert("RGB").tobytes())
    assert len(drawn) == 3
    assert len(list(tmp_path.iterdir())) == 3  # nothing temporary is left


def test_the_former_method_is_refused_with_the_new_one():
    with pytest.raises(AttributeError, match=r"draw is now RangeTestResult\.plot"):
        judge_sweeps(RATES, sweeps(curve())).draw("lr.png")
