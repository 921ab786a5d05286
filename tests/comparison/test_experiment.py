"""compare: paired, resumable, and honest about runs that fail."""

import importlib
import json

import keras
import numpy as np
import pytest

import kerastricks
from kerastricks.comparison import compare, default_config
from kerastricks.comparison.arms import same_draws
from kerastricks.errors import ConfigError, DataError, RunFolderError, SpecError, TrainingDivergedError, UsageError
from kerastricks.models import create
from kerastricks.training import Config

CONFIG = Config(epochs=1, learning_rate=0.05, weight_decay=0.0, precision="float32", label_smoothing=0.0)
MODEL = "mlp(depth=2, width=8, dropout=0.3)"


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    labels = np.arange(120) % 3
    images = np.clip(generator.normal(110, 40, (120, 8, 8, 3)) + 30 * labels[:, None, None, None], 0, 255)
    return kerastricks.data.load((images.astype("uint8"), labels), augment="flip | fancy_pca(0.1)", batch_size=12)


def without_seconds(runs):
    return [{name: value for name, value in run.items() if name != "seconds"} for run in runs]


def batches_of(data):
    return [tuple(part.numpy() for part in batch) for batch in data.train_from(0).take(3)]


def test_reseeded_data_have_the_same_splits_and_other_batches(data):
    other, again = data.reseeded(5), data.reseeded(5)
    first, second, third = batches_of(data), batches_of(other), batches_of(again)
    assert any(not np.array_equal(a[1], b[1]) for a, b in zip(first, second, strict=True))
    for a, b in zip(second, third, strict=True):
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], b[1])
    assert other.describe() == data.describe()
    for a, b in zip(data.test, other.test, strict=True):
        np.testing.assert_array_equal(a[0].numpy(), b[0].numpy())
    assert not np.array_equal(data.sample(20), other.sample(20))


def test_reseeded_with_its_own_seed_changes_nothing(data):
    for a, b in zip(batches_of(data), batches_of(data.reseeded(data.seed)), strict=True):
        np.testing.assert_array_equal(a[0], b[0])


def test_limited_data_have_fewer_training_images_alone(data):
    small = data.limited(10)
    assert (len(small.labels("train")), small.batch_size, small.steps_per_epoch) == (10, 10, 1)
    assert len(small.labels("test")) == len(data.labels("test"))
    with pytest.raises(DataError, match=r"limit must be in 1-96.*Received: limit=97"):
        data.limited(97)


@pytest.mark.slow
def test_the_same_thing_under_two_names_has_equal_results(data):
    # The first takes random numbers to make and to use, and divides by a ~ U(1, 1).
    found = compare("activations", data, MODEL, "rrelu(divisor_range=(1, 1)) | linear", seeds=[3, 8], config=CONFIG)
    for measure in ("accuracy", "log_loss", "training_log_loss", "validation_accuracy"):
        expected = found.values("rrelu(divisor_range=(1, 1))", measure)
        assert found.values("linear", measure) == pytest.approx(expected, rel=1e-4)
    assert found.values("linear", "log_loss")[0] != pytest.approx(found.values("linear", "log_loss")[1], rel=0.01)
    assert found.rows[1]["difference"]["accuracy"]["verdict"] == "same"


@pytest.mark.parametrize("model", ["plain_cnn(widths=(4, 4), dropout=0.3)", "nin", "mlp(depth=2, width=8)"])
def test_arms_of_a_seed_start_from_the_same_draws(model):
    kernels = {}
    for activation in ("relu", "rrelu"):  # RReLU takes seeds while the model is made
        keras.utils.set_random_seed(4)
        network = create(model, (8, 8, 3), 3, activation=activation)
        same_draws(network, 4)
        kernels[activation] = [
            keras.ops.convert_to_numpy(layer.kernel)
            for layer in network.layers
            if getattr(layer, "kernel", None) is not None and layer.trainable
        ]
    assert len(kernels["relu"]) >= 3
    for a, b in zip(kernels["relu"], kernels["rrelu"], strict=True):
        np.testing.assert_allclose(a / a.std(), b / b.std(), rtol=1e-4, atol=1e-5)  # the scale follows the gain
        assert a.std() > 0
    shapes = [kernel.shape for kernel in kernels["relu"]]
    for index, shape in enumerate(shapes):  # and no two layers share them
        for other in range(index):
            if shapes[other] == shape:
                assert not np.allclose(kernels["relu"][index], kernels["relu"][other])


@pytest.mark.tensorflow_only
def test_it_is_repeatable_and_writes_what_it_returns(data, tmp_path):
    model = "plain_cnn(widths=(4,), dropout=0.3)"
    first = compare("activations", data, model, "relu | rrelu", [5], CONFIG, tmp_path / "a")
    again = compare("activations", data, model, ["relu", "rrelu"], [5], CONFIG)
    assert without_seconds(first.runs) == without_seconds(again.runs)
    assert {path.name for path in (tmp_path / "a").iterdir()} == {
        "comparison.json", "comparison.png", "plan.json", "runs.jsonl",
    }  # fmt: skip
    record = json.loads((tmp_path / "a" / "comparison.json").read_text())
    assert record == json.loads(json.dumps(first.to_json()))
    assert [row["arm"] for row in record["rows"]] == ["relu", "rrelu"]
    assert record["config"]["epochs"] == 1
    assert record["config"]["model"] == model
    assert (tmp_path / "a" / "comparison.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.tensorflow_only
def test_an_interrupted_comparison_keeps_its_runs_and_goes_on(data, tmp_path):
    whole = compare("activations", data, MODEL, "relu | tanh", 2, CONFIG)
    said = []

    def stop_at_the_third(line):
        said.append(line)
        if len(said) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare("activations", data, MODEL, "relu | tanh", 2, CONFIG, tmp_path / "a", say=stop_at_the_third)
    lines = (tmp_path / "a" / "runs.jsonl").read_text()
    assert len(lines.splitlines()) == 3
    assert not (tmp_path / "a" / "comparison.json").exists()
    with open(tmp_path / "a" / "runs.jsonl", "a") as file:
        file.write('{"arm": "tanh", "se')  # as a power cut leaves it
    said.clear()
    found = compare("activations", data, MODEL, "relu | tanh", 2, CONFIG, tmp_path / "a", say=said.append)
    assert len(said) == 1
    assert "run 4 of 4: tanh, seed 1" in said[0]
    assert (tmp_path / "a" / "runs.jsonl").read_text().startswith(lines)
    assert without_seconds(found.runs) == without_seconds(whole.runs)
    assert (tmp_path / "a" / "comparison.json").exists()

    more = compare("activations", data, MODEL, "relu | tanh", 3, CONFIG, tmp_path / "a", say=said.append)
    assert len(said) == 3  # two runs of one more seed
    assert more.values("tanh", "accuracy")[:2] == found.values("tanh", "accuracy")


@pytest.mark.tensorflow_only
def test_a_folder_of_another_comparison_is_refused(data, tmp_path):
    folder = tmp_path / "a"
    compare("activations", data, MODEL, "relu | tanh", 1, CONFIG, folder)
    others = {
        "arms: .'relu', 'tanh'. in the folder, .'relu', 'elu'. asked for": {"arms": "relu | elu"},
        "config.learning_rate: 0.05 in the folder, 0.1": {
            "config": Config(**{**CONFIG.as_dict(), "learning_rate": 0.1})
        },
        "seeds: .0. in the folder, .4. asked for, and all": {"seeds": [4]},
        "limit: None in the folder, 50": {"limit": 50},
    }
    for message, change in others.items():
        options = {"arms": "relu | tanh", "seeds": 1, "config": CONFIG, **change}
        with pytest.raises(RunFolderError, match=message):
            compare("activations", data, MODEL, folder=folder, **options)
    images = np.random.default_rng(1).integers(0, 256, (120, 8, 8, 3)).astype("uint8")
    foreign = kerastricks.data.load((images, np.arange(120) % 3), augment="flip | fancy_pca(0.1)", batch_size=12)
    with pytest.raises(RunFolderError, match=r"data\.fingerprint"):
        compare("activations", foreign, MODEL, "relu | tanh", 1, CONFIG, folder)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="holds something else"):
        compare("activations", data, MODEL, "relu | tanh", 1, CONFIG, tmp_path / "b")


@pytest.mark.tensorflow_only
def test_a_diverged_run_is_a_result(data, monkeypatch):
    from kerastricks.comparison import arms as run_arm

    fit = run_arm.fit

    def fit_or_diverge(model, data, config, **more):
        if any(isinstance(layer, keras.layers.LeakyReLU) for layer in model.layers):
            raise TrainingDivergedError("the loss is nan at epoch 1, batch 1")
        return fit(model, data, config, **more)

    monkeypatch.setattr(run_arm, "fit", fit_or_diverge)
    found = compare("activations", data, MODEL, "relu | leaky_relu", 2, CONFIG)
    assert [row["diverged"] for row in found.rows] == [0, 2]
    assert found.rows[1]["mean"]["accuracy"] == pytest.approx(1 / 3)
    assert found.rows[1]["mean"]["log_loss"] == pytest.approx(np.log(3))
    text = found.to_text()
    assert "2 of 2" in text
    assert "counts as chance" in text


@pytest.mark.tensorflow_only
def test_a_rate_that_is_much_too_high_diverges(data):
    config = Config(**{**CONFIG.as_dict(), "learning_rate": 1e30, "clip_norm": None, "schedule": "constant"})
    found = compare("activations", data, MODEL, "relu | linear", 1, config)
    assert [row["diverged"] for row in found.rows] == [1, 1]
    assert "the loss is" in found.runs[0]["diverged"]


@pytest.mark.slow
def test_initializers_and_regularizers_reach_the_model(data):
    config = Config(**{**CONFIG.as_dict(), "learning_rate": 1e-12})
    found = compare("initializers", data, MODEL, "he_normal | zeros | lsuv", 1, config)
    assert found.values("zeros", "log_loss")[0] == pytest.approx(np.log(3), abs=0.2)
    assert len({found.values(arm, "log_loss")[0] for arm in ("he_normal", "zeros", "lsuv")}) == 3
    found = compare("regularizers", data, MODEL, ["none", "l2(10.0)", "l2(10.0) | max_norm(0.5)"], 1, CONFIG)
    assert len({found.values(row["arm"], "training_log_loss")[0] for row in found.rows}) == 3


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("error", "message", "change"),
    [
        (UsageError, "no comparison is called 'activation'.*activations", {"kind": "activation"}),
        (ConfigError, "arms must be two or more.*Received: 'relu'", {"arms": "relu"}),
        (ConfigError, "arms must differ. Received relu 2 times", {"arms": "relu | relu"}),
        (ConfigError, "seeds must be a number from 1.*Received: 0", {"seeds": 0}),
        (ConfigError, r"Received: \[1, 1\]", {"seeds": [1, 1]}),
        (ConfigError, "model must leave activation open", {"model": "mlp(activation='relu')"}),
        (UsageError, "no model is called 'nni'", {"model": "nni"}),
        (UsageError, "reluu", {"arms": "relu | reluu"}),
        (SpecError, "leaky_relu", {"arms": "relu | leaky_relu(nonsense=3)"}),
    ],
)
def test_bad_input_is_refused_in_one_line_before_any_training(data, monkeypatch, error, message, change):
    monkeypatch.setattr(importlib.import_module("kerastricks.comparison.experiment"), "run_arm", None)
    options = {"kind": "activations", "model": MODEL, "arms": "relu | tanh", "seeds": 2, "config": CONFIG, **change}
    with pytest.raises(error, match=message) as caught:
        compare(options.pop("kind"), data, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.tensorflow_only
def test_the_default_configuration_of_regularizers_has_no_weight_decay():
    assert default_config("regularizers").weight_decay == 0
    assert default_config("activations").weight_decay > 0
