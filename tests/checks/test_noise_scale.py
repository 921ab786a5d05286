"""The estimates of the noise scale by their expectations, and the report."""

import itertools
import json
import math

import numpy as np
import pytest

from kerastricks.checks import BatchSizeReport
from kerastricks.checks.noise_scale import check_sizes, gradient_noise, squared_gradient
from kerastricks.errors import UsageError

pytestmark = pytest.mark.tensorflow_only


def report_of(small_squares, large_squares, small=4, large=16, images=10_000):
    return BatchSizeReport("net", images, 1.5, small, large, tuple(small_squares), tuple(large_squares))


def drawn(repeats, seed, small=4, large=16, dimensions=50, norm=0.5, noise=20.0):
    """Squared norms of gradients of Gaussian noise: |G|^2 = norm^2, tr(Sigma) = noise."""
    random = np.random.default_rng(seed)
    true = np.zeros(dimensions)
    true[0] = norm
    each = true + random.normal(size=(repeats, large // small, dimensions)) * math.sqrt(noise / dimensions / small)
    squares = np.square(each).sum(axis=2).mean(axis=1), np.square(each.mean(axis=1)).sum(axis=1)
    return report_of(*squares, small, large)


def test_expectations_over_all_batches_of_a_few_images():
    """Without replacement they are those of the sample covariance, unbiased for where the images come from."""
    gradients = np.random.default_rng(0).normal(1.0, 2.0, (6, 3))

    def mean_square(size):
        chosen = itertools.combinations(range(6), size)
        return np.mean([np.square(gradients[list(batch)].mean(axis=0)).sum() for batch in chosen])

    small, large = mean_square(2), mean_square(4)
    trace = gradients.var(axis=0, ddof=1).sum()
    assert gradient_noise(2, 4, small, large) == pytest.approx(trace)
    assert squared_gradient(2, 4, small, large) == pytest.approx(np.square(gradients.mean(axis=0)).sum() - trace / 6)


def test_estimates_of_independent_draws_are_unbiased():
    """E |G_B|^2 = |G|^2 + tr(Sigma) / B, equation A.1."""
    report = drawn(4000, seed=1)
    for squares, batch in ((report.small_squares, 4), (report.large_squares, 16)):
        standard_error = np.std(squares) / math.sqrt(len(squares))
        assert abs(np.mean(squares) - (0.25 + 20 / batch)) < 4 * standard_error
    assert report.noise == pytest.approx(20, rel=0.02)
    assert report.gradient_square == pytest.approx(0.25, rel=0.2)
    assert report.noise_scale == report.noise / report.gradient_square


def test_the_ratio_is_of_means_and_not_a_mean_of_ratios():
    report = report_of([6.0, 4.0], [2.0, 3.0])
    assert report.gradient_square == pytest.approx((16 * 2.5 - 4 * 5.0) / 12)
    assert report.noise == pytest.approx((5.0 - 2.5) / (1 / 4 - 1 / 16))
    ratios = [gradient_noise(4, 16, a, b) / squared_gradient(4, 16, a, b) for a, b in ((6.0, 2.0), (4.0, 3.0))]
    assert report.noise_scale != pytest.approx(np.mean(ratios))


def test_the_interval_holds_the_true_scale_about_as_often_as_it_says():
    held = 0
    for seed in range(60):
        low, high = drawn(20, seed, norm=2.0).interval
        held += low <= 20 / 4 <= high
    assert held >= 50  # of 95 %, by a bootstrap of twenty


def test_a_gradient_lost_in_noise_gives_no_number():
    report = report_of([5.0, 5.2, 4.9], [1.1, 1.3, 1.0])
    assert report.gradient_square < 0  # as unbiased estimates of almost 0 are half of the time
    assert report.noise_scale == math.inf
    assert "cannot be told from 3 batches of 16" in report.verdicts[0]
    assert "--large" in report.verdicts[0]
    record = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert record["noise_scale"] is None
    assert record["interval"][1] is None
    diverged = report_of([math.nan, 1.0], [1.0, 1.0])
    assert math.isnan(diverged.noise_scale)
    assert "not finite" in diverged.to_text()
    json.dumps(diverged.to_json(), allow_nan=False)
    same = report_of([1.0, 1.0], [1.0, 1.0])  # without noise
    assert same.noise_scale == 0


def test_text_and_plot(tmp_path):
    report = drawn(20, seed=0, norm=2.0)
    text = report.to_text()
    assert text.startswith("net: gradient noise scale on 10,000 images, loss 1.5\n")
    assert f"noise scale: {report.noise_scale:.1f} images (95 % interval " in text
    assert "20 repeats" in text
    thousands = report_of([5.0, 5.1], [2.55, 2.6], 100, 200).to_text()
    assert "noise scale: 4,900 images (95 % interval 4,900 to 5,000, 2 repeats)" in thousands
    assert "overlap" not in text
    assert "20 batches of 16 out of 300 images overlap" in report_of(*[[1.0] * 20] * 2, images=300).to_text()
    for number, found in enumerate((report, report_of([5.0, 5.0], [1.0, 1.0]), report_of([1.0, 1.0], [1.0, 1.0]))):
        found.plot(tmp_path / f"{number}.png")
        assert (tmp_path / f"{number}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 16, 2), "small must be 1 or more"),
        ((16, 16, 2), "multiple of small, twice of it or more.*small=16, large=16"),
        ((16, 40, 2), "large must be a multiple"),
        ((16, 32, 1), "repeats must be 2 or more"),
    ],
)
def test_sizes_that_do_not_fit(sizes, message):
    with pytest.raises(UsageError, match=message):
        check_sizes(*sizes)
