"""Fine-tuning on a few images: every plan, its stages, what is frozen, and that it does not end below the probe."""

import functools
import importlib
import json

import keras
import numpy as np
import pytest

import kerastricks
from kerastricks.callbacks import BestWeights
from kerastricks.errors import ConfigError, Interrupted, UnknownNameError
from kerastricks.finetuning import finetune, open_backbone
from kerastricks.finetuning.network import build_network
from kerastricks.finetuning.settings import TRAINING_DEFAULTS, Settings, default_epochs
from kerastricks.finetuning.stages import falling_rates
from kerastricks.training import Config, fit, resumable

CONFIG = Config(**{**TRAINING_DEFAULTS, "epochs": 3, "batch_size": 16, "precision": "float32", "jit": False})


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERASTRICKS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    labels = np.arange(120) % 3
    images = np.clip(generator.normal(110, 40, (120, 8, 8, 3)) + 25 * labels[:, None, None, None], 0, 255)
    return kerastricks.data.load((images.astype("uint8"), labels), augment="flip", batch_size=16, seed=1)


@pytest.fixture(scope="module")
def backbone():
    keras.utils.set_random_seed(0)
    return open_backbone(kerastricks.models.create("plain_cnn(widths=(4, 6))", (8, 8, 3), 5))


def run(data, backbone, config=CONFIG, **settings):
    lines = []
    tuned = finetune(data, backbone, config, Settings(**settings), say=lines.append)
    return tuned, lines


@pytest.fixture(scope="module")
def tuned(data, backbone):
    """Each plan once: most of the time goes into compiling."""
    return functools.cache(lambda plan: run(data, backbone, strategy=plan))


def on_tensorflow(*values):
    return [pytest.param(value, marks=pytest.mark.tensorflow_only) for value in values]


def validation_accuracy(model, data):
    found = [keras.ops.convert_to_numpy(model(images.numpy())).argmax(axis=1) for images, _ in data.validation]
    return float(np.mean(np.concatenate(found) == data.labels("validation")))


@pytest.mark.parametrize("plan", ["last", *on_tensorflow("all", "linear", "earlier", "scratch")])
def test_every_plan_gives_a_classifier_with_the_accuracy_it_says(plan, tuned, data):
    result, _ = tuned(plan)
    assert result.model.output_shape == (None, 3)
    assert result.report.choice.strategy == plan
    assert result.report.choice.given
    assert validation_accuracy(result.model, data) == pytest.approx(result.report.validation_accuracy)
    json.dumps(result.report.to_json())


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("plan", ["last", "all"])
def test_nothing_ends_below_the_linear_probe(plan, data, backbone):
    # A rate that destroys whatever it is let at.
    config = Config(**{**CONFIG.as_dict(), "learning_rate": 30.0, "optimizer": "sgd", "clip_norm": None})
    tuned, _ = run(data, backbone, config, strategy=plan)
    assert tuned.report.validation_accuracy >= tuned.report.probe_accuracy


@pytest.mark.tensorflow_only
def test_it_falls_back_to_the_probe_and_says_so(data, backbone, monkeypatch):
    def bad_head(layers, *arguments, **how):
        layers[-1].set_weights([0 * weight for weight in layers[-1].get_weights()])
        return 1, 0.0

    monkeypatch.setattr(importlib.import_module("kerastricks.finetuning.strategy_networks"), "fit_head", bad_head)
    tuned, lines = run(data, backbone, strategy="linear", head=(4,))
    assert tuned.report.fell_back
    assert tuned.report.kept == "probe"
    assert set(tuned.report.compared) == {"linear"}
    assert any("the probe is kept" in line for line in lines)
    assert validation_accuracy(tuned.model, data) == tuned.report.probe_accuracy


def test_the_early_levels_do_not_move(tuned, backbone):
    result, _ = tuned("last")
    before = {layer.name: layer.get_weights() for layer in backbone.model.layers}
    for level in backbone.levels[:-2]:
        for name in level.layers:
            for mine, given in zip(result.model.get_layer(name).get_weights(), before[name], strict=True):
                np.testing.assert_array_equal(mine, given)


@pytest.mark.tensorflow_only
def test_the_late_levels_do_move(data, backbone):
    # Nothing is as good as the start: what was trained is looked at before the best weights are put back.
    seen = []
    original = BestWeights.on_train_end

    def look(self, logs=None):
        seen.append({layer.name: layer.get_weights() for layer in self.model.classifier.layers if layer.weights})
        original(self, logs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BestWeights, "on_train_end", look)
        run(data, backbone, strategy="last")
    [after] = seen
    for distance, level in enumerate(reversed(backbone.levels)):
        kernels = [name for name in level.layers if name.endswith(("conv1", "conv2"))]
        for name in kernels:
            before = backbone.model.get_layer(name).get_weights()[0]
            assert np.array_equal(after[name][0], before) == (distance >= 2)
    # Batch normalisation stays in inference mode: statistics, gains and offsets are the backbone's.
    for name in [name for name in after if "_norm" in name]:
        for mine, given in zip(after[name], backbone.model.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(mine, given)


@pytest.mark.tensorflow_only
def test_all_moves_the_first_level_as_far_as_a_training_does(data, backbone):
    # With a rate that falls by 2.6 a level the first kernels stayed where they were, whatever was gained elsewhere.
    seen = {}

    def look(self, logs=None):
        seen.update({layer.name: layer.get_weights() for layer in self.model.classifier.layers if layer.weights})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BestWeights, "on_train_end", look)
        run(data, backbone, strategy="all")
    moved = []
    for level in backbone.levels:
        kernels = [name for name in level.layers if name in seen and seen[name][0].ndim == 4 and "white" not in name]
        for name in kernels:
            before = backbone.model.get_layer(name).get_weights()[0]
            moved.append(np.abs(seen[name][0] - before).mean())
    # AdamW moves a weight by about its rate in each of 3 * 6 steps, half of it by the schedule: 5e-4 * 4 / 1.3**3 * 9.
    assert min(moved) > 2e-3


@pytest.mark.tensorflow_only
def test_a_stage_that_diverges_is_given_up(data, backbone):
    config = Config(**{**CONFIG.as_dict(), "learning_rate": 1e38, "optimizer": "sgd", "clip_norm": None})
    result, lines = run(data, backbone, config, strategy="all")
    assert any("the weights before this training are kept" in line for line in lines)
    assert result.report.validation_accuracy >= result.report.probe_accuracy
    assert all(np.isfinite(weight).all() for weight in result.model.get_weights())


@pytest.mark.tensorflow_only
def test_the_probe_is_fitted_to_all_images_where_a_part_was_measured(data, backbone, monkeypatch):
    monkeypatch.setattr("kerastricks.finetuning.measurement.MOST_IMAGES", {"train": 40, "validation": 6})
    result, lines = run(data, backbone, strategy="linear")
    assert result.report.measurement.images == {"train": 40, "validation": 6}
    assert any("for all images" in line for line in lines)
    assert not result.report.fell_back
    assert result.report.probe_accuracy == pytest.approx(result.report.validation_accuracy)


@pytest.mark.tensorflow_only
def test_weights_that_were_saved_frozen_learn(data):
    model = kerastricks.models.create("plain_cnn(widths=(4,))", (8, 8, 3), 5)
    model.trainable = False
    stages = run(data, open_backbone(model), strategy="last")[0].report.stages
    assert stages[1].parameters > stages[0].parameters


def test_a_frozen_layer_keeps_its_batch_statistics(data, backbone):
    seen = {}

    class Look(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            for layer in self.model.classifier.layers:
                if isinstance(layer, keras.layers.BatchNormalization):
                    seen[layer.name] = np.array(layer.moving_mean)

    network = build_network(backbone, (8, 8, 3), 3)
    for level in backbone.levels[:-1]:
        for name in level.layers:
            network.get_layer(name).trainable = False
    names = {layer.name for layer in network.layers if layer.trainable_weights}
    rates = {name: factor for name, factor in falling_rates(backbone.levels, 1).items() if name in names}
    config = Config(**{**CONFIG.as_dict(), "epochs": 1, "early_stopping_epochs": None})
    fit(network, data, config, callbacks=[Look()], lr_multipliers=rates, progress_line=False)
    assert np.all(seen["stage1_norm1"] == 0) == (not network.get_layer("stage1_norm1").trainable)
    moved = [name for name, mean in seen.items() if np.any(mean != 0)]
    assert moved == [name for name in seen if network.get_layer(name).trainable]


def test_after_it_all_layers_learn_again(tuned, backbone):
    for layer in backbone.model.layers:
        assert tuned("last")[0].model.get_layer(layer.name).trainable == layer.trainable


@pytest.mark.slow
def test_a_head_with_hidden_layers_is_trained_on_features_and_random_weights_compared(data, backbone):
    result, lines = run(data, backbone, strategy="linear", head=(16, 8), scratch=True)
    if not result.report.fell_back:
        assert [result.model.get_layer(name).units for name in ("head1", "head2", "logits")] == [16, 8, 3]
    assert any(line.startswith("head on the features of") for line in lines)
    assert "scratch" in result.report.compared


@pytest.mark.tensorflow_only
def test_the_plan_is_said_with_its_figures_and_what_would_change_it(tuned):
    result, lines = tuned("all")
    text = "\n".join(lines)
    choice = result.report.choice
    assert f"plan: {choice.strategy}" in text
    assert all(reason in text for reason in choice.reasons)
    assert all(change in text for change in choice.would_change)


@pytest.mark.tensorflow_only
def test_the_same_seed_gives_the_same_weights(tuned, data, backbone):
    again, _ = run(data, backbone, strategy="all")
    for mine, others in zip(again.model.get_weights(), tuned("all")[0].model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, others)


def test_an_interrupted_fine_tuning_goes_on_to_the_same_weights(tuned, data, backbone, tmp_path, monkeypatch):
    steps = {"count": 0}
    original = resumable.Checkpointer.on_train_batch_end

    def stop(self, batch, logs=None):
        steps["count"] += 1
        if steps["count"] == 9:  # in the second stage
            self.request.signal_number = 15
        original(self, batch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(resumable.Checkpointer, "on_train_batch_end", stop)
        with pytest.raises(Interrupted):
            finetune(data, backbone, CONFIG, Settings(strategy="all"), run_folder=tmp_path, say=lambda line: None)
    resumed = finetune(data, backbone, CONFIG, Settings(strategy="all"), run_folder=tmp_path, say=lambda line: None)
    whole, _ = tuned("all")
    for mine, others in zip(resumed.model.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, others)
    assert resumed.report.stages[-1].validation_accuracy == whole.report.stages[-1].validation_accuracy


@pytest.mark.tensorflow_only
def test_bad_settings_are_named():
    with pytest.raises(UnknownNameError, match="no plan is called 'lats': did you mean last"):
        Settings(strategy="lats")
    with pytest.raises(ConfigError, match=r"head must be .* Received: head=\(0,\)"):
        Settings(head=(0,))
    with pytest.raises(ConfigError, match="dropout"):
        Settings(dropout=1.0)
    with pytest.raises(TypeError, match=r"Settings\(plan=\.\.\.\) is now Settings\(strategy=\.\.\.\)"):
        Settings(plan="last")


@pytest.mark.tensorflow_only
def test_settings_in_json_have_the_name_of_the_option():
    settings = Settings(strategy="last", head=(8, 4))
    written = json.loads(json.dumps(settings.as_dict()))
    assert (written["plan"], written["head"]) == ("last", [8, 4])
    assert "strategy" not in written
    assert Settings.from_dict(written) == settings


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(("images", "epochs"), [(50, 40), (1_000, 20), (2_700, 7), (50_000, 6)])
def test_default_epochs(images, epochs):
    assert default_epochs(images) == epochs


class Ticks:
    """A clock on which nothing takes long, and the same on every machine."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 0.01
        return self.now


def choose(data, backbone, folder=None, minutes=2.0, **how):
    lines = []
    settings = Settings(minutes=minutes, **how)
    return finetune(data, backbone, CONFIG, settings, run_folder=folder, say=lines.append, clock=Ticks()), lines


@pytest.fixture(scope="module")
def chosen(data, backbone):
    return functools.cache(lambda: choose(data, backbone))


@pytest.mark.tensorflow_only
def test_the_choice_ends_in_what_validates_best(chosen):
    result, lines = chosen()
    report = result.report
    assert {(one.name, one.rung) for one in report.tried} >= {("linear", 0), ("earlier", 0), ("small", 1), ("all", 1)}
    assert report.validation_accuracy == pytest.approx(max(one.accuracy for one in report.tried))
    assert report.kept == report.choice.strategy
    assert set(report.compared) | {report.kept} == {"linear", "earlier", "small", "last", "all"}
    assert validation_accuracy(result.model, result.data) == pytest.approx(report.validation_accuracy)
    assert result.data.image_shape == result.model.input_shape[1:]
    record = json.loads(json.dumps(report.to_json()))
    assert record["budget_seconds"] == 120.0
    assert record["seconds"] < 120.0
    assert set(record["verdicts"]) == {"small", "last", "all"}
    text = "\n".join(lines)
    assert "budget 2 minutes" in text
    assert f"the table says {report.choice.table}" in text
    for plan in ("small", "last", "all"):
        assert f"short training of {plan}: 1 epochs" in text
    assert f"plan: {report.choice.strategy}" in text


@pytest.mark.tensorflow_only
def test_what_does_not_fit_the_budget_is_not_tried_and_the_probe_is_left(data, backbone):
    result, lines = choose(data, backbone, minutes=0.01)
    assert result.report.kept in ("linear", "earlier")
    assert all(verdict.startswith("not tried: ") for verdict in result.report.verdicts.values())
    assert len(result.report.verdicts) == 3
    assert any(line.startswith("small: not tried") for line in lines)


@pytest.mark.tensorflow_only
def test_large_images_without_small_ones_leave_the_small_network_out(backbone):
    generator = np.random.default_rng(0)
    images, labels = generator.integers(0, 256, (60, 40, 40, 3)).astype("uint8"), np.arange(60) % 3
    data = kerastricks.data.load((images, labels), batch_size=16)
    result, _ = choose(data, backbone, minutes=0.01)
    assert "small_data" in result.report.verdicts["small"]
    with pytest.raises(ConfigError, match="plan small needs the images at its size"):
        choose(data, backbone, strategy="small")
    other = kerastricks.data.load((images[:, ::2, ::2], labels), batch_size=16, seed=5)
    with pytest.raises(ConfigError, match="other labels than data"):
        finetune(data, backbone, CONFIG, Settings(minutes=0.01), small_data=other)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("stop_at", [6, *(pytest.param(step, marks=pytest.mark.slow) for step in (2, 9, 14, 20, 26))])
def test_a_choice_that_is_interrupted_anywhere_ends_in_the_same_weights(
    stop_at, chosen, data, backbone, tmp_path, monkeypatch
):
    steps = {"count": 0}
    original = resumable.Checkpointer.on_train_batch_end

    def stop(self, batch, logs=None):
        steps["count"] += 1
        if steps["count"] == stop_at:
            self.request.signal_number = 15
        original(self, batch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(resumable.Checkpointer, "on_train_batch_end", stop)
        with pytest.raises(Interrupted):
            choose(data, backbone, tmp_path)
    before = json.loads((tmp_path / "stages" / "choice.json").read_text())
    resumed, _ = choose(data, backbone, tmp_path)
    whole, _ = chosen()
    after = json.loads((tmp_path / "stages" / "choice.json").read_text())
    assert {name: after["results"][name] for name in before["results"]} == before["results"]
    assert {name: after["lengths"][name] for name in before["lengths"]} == before["lengths"]
    assert after["seconds"] >= before["seconds"]
    assert resumed.report.kept == whole.report.kept
    assert [(one.name, one.rung, one.accuracy) for one in resumed.report.tried] == [
        (one.name, one.rung, one.accuracy) for one in whole.report.tried
    ]
    for mine, others in zip(resumed.model.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, others)


@pytest.mark.tensorflow_only
def test_a_plan_that_is_named_fits_its_minutes(data, backbone, tmp_path):
    # Ticks of a hundredth: tracing is taken for 0.06 s a layer, so 4 s hold 3 epochs, the most there are.
    result, lines = choose(data, backbone, strategy="last", minutes=0.2)
    assert any(line.startswith("last in 12 s: 3 epochs, 18 steps") for line in lines)
    assert result.report.budget == pytest.approx(12.0)
    with pytest.raises(ConfigError, match=r"minutes: 0.0 s are left for last after measuring .*--minutes"):
        choose(data, backbone, tmp_path, strategy="last", minutes=0.001)
    assert not list(tmp_path.iterdir())


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("minutes", [0, -1.0, float("nan"), float("inf")])
def test_a_budget_is_positive_and_finite(minutes):
    with pytest.raises(ConfigError, match="minutes must be in"):
        Settings(minutes=minutes)
    assert Settings().seconds == 300.0
    assert Settings(strategy="last").seconds is None
