"""Fine-tuning in two parts: which images and layers each part trains, its resumption, and what decides."""

import functools
import json

import keras
import numpy as np
import pytest

import kerastricks
from kerastricks.errors import ConfigError, Interrupted
from kerastricks.finetuning import finetune, open_backbone
from kerastricks.finetuning import trainer as trainers
from kerastricks.finetuning.report import plot_report
from kerastricks.finetuning.settings import TRAINING_DEFAULTS, Settings
from kerastricks.finetuning.validation import balanced_accuracy, scored
from kerastricks.training import Config, resumable

pytestmark = pytest.mark.tensorflow_only

CONFIG = Config(**{**TRAINING_DEFAULTS, "epochs": 2, "batch_size": 8, "precision": "float32", "jit": False})
COUNTS = (40, 40, 10, 10)  # training: 32, 32, 8, 8


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERASTRICKS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def made(counts):
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(counts)), counts)
    images = np.clip(generator.normal(90, 40, (len(labels), 8, 8, 3)) + 20 * labels[:, None, None, None], 0, 255)
    return kerastricks.data.load((images.astype("uint8"), labels), augment="flip", batch_size=8, seed=1)


@pytest.fixture(scope="module")
def data():
    return made(COUNTS)


@pytest.fixture(scope="module")
def backbone():
    keras.utils.set_random_seed(0)
    return open_backbone(kerastricks.models.create("mlp(depth=2, width=4)", (8, 8, 3), 5))


def run(data, backbone, config=CONFIG, folder=None, **settings):
    """The result, the lines, and of each training: images by class, imbalance, names of layers that learn."""
    trainings, lines = [], []
    original = trainers.fit

    def look(network, given, config, **how):
        learning = {layer.name for layer in network.layers if layer.trainable_weights}
        counts = given.class_counts()
        trainings.append((counts["train"], counts["validation"], config.imbalance, learning))
        return original(network, given, config, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainers, "fit", look)
        tuned = finetune(data, backbone, config, Settings(**settings), run_folder=folder, say=lines.append)
    return tuned, lines, trainings


@pytest.fixture(scope="module")
def tuned(data, backbone):
    return functools.cache(lambda plan: run(data, backbone, strategy=plan))


def test_two_stage_trains_well_filled_classes_first_and_then_all_in_balanced_batches(tuned):
    result, lines, trainings = tuned("two_stage")
    assert [counts for counts, _, _, _ in trainings] == [[32, 32, 0, 0], [32, 32, 8, 8]]
    assert [imbalance for _, _, imbalance, _ in trainings] == ["", "class_aware_batches"]
    # The first part is measured by the classes it is about, the second by all.
    assert [counts for _, counts, _, _ in trainings] == [[4, 4, 0, 0], [4, 4, 1, 1]]
    assert result.report.parts == {"well_filled": ("0", "1"), "rare": ("2", "3")}
    text = "\n".join(lines)
    assert "well-filled, at least 32 training images: 0 32, 1 32" in text
    assert "rare, fewer than 32 training images: 2 8, 3 8" in text


def test_decoupled_trains_the_network_and_then_the_classifier_by_itself_on_balanced_batches(tuned):
    result, _, trainings = tuned("decoupled")
    assert [counts for counts, _, _, _ in trainings] == [[32, 32, 8, 8]] * 2
    assert [imbalance for _, _, imbalance, _ in trainings] == ["", "class_aware_batches"]
    assert len(trainings[0][3]) > 1
    assert trainings[1][3] == {"logits"}
    assert [stage.name for stage in result.report.stages][2] == "the classifier"
    assert all(layer.trainable for layer in result.model.layers if isinstance(layer, keras.layers.Dense))


@pytest.mark.slow
def test_the_published_second_part_is_the_rare_classes_by_themselves(data, backbone):
    result, _, trainings = run(data, backbone, strategy="two_stage", rare_only=True)
    assert trainings[1][:3] == ([0, 0, 8, 8], [4, 4, 1, 1], "")
    assert result.report.stages[2].name.endswith("rare classes")


@pytest.mark.parametrize("plan", ["two_stage", "decoupled"])
def test_a_plan_in_two_parts_is_reported_by_balanced_accuracy(plan, tuned, data, tmp_path):
    result, _, _ = tuned(plan)
    report = json.loads(json.dumps(result.report.to_json()))
    found = scored(result.model, data)
    assert report["validation_balanced_accuracy"] == pytest.approx(found.balanced_accuracy)
    assert report["validation_accuracy"] == pytest.approx(found.accuracy)
    assert found.balanced_accuracy >= report["linear_probe_validation_balanced_accuracy"] - 1e-6
    assert len(report["stages"]) == 3
    assert all(0 <= stage["validation_balanced_accuracy"] <= 1 for stage in report["stages"])
    plot_report(result.report, tmp_path / "finetune.png", plan)
    assert kerastricks.runs.finetuning_report.FinetuningReport.from_json(report).to_json() == report


@pytest.mark.parametrize(("plan", "step"), [pytest.param("two_stage", 19, marks=pytest.mark.slow), ("decoupled", 24)])
def test_one_that_is_interrupted_in_its_second_part_ends_in_the_same_weights(
    plan, step, tuned, data, backbone, tmp_path, monkeypatch
):
    steps = {"count": 0}
    original = resumable.Checkpointer.on_train_batch_end

    def stop(self, batch, logs=None):
        steps["count"] += 1
        if steps["count"] == step:  # of 2 * 8 + 2 * 10, and of 2 * 10 + 2 * 10
            self.request.signal_number = 15
        original(self, batch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(resumable.Checkpointer, "on_train_batch_end", stop)
        with pytest.raises(Interrupted):
            run(data, backbone, folder=tmp_path, strategy=plan)
    assert (tmp_path / "stages" / f"{plan}-part2" / "checkpoint.npz").exists()
    resumed, _, _ = run(data, backbone, folder=tmp_path, strategy=plan)
    whole, _, _ = tuned(plan)
    for mine, others in zip(resumed.model.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, others)
    assert resumed.report.stages[-1].validation_accuracy == whole.report.stages[-1].validation_accuracy


def test_balanced_accuracy_is_the_mean_recall_of_the_classes_that_are_there():
    assert balanced_accuracy(np.array([True, False, True]), np.array([0, 0, 2])) == 0.75


@pytest.mark.parametrize(
    ("settings", "imbalance", "message"),
    [
        ({"strategy": "two_stage"}, "upsample", "plan two_stage is a remedy for imbalanced classes itself"),
        ({"strategy": "decoupled"}, "ldam", "ldam needs a head of cosines"),
        ({}, "balanced_softmax", "goes with a plan that is named"),
    ],
)
def test_a_remedy_that_a_plan_cannot_take_is_named(settings, imbalance, message, data, backbone):
    with pytest.raises(ConfigError, match=message):
        finetune(data, backbone, CONFIG.replace(imbalance=imbalance), Settings(**settings), say=lambda line: None)


def test_classes_without_a_rare_one_are_refused_before_anything_is_measured(backbone, monkeypatch):
    even = made((20, 20, 20))
    monkeypatch.setattr("kerastricks.finetuning.procedure.measure", lambda *_: pytest.fail("measured"))
    with pytest.raises(ConfigError, match="so none is rare: take plan last or all, or say which"):
        finetune(even, backbone, CONFIG, Settings(strategy="two_stage"), say=lambda line: None)


def test_imbalance_reaches_the_training_of_a_plan(data, backbone):
    config = CONFIG.replace(imbalance="auto", epochs=1)
    result, _, trainings = run(data, backbone, config, strategy="last")
    assert [imbalance for _, _, imbalance, _ in trainings] == ["balanced_softmax"]
    assert result.report.balanced_accuracy >= result.report.probe_balanced_accuracy - 1e-6
    assert all(stage.validation_balanced_accuracy is not None for stage in result.report.stages)


@pytest.mark.slow
def test_with_imbalance_the_head_on_features_weighs_the_classes(data, backbone):
    plain, _, _ = run(data, backbone, strategy="linear")
    weighted, _, _ = run(data, backbone, CONFIG.replace(imbalance="class_weights"), strategy="linear")
    rare = [model.get_layer("logits").bias[2:].numpy().mean() for model in (plain.model, weighted.model)]
    assert rare[1] > rare[0]


@pytest.mark.slow
def test_a_head_of_hidden_layers_weighs_the_classes_and_minutes_divide_the_time(data, backbone):
    config = CONFIG.replace(imbalance="class_weights")
    assert run(data, backbone, config, strategy="linear", head=(4,))[0].report.balanced_accuracy > 0
    result, lines, _ = run(data, backbone, strategy="decoupled", minutes=1.0)
    assert len(result.report.stages) == 3
    assert any(line.startswith("part1 of decoupled in ") for line in lines)
