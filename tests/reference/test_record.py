"""The recorded vectors of tensorflow-addons: whole, readable, right where a formula is known, and recorded afresh."""

import subprocess
import sys

import numpy as np
import pytest
from record import HERE, find_python, requirements
from vectors import FOLDER, cases

pytestmark = pytest.mark.tensorflow_only

# name: (number of cases, what each of them holds)
FILES = {
    "rrelu": (5, "lower upper inputs evaluation training_draws training_mean training_variance training_minimum"),
    "maxout": (6, "num_units axis inputs outputs"),
    "weight_normalization": (8, "data_init inputs kernel first_outputs initialized_g g outputs"),
    "stochastic_depth": (4, "survival_probability shortcut residual inference training_draws training_mean"),
    "cyclical_rates": (10, "initial_learning_rate maximal_learning_rate step_size scale_mode steps rates"),
    "moving_average": (5, "average_decay learning_rate gradients weights averages"),
    "swa": (5, "start_averaging average_period learning_rate gradients weights averages"),
}


def test_every_file_is_listed():
    assert {path.stem for path in FOLDER.glob("*.npz")} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_whole_and_small(name):
    count, names = FILES[name]
    stored = cases(name)
    assert len(stored) == count
    for case, values in stored.items():
        assert set(names.split()) <= set(values), case
        for what, value in values.items():
            if isinstance(value, np.ndarray):
                assert value.dtype == "float32", (case, what)
                assert np.isfinite(value).all(), (case, what)
    assert (FOLDER / f"{name}.npz").stat().st_size < 40_000


@pytest.mark.parametrize("name", FILES)
def test_a_file_was_recorded_with_the_pinned_versions(name):
    with np.load(FOLDER / f"{name}.npz") as entries:
        versions = entries["versions"].tolist()
    pinned = [requirement for requirement in requirements() if "==" in requirement]
    assert len(pinned) == 3
    assert set(pinned) <= set(versions)
    assert next(v for v in versions if v.startswith("numpy==")).startswith("numpy==1.")


@pytest.mark.parametrize("case", cases("cyclical_rates"))
def test_cyclical_rates_are_smiths(case):
    # Smith 2017, section 3.1, in float64. Its exp_range lowers both bounds by gamma^iteration; tensorflow-addons keeps
    # the lower one where it is, as triangular2 does.
    values = cases("cyclical_rates")[case]
    low, high, step_size = values["initial_learning_rate"], values["maximal_learning_rate"], values["step_size"]
    steps = values["steps"].astype("float64")
    cycle = np.floor(1 + steps / (2 * step_size))
    height = np.maximum(0, 1 - np.abs(steps / step_size - 2 * cycle + 1))
    position = cycle if values["scale_mode"] == "cycle" else steps
    if case.startswith("triangular2"):
        height = height * 2.0 ** (1 - position)
    elif case.startswith("exponential"):
        height = height * values["gamma"] ** position
    np.testing.assert_allclose(values["rates"], low + (high - low) * height, rtol=1e-5, atol=1e-5 * high)


def plain_sgd(values):
    """The weights after each step, in float64."""
    steps = -values["learning_rate"] * values["gradients"].astype("float64")
    return values["weights"][0] + np.cumsum(steps, axis=0)


@pytest.mark.parametrize("case", cases("moving_average"))
def test_moving_averages_are_the_recurrence(case):
    values = cases("moving_average")[case]
    weights = plain_sgd(values)
    average = values["weights"][0].astype("float64")  # starts from the first weights: no bias to correct
    for step, now in enumerate(weights):
        decay = values["average_decay"]
        if "num_updates" in values:
            decay = min(decay, (1 + values["num_updates"]) / (10 + values["num_updates"]))
        since = step - values.get("start_step", 0)
        if since < 0:
            decay = 0.0
        elif values.get("dynamic_decay"):
            decay = min(decay, (1 + since) / (10 + since))
        average = decay * average + (1 - decay) * now
        np.testing.assert_allclose(values["averages"][step], average, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(values["weights"][1:], weights, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", cases("swa"))
def test_swa_is_the_running_mean_of_its_snapshots(case):
    # Izmailov et al. 2018, algorithm 1. Before the first snapshot tensorflow-addons's average is all zeros.
    values = cases("swa")[case]
    start, period = values["start_averaging"], values["average_period"]
    weights, snapshots = plain_sgd(values), []
    for step, now in enumerate(weights):
        if step >= start and (step - start) % period == 0:
            snapshots.append(now)
        average = np.mean(snapshots, axis=0) if snapshots else np.zeros_like(now)
        np.testing.assert_allclose(values["averages"][step], average, rtol=1e-5, atol=1e-5)


def test_recording_without_python_3_11_says_so_in_one_line(tmp_path):
    command = [sys.executable, str(HERE / "record.py"), "--out", str(tmp_path), "--python", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Python 3.11" in done.stderr
    assert str(tmp_path / "none") in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_recorded_afresh_is_what_is_stored(tmp_path):
    python = find_python()
    if python is None:
        pytest.skip("needs a Python 3.11 on PATH: TensorFlow 2.15 has no wheels for a later one")
    command = [sys.executable, str(HERE / "record.py"), "--out", str(tmp_path), "--python", python]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {path.stem for path in tmp_path.iterdir()} == set(FILES)
    for name in FILES:
        stored, fresh = cases(name), cases(name, tmp_path)
        assert stored.keys() == fresh.keys()
        for case, values in stored.items():
            assert values.keys() == fresh[case].keys(), (name, case)
            for what, value in values.items():
                if isinstance(value, str):
                    assert fresh[case][what] == value, (name, case, what)
                else:
                    np.testing.assert_allclose(
                        fresh[case][what], value, rtol=1e-5, atol=1e-6, err_msg=f"{name} {case} {what}"
                    )
