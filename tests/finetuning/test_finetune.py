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
    return functools.cache(lambda plan: run(data, backbone, plan=plan))


def on_tensorflow(*values):
    return [pytest.param(value, marks=pytest.mark.tensorflow_only) for value in values]


def validation_accuracy(model, data):
    found = [keras.ops.convert_to_numpy(model(images.numpy())).argmax(axis=1) for images, _ in data.validation]
    return float(np.mean(np.concatenate(found) == data.labels("validation")))


@pytest.mark.parametrize("plan", ["last", "all", *on_tensorflow("linear", "earlier", "scratch")])
def test_every_plan_gives_a_classifier_with_the_accuracy_it_says(plan, tuned, data):
    result, _ = tuned(plan)
    assert result.model.output_shape == (None, 3)
    assert result.report.choice.plan == plan
    assert result.report.choice.given
    assert validation_accuracy(result.model, data) == pytest.approx(result.report.validation_accuracy)
    json.dumps(result.report.to_json())


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("plan", ["last", "all"])
def test_nothing_ends_below_the_linear_probe(plan, data, backbone):
    # A rate that destroys whatever it is let at.
    config = Config(**{**CONFIG.as_dict(), "learning_rate": 30.0, "optimizer": "sgd", "clip_norm": None})
    tuned, _ = run(data, backbone, config, plan=plan)
    assert tuned.report.validation_accuracy >= tuned.report.probe_accuracy


@pytest.mark.tensorflow_only
def test_it_falls_back_to_the_probe_and_says_so(data, backbone, monkeypatch):
    def bad_head(layers, *arguments):
        layers[-1].set_weights([0 * weight for weight in layers[-1].get_weights()])
        return 1, 0.0

    monkeypatch.setattr(importlib.import_module("kerastricks.finetuning.trainer"), "fit_head", bad_head)
    tuned, lines = run(data, backbone, plan="linear", head=(4,))
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
        run(data, backbone, plan="last")
    for place, unfrozen in enumerate((1, 2)):
        for distance, level in enumerate(reversed(backbone.levels)):
            kernels = [name for name in level.layers if name.endswith(("conv1", "conv2"))]
            for name in kernels:
                before = backbone.model.get_layer(name).get_weights()[0]
                assert np.array_equal(seen[place][name][0], before) == (distance >= unfrozen)
        # Batch normalisation stays in inference mode: statistics, gains and offsets are the backbone's.
        for name in [name for name in seen[place] if "_norm" in name]:
            for mine, given in zip(seen[place][name], backbone.model.get_layer(name).get_weights(), strict=True):
                np.testing.assert_array_equal(mine, given)


@pytest.mark.tensorflow_only
def test_a_stage_that_diverges_is_given_up(data, backbone):
    config = Config(**{**CONFIG.as_dict(), "learning_rate": 1e38, "optimizer": "sgd", "clip_norm": None})
    result, lines = run(data, backbone, config, plan="all")
    assert any("the weights before this stage are kept" in line for line in lines)
    assert result.report.validation_accuracy >= result.report.probe_accuracy
    assert all(np.isfinite(weight).all() for weight in result.model.get_weights())


@pytest.mark.tensorflow_only
def test_the_probe_is_fitted_to_all_images_where_a_part_was_measured(data, backbone, monkeypatch):
    monkeypatch.setattr("kerastricks.finetuning.measurement.MOST_IMAGES", {"train": 40, "validation": 6})
    result, lines = run(data, backbone, plan="linear")
    assert result.report.measurement.images == {"train": 40, "validation": 6}
    assert any("for all images" in line for line in lines)
    assert not result.report.fell_back
    assert result.report.probe_accuracy == pytest.approx(result.report.validation_accuracy)


@pytest.mark.tensorflow_only
def test_weights_that_were_saved_frozen_learn(data):
    model = kerastricks.models.create("plain_cnn(widths=(4,))", (8, 8, 3), 5)
    model.trainable = False
    stages = run(data, open_backbone(model), plan="last")[0].report.stages
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
    fit(network, data, config, callbacks=[Look()], rates=rates, progress_line=False)
    assert np.all(seen["stage1_norm1"] == 0) == (not network.get_layer("stage1_norm1").trainable)
    moved = [name for name, mean in seen.items() if np.any(mean != 0)]
    assert moved == [name for name in seen if network.get_layer(name).trainable]


def test_after_it_all_layers_learn_again(tuned, backbone):
    for layer in backbone.model.layers:
        assert tuned("last")[0].model.get_layer(layer.name).trainable == layer.trainable


@pytest.mark.tensorflow_only
def test_a_head_with_hidden_layers_is_trained_on_features_and_random_weights_compared(data, backbone):
    result, lines = run(data, backbone, plan="linear", head=(16, 8), scratch=True)
    if not result.report.fell_back:
        assert [result.model.get_layer(name).units for name in ("head1", "head2", "logits")] == [16, 8, 3]
    assert any(line.startswith("head on the features of") for line in lines)
    assert "scratch" in result.report.compared


@pytest.mark.tensorflow_only
def test_the_plan_is_said_with_its_figures_and_what_would_change_it(tuned):
    result, lines = tuned("all")
    text = "\n".join(lines)
    choice = result.report.choice
    assert f"plan: {choice.plan}" in text
    assert all(reason in text for reason in choice.reasons)
    assert all(change in text for change in choice.would_change)


def test_the_same_seed_gives_the_same_weights(tuned, data, backbone):
    again, _ = run(data, backbone, plan="all")
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
            finetune(data, backbone, CONFIG, Settings(plan="all"), run_folder=tmp_path, say=lambda line: None)
    resumed = finetune(data, backbone, CONFIG, Settings(plan="all"), run_folder=tmp_path, say=lambda line: None)
    whole, _ = tuned("all")
    for mine, others in zip(resumed.model.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, others)
    assert resumed.report.stages[-1].validation_accuracy == whole.report.stages[-1].validation_accuracy


@pytest.mark.tensorflow_only
def test_bad_settings_are_named():
    with pytest.raises(UnknownNameError, match="no plan is called 'lats': did you mean last"):
        Settings(plan="lats")
    with pytest.raises(ConfigError, match=r"head must be .* Received: head=\(0,\)"):
        Settings(head=(0,))
    with pytest.raises(ConfigError, match="dropout"):
        Settings(dropout=1.0)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(("images", "epochs"), [(50, 40), (1_000, 20), (2_700, 7), (50_000, 6)])
def test_default_epochs(images, epochs):
    assert default_epochs(images) == epochs
