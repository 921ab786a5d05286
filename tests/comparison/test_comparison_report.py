"""Rows, text and plot of a comparison, from made-up runs."""

import json
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure

from kerastricks.comparison import Comparison
from kerastricks.metrics import holm, paired_difference

pytestmark = pytest.mark.tensorflow_only

LOSSES = {
    "relu": [0.50, 0.52, 0.49, 0.51],
    "prelu": [0.40, 0.43, 0.38, 0.41],
    "rrelu": [0.49, 0.55, 0.47, 0.53],
    "sigmoid": [2.30, 2.31, 2.30, 2.29],
}


def made_up(losses=LOSSES, seeds=4):
    runs = [
        {
            "arm": arm,
            "seed": seed,
            "accuracy": 1 - values[seed] / 3,
            "log_loss": values[seed],
            "training_accuracy": 0.99,
            "training_log_loss": 0.01,
            "validation_accuracy": 0.9,
            "epochs": 3,
            "seconds": 1.5,
            "parameters": 10,
            "diverged": None,
        }
        for seed in range(seeds)
        for arm, values in losses.items()
    ]
    config = {
        "epochs": 3, "batch_size": 32, "optimizer": "sgd", "learning_rate": 0.05, "schedule": "constant",
        "weight_decay": 0.0, "augment": "", "precision": "float32",
    }  # fmt: skip
    plan = {
        "kind": "activations",
        "model": "nin",
        "arms": list(losses),
        "seeds": list(range(seeds)),
        "limit": None,
        "config": config,
        "data": {"name": "[digits]", "images": {"train": 1439, "validation": 179, "test": 179}},
        "device": "CPU (tensorflow)",
    }
    return Comparison(plan, tuple(reversed(runs)))  # their order does not matter


def test_rows_hold_means_differences_and_verdicts():
    rows = {row["arm"]: row for row in made_up().rows}
    assert rows["relu"]["difference"] is None
    assert rows["prelu"]["mean"]["log_loss"] == pytest.approx(np.mean(LOSSES["prelu"]))
    assert rows["prelu"]["std"]["log_loss"] == pytest.approx(np.std(LOSSES["prelu"], ddof=1))
    arms = ["prelu", "rrelu", "sigmoid"]
    found = [paired_difference(LOSSES["relu"], LOSSES[arm]) for arm in arms]
    corrected = dict(zip(arms, holm([one.p_value for one in found]), strict=True))
    for arm in arms:
        assert rows[arm]["difference"]["log_loss"]["holm_p_value"] == pytest.approx(corrected[arm])
    verdicts = {arm: [rows[arm]["difference"][name]["verdict"] for name in ("log_loss", "accuracy")] for arm in arms}
    assert verdicts == {"prelu": ["better"] * 2, "rrelu": ["cannot tell"] * 2, "sigmoid": ["worse"] * 2}
    assert rows["rrelu"]["difference"]["log_loss"]["seeds_needed"] > 4


def test_the_text_says_what_the_data_can_tell():
    text = made_up().to_text()
    assert max(len(line) for line in text.splitlines()) <= 100
    assert "[digits]: 4 seeds, 1,439 training images, 3 epochs" in text
    assert "0.405 ± 0.021" in text
    assert "-0.100" in text
    assert "cannot tell: about" in text
    assert "these 179 test images" in text


def test_one_seed_gives_no_interval_and_says_so():
    comparison = made_up(seeds=1)
    assert "one seed: there is no interval" in comparison.to_text()
    assert "±" not in comparison.to_text()
    assert comparison.rows[1]["difference"]["log_loss"]["verdict"] == "cannot tell"


@pytest.mark.parametrize("seeds", [1, 2, 4])
def test_json_is_plain_and_the_plot_is_whole(seeds, tmp_path):
    comparison = made_up(seeds=seeds)
    assert json.loads(json.dumps(comparison.to_json(), allow_nan=False))["kind"] == "activations"
    comparison.plot(tmp_path / "plot.png")
    assert [path.name for path in tmp_path.iterdir()] == ["plot.png"]
    assert (tmp_path / "plot.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    "losses",
    [
        {"relu": [0.3], "tanh": [0.3]},  # no spread to scale the axes by
        {"none": [0.3], "l2(0.0005) | max_norm(3.0) | l1(1e-05) | elastic_net(1e-05, 0.0005)": [0.3]},
    ],
    ids=["equal arms", "a long name"],
)
def test_labels_of_the_plot_do_not_overlap(losses, tmp_path, monkeypatch):
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, *args, **kw: (figures.append(figure), save(figure, *args, **kw))
    )
    made_up(losses, seeds=1).plot(tmp_path / "plot.png")
    for axes in figures[0].axes:
        assert axes.get_window_extent().width > 0.3 * figures[0].bbox.width
        shown = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
        assert all(left.x1 < right.x0 for left, right in pairwise(shown))


def test_equal_arms_are_called_the_same():
    comparison = made_up({"relu": [0.5, 0.6], "mine": [0.5, 0.6]}, seeds=2)
    assert "the same in every seed" in comparison.to_text()
    comparison = made_up({"relu": [0.5, 0.75], "mine": [0.75, 0.5]}, seeds=2)
    assert "cannot tell: no difference" in comparison.to_text()
    comparison = made_up({"relu": [0.5, 0.6], "mine": [0.4, 0.5]}, seeds=2)
    assert "cannot tell: the same difference in every seed" in comparison.to_text()
