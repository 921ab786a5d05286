"""A fine-tuning as a run: its folder, its resumption, and what it refuses."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from made_runs import write_run_with_a_layer_of_its_recipe
from PIL import Image

import kerastricks
from kerastricks.errors import ConfigError, Interrupted, RunFolderError
from kerastricks.finetuning import open_backbone
from kerastricks.finetuning.rungs import Result
from kerastricks.finetuning.settings import Settings
from kerastricks.finetuning.trainer import Trainer
from kerastricks.runs.finetuning_run import make_config, run_finetuning, start
from kerastricks.runs.folder import RunFolder
from kerastricks.runs.training_run import run_training
from kerastricks.training import resumable


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASTRICKS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def backbone(tmp_path):
    path = tmp_path / "backbone.keras"
    keras.utils.set_random_seed(3)
    kerastricks.models.create("plain_cnn(widths=(4, 6))", (16, 16, 3), 5).save(path)
    return path


def begin(folder, backbone, out, **settings):
    config = make_config({"data": str(folder), "epochs": 2, "batch_size": 8, "jit": False})
    return start(config, Settings(backbone=str(backbone), **settings), out, "run")


@pytest.mark.tensorflow_only
@pytest.mark.reports
def test_it_leaves_a_run_folder_like_train(split_folder, backbone, tmp_path):
    run = begin(split_folder, backbone, tmp_path / "out", strategy="last")
    summary = run_finetuning(run, say=lambda line: None)
    names = {path.name for path in run.path.iterdir()}
    assert {
        "1",
        "batch_loss.f32",
        "card.md",
        "config.json",
        "curves.png",
        "finetune.json",
        "finetune.png",
        "metrics.jsonl",
        "model.keras",
        "report.html",
        "summary.json",
    } <= names
    assert "stages" not in names
    report = json.loads((run.path / "finetune.json").read_text())
    assert report["plan"]["plan"] == "last"
    assert summary.finetuning.to_json() == report
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, len(lines) + 1))
    assert len(np.fromfile(run.batch_loss, "<f4")) == (lines[-1]["step"] if lines else 0)
    model = keras.models.load_model(run.model)
    assert model.output_shape == (None, 3)
    assert "kerastricks finetune" in run.card.read_text()
    assert "fine-tuned" in (run.path / "report.html").read_text()
    again = kerastricks.runs.evaluate(run, str(split_folder))
    assert again.accuracy == summary.accuracy


@pytest.mark.slow  # tests/finetuning/test_procedure.py interrupts one on every backend
def test_an_interrupted_run_goes_on_to_the_same_weights(split_folder, backbone, tmp_path, monkeypatch):
    whole = begin(split_folder, backbone, tmp_path / "a", strategy="all")
    run_finetuning(whole, say=lambda line: None)
    seen = {"steps": 0}
    original = resumable.Checkpointer.on_train_batch_end

    def stop(self, batch, logs=None):
        seen["steps"] += 1
        if seen["steps"] == 4:
            self.request.signal_number = 15
        original(self, batch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(resumable.Checkpointer, "on_train_batch_end", stop)
        run = begin(split_folder, backbone, tmp_path / "b", strategy="all")
        with pytest.raises(Interrupted):
            run_finetuning(run, say=lambda line: None)
    assert (run.path / "stages").is_dir()
    run_finetuning(RunFolder.open(run.path), say=lambda line: None)
    ours, theirs = (keras.models.load_model(one.model).get_weights() for one in (run, whole))
    for mine, others in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine, others)


@pytest.mark.tensorflow_only  # twenty seconds a backend, for what the test before it says
@pytest.mark.slow
def test_a_head_alone_has_no_curves_and_its_run_is_a_backbone(split_folder, backbone, tmp_path):
    first = begin(split_folder, backbone, tmp_path / "out", strategy="linear")
    summary = run_finetuning(first, say=lambda line: None)
    assert summary.epochs == 0
    assert not first.curves.exists()
    assert "curves.png" not in first.card.read_text()
    second = start(
        dataclasses.replace(make_config({"data": str(split_folder), "epochs": 1}), batch_size=8),
        Settings(backbone=str(first.path), strategy="linear"),
        tmp_path / "out",
        None,
    )
    assert second.path.name == "run-finetuned-split-1"
    assert run_finetuning(second, say=lambda line: None).accuracy >= 0


@pytest.fixture
def photographs(tmp_path):
    """Two colours in photographs of 40x40: larger than the small network looks at."""
    generator = np.random.default_rng(0)
    for split, count in (("train", 24), ("validation", 8), ("test", 8)):
        for label, colour in (("red", (200, 60, 60)), ("blue", (60, 60, 200))):
            folder = tmp_path / "photographs" / split / label
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(generator.normal(colour, 40, (40, 40, 3)), 0, 255).astype("uint8")
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "photographs"


@pytest.mark.tensorflow_only
@pytest.mark.slow
def test_where_the_small_network_wins_the_run_is_that_network(photographs, backbone, tmp_path, monkeypatch):
    def wins(trainer, plan, number, length, before):
        found = original(trainer, plan, number, length, before)
        correct = np.full(len(found.correct), plan == "small")
        return dataclasses.replace(found, accuracy=float(plan == "small"), loss=0.0, correct=correct)

    original = Trainer.rung
    monkeypatch.setattr(Trainer, "rung", wins)
    half = np.arange(16) < 8  # a probe would be as good, on two colours
    monkeypatch.setattr(Trainer, "probe_result", lambda trainer, name, level: Result(name, 0, 0.5, 1.0, half))
    config = make_config({"data": str(photographs), "epochs": 2, "batch_size": 8, "jit": False})
    run = start(config, Settings(backbone=str(backbone), minutes=60), tmp_path / "out", "run")
    lines = []
    summary = run_finetuning(run, say=lines.append)
    assert summary.finetuning.kept == "small"
    assert summary.data["image_shape"] == [32, 32, 3]
    model = keras.models.load_model(run.model)
    assert model.name == "plain_cnn"
    assert model.input_shape == (None, 32, 32, 3)
    assert "| `model` | `plain_cnn` |" in run.card.read_text()
    assert "Chosen by validation within 3600 s" in run.card.read_text()
    assert run.curves.exists()
    assert (run.path / "finetune.png").stat().st_size > 10_000
    assert [json.loads(line)["stage"] for line in run.metrics.read_text().splitlines()][:1] == ["small-rung1"]
    again = kerastricks.runs.evaluate(run, str(photographs))
    assert again.accuracy == summary.accuracy
    assert again.log_loss == pytest.approx(summary.log_loss, rel=1e-5)
    assert open_backbone(run.path).image_shape == (32, 32, 3)


@pytest.mark.tensorflow_only
def test_train_and_finetune_refuse_each_others_runs(split_folder, backbone, tmp_path):
    run = begin(split_folder, backbone, tmp_path / "out")
    with pytest.raises(RunFolderError, match="kerastricks finetune --resume"):
        run_training(run, say=lambda line: None)
    record = run.read(run.config)
    del record["finetuning"]
    run.write(run.config, record)
    with pytest.raises(RunFolderError, match="kerastricks train --resume"):
        run_finetuning(run, say=lambda line: None)


@pytest.mark.tensorflow_only
@pytest.mark.slow
def test_a_run_with_layers_of_its_recipe_is_fine_tuned(split_folder, tmp_path):
    """Its recipe comes along, and the export is tried before anything is trained."""
    backbone = write_run_with_a_layer_of_its_recipe(tmp_path / "trained", 0)
    run = begin(split_folder, backbone.path, tmp_path / "out", strategy="linear")
    assert run.recipe.read_text() == backbone.recipe.read_text()
    lines = []
    summary = run_finetuning(run, say=lines.append)
    keras.saving.get_custom_objects().pop("made>Scaled", None)
    assert kerastricks.runs.evaluate(run, str(split_folder)).accuracy == summary.accuracy
    keras.saving.get_custom_objects().pop("made>Scaled", None)


@pytest.mark.tensorflow_only
def test_layers_of_a_recipe_that_cannot_be_exported_are_refused_before_the_fine_tuning(
    split_folder, tmp_path, monkeypatch
):
    def refuse(model, images, where, folder, own, data):
        assert [path.name for path in own] == ["recipe.py"]
        raise ConfigError(f"{where}: cannot be saved")

    backbone = write_run_with_a_layer_of_its_recipe(tmp_path / "trained", 0)
    run = begin(split_folder, backbone.path, tmp_path / "out", strategy="linear")
    monkeypatch.setattr("kerastricks.runs.finetuning_run.check_export", refuse)
    monkeypatch.setattr("kerastricks.finetuning.procedure.finetune", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(ConfigError, match="cannot be saved"):
        run_finetuning(run, say=lambda line: None)
    keras.saving.get_custom_objects().pop("made>Scaled", None)
