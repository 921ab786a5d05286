"""Files that version 0.1.0 wrote (make_fixtures.py) load, resume and export, and give the numbers they gave then."""

import dataclasses
import json
import shutil
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import pytest
from make_fixtures import numbers_of, tiny_network

import kerastricks
from kerastricks import cli

pytestmark = pytest.mark.tensorflow_only

FIXTURES = Path(__file__).parent / "fixtures"
IMAGES = FIXTURES / "images"
NUMBERS = json.loads((FIXTURES / "numbers.json").read_text())
OBJECTS = json.loads((FIXTURES / "objects.json").read_text())
TOLERANCE = 1e-5


def pixels():
    return np.random.default_rng(7).integers(0, 256, (5, 8, 8, 3)).astype("float32")


def assert_predicts(model, name):
    assert np.allclose(model(pixels(), training=False), NUMBERS["predictions"][name], rtol=0, atol=TOLERANCE)


@pytest.fixture
def copy(tmp_path):
    """Copies a fixture, which may be written to, and returns its path."""

    def copied(name):
        return Path(shutil.copytree(FIXTURES / name, tmp_path / Path(name).name))

    return copied


@pytest.fixture
def printed(capsys):
    """Runs a command in this process and reads the JSON that it prints."""

    def run(*arguments):
        assert cli.run([*map(str, arguments), "--json"]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    return run


@pytest.mark.parametrize("name", [name for name in NUMBERS["predictions"] if (FIXTURES / name).exists()])
def test_keras_file_loads_and_predicts(name):
    assert_predicts(keras.models.load_model(FIXTURES / name), name)


def test_loss_and_schedule_of_a_compiled_model_load():
    model = keras.models.load_model(FIXTURES / "layers" / "all_layers.keras")
    assert model.loss.get_config()["smoothing"] == 0.1
    assert float(model.optimizer.learning_rate) == pytest.approx(0.1 / 25 / 25)  # the one-cycle's and the warm-up's


@pytest.mark.parametrize("entry", OBJECTS, ids=[entry["object"]["class_name"] for entry in OBJECTS])
def test_serialized_object_loads_and_computes(entry):
    loaded = keras.saving.deserialize_keras_object(entry["object"])
    assert np.allclose(numbers_of(entry["kind"], loaded), entry["numbers"], rtol=TOLERANCE, atol=TOLERANCE)


def test_finished_run_is_evaluated_on_the_images_it_did_not_see(copy, printed):
    scores = printed("evaluate", copy("runs/finished"), IMAGES)
    assert scores["split"].startswith("test (the images the run did not train on)")
    assert scores["log_loss"] == pytest.approx(NUMBERS["log_loss"]["finished"], abs=TOLERANCE)


@pytest.mark.parametrize("name", ["finished", "ensemble"])
def test_summary_comes_back_to_the_byte(name):
    text = (FIXTURES / "runs" / name / "summary.json").read_text()
    summary = kerastricks.runs.Summary.from_json(json.loads(text))
    assert json.dumps(summary.to_json(), indent=2) + "\n" == text
    assert kerastricks.runs.RunRecord.open(FIXTURES / "runs" / name).summary == summary


@pytest.mark.slow
def test_ensemble_is_evaluated(copy, printed):
    scores = printed("evaluate", copy("runs/ensemble"), IMAGES)
    assert scores["log_loss"] == pytest.approx(NUMBERS["log_loss"]["ensemble"], abs=TOLERANCE)


def test_finished_run_that_is_resumed_stays_as_it_is(copy, printed):
    run = copy("runs/finished")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert printed("train", "--resume", run)["log_loss"] == NUMBERS["log_loss"]["finished"]
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(("command", "kind"), [("finetune", "fine-tuning"), ("distill", "distillation")])
def test_finished_run_of_another_command_is_not_resumed(copy, capsys, command, kind):
    run = copy("runs/finished")
    assert cli.run([command, "--resume", str(run)]) == 2
    assert f"{run}: is no {kind}" in capsys.readouterr().err


def test_kept_weights_of_a_run_are_members(copy):
    from kerastricks.runs.members import open_members

    members, left_out = open_members([copy("runs/finished")], print)
    assert [member.path.name for member in members] == ["01.keras", "02.keras"]
    assert not left_out
    assert_predicts(members[0].member.model, "runs/finished/members/01.keras")


def test_training_resumes_from_the_checkpoint_within_an_epoch(copy):
    from kerastricks.training.datasets import load_data

    run = copy("runs/interrupted")
    fields = json.loads((run / "config.json").read_text())["config"]
    config = kerastricks.training.Config(**{**fields, "data": str(IMAGES)})
    data = load_data(config.data, config)
    keras.utils.set_random_seed(1)  # the state is the checkpoint's
    model = kerastricks.models.create(config.model, data.image_shape, 3, mean=data.mean, std=data.std)
    kerastricks.training.fit(model, data, config, run_folder=run, progress_line=False)
    assert_predicts(model, "runs/whole/model.keras")
    losses = np.fromfile(run / "batch_loss.f32", "<f4")
    assert np.allclose(losses, NUMBERS["batch_loss"], rtol=0, atol=TOLERANCE)


def test_search_goes_on_with_the_trial_it_would_have_had(copy):
    from kerastricks.search.folder import SearchFolder
    from kerastricks.search.oracle.engine import open_oracle
    from kerastricks.search.trial_record import read_records

    folder = SearchFolder.open(copy("search"))
    oracle = open_oracle(dataclasses.replace(folder.read_plan(), trials=3), folder)
    assert [record.score for record in oracle.records()] == [trial["score"] for trial in NUMBERS["trials"][:2]]
    assert oracle.records() == read_records(folder.trials)
    assert oracle.create_trial("tuner0").hyperparameters.values == NUMBERS["trials"][2]["values"]


def test_features_open(copy):
    [folder] = copy("cache/features").iterdir()
    features = kerastricks.features.Features.open(folder)
    features.check_model(keras.models.load_model(FIXTURES / "runs/finished/model.keras"))
    assert {split: len(features.labels(split)) for split in features.splits} == {"train": 12, "test": 6}
    assert features.of("train", features.layers[0]).shape == (12, 3)


def test_cached_features_are_found(copy):
    cache = copy("cache")
    [folder] = (cache / "features").iterdir()
    skip_unless_versions_are(json.loads((folder / "features.json").read_text())["versions"])
    model = keras.models.load_model(FIXTURES / "runs/finished/model.keras")
    data = kerastricks.data.load(IMAGES, validation=0.25, test=0.25)
    found = kerastricks.features.cached(model, [model.layers[-2].name], data, ["train", "test"], cache_dir=cache)
    assert found.path == folder
    assert list(folder.parent.iterdir()) == [folder]


def test_decoded_images_are_found(copy):
    folder = copy("cache/decoded")
    skip_unless_versions_are({"tensorflow": NUMBERS["tensorflow"]})
    [file] = folder.iterdir()
    before = file.stat().st_ino
    crops = {"augment": "random_resized_crop(0.25)", "validation": 0.25, "test": 0.25, "image_size": 6}
    data = kerastricks.data.load(IMAGES, cache_dir=folder, memory_bytes=0, **crops)
    next(iter(data.train_from(0)))
    assert [path.stat().st_ino for path in folder.iterdir()] == [before]


def test_converted_weights_are_found(copy, monkeypatch):
    from kerastricks.weights.files import cached_weights

    monkeypatch.setenv("KERASTRICKS_CACHE", str(copy("cache")))
    network, other = tiny_network(), tiny_network()
    other.set_weights([np.zeros(weight.shape) for weight in network.get_weights()])
    with cached_weights("tiny-0123", lambda path: pytest.fail("it is there")) as path:
        other.load_weights(path)
    assert np.allclose(other.get_weights()[0], network.get_weights()[0], rtol=0, atol=TOLERANCE)


@pytest.mark.slow
def test_interrupted_run_is_finished_and_exported(copy, printed):
    run = copy("runs/interrupted")
    summary = printed("train", "--resume", run, "--set", f"data={IMAGES}")
    assert summary["log_loss"] == pytest.approx(NUMBERS["log_loss"]["whole"], abs=TOLERANCE)
    assert_predicts(keras.models.load_model(run / "model.keras"), "runs/whole/model.keras")
    assert (run / "1" / "saved_model.pb").is_file()
    assert cli.run(["predict", str(run), str(IMAGES / "red" / "0.png")]) == 0


@pytest.mark.slow
def test_ensemble_of_an_old_run_is_made_and_exported(copy, printed, tmp_path):
    arguments = ("--data", IMAGES, "--method", "mean", "--out", tmp_path, "--name", "again")
    summary = printed("ensemble", copy("runs/finished"), *arguments)
    assert summary["log_loss"] == pytest.approx(NUMBERS["log_loss"]["ensemble"], abs=TOLERANCE)
    assert_predicts(keras.models.load_model(tmp_path / "again" / "model.keras"), "runs/ensemble/model.keras")


@pytest.mark.slow
def test_search_is_resumed_and_its_best_trial_kept(copy, printed):
    folder = copy("search")
    renew_versions(folder / "search.json")
    printed("tune", "--resume", "--out", folder, "--trials", "3", "--top", "1", "--set", f"data={IMAGES}")
    lines = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
    assert [{name: line[name] for name in NUMBERS["trials"][0]} for line in lines] == NUMBERS["trials"]
    [best] = (folder / "runs").iterdir()
    assert (best / "summary.json").is_file()


def skip_unless_versions_are(versions):
    """A cache is keyed by the versions that decide its numbers: with others it is rightly made again."""
    installed = {"kerastricks": kerastricks.__version__, "backend": keras.backend.backend()}
    found = {name: installed.get(name) or version(name) for name in versions}
    if found != versions:
        pytest.skip(f"the cache was written with {versions}, these are {found}")


def renew_versions(path):
    """A search is not resumed with other versions, and it is not those that are tested here."""
    plan = json.loads(path.read_text())
    installed = {"kerastricks": kerastricks.__version__, "backend": f"tensorflow {version('tensorflow')}"}
    plan["versions"] = {name: installed.get(name) or version(name) for name in plan["versions"]}
    path.write_text(json.dumps(plan))
