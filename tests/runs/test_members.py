import json
from dataclasses import replace

import keras
import pytest
from made_runs import classifier, write_run, write_run_with_a_layer_of_its_recipe

from kerastricks.ensemble.build import EnsembleSettings
from kerastricks.errors import EnsembleError, RunFolderError
from kerastricks.runs import folder as run_folder
from kerastricks.runs.members import check_combination, kept_models, open_members
from kerastricks.training import Config
from kerastricks.training.datasets import load_data

pytestmark = pytest.mark.tensorflow_only


def opened(paths):
    said = []
    members, left_out = open_members(paths, said.append)
    assert said == [f"left out: {line}" for line in left_out]
    return members, left_out


def test_runs_are_members_by_their_names_with_classes_and_time(tmp_path):
    runs = [write_run(tmp_path / name, classifier(seed)) for seed, name in enumerate(("a-s0", "a-s1"))]
    members, left_out = opened([run.path for run in runs])
    assert [one.member.name for one in members] == ["a-s0", "a-s1"]
    assert members[0].member.class_names == tuple("0123456789")
    assert members[1].training_seconds == 3.0
    assert members[0].config.seed == 0
    assert left_out == []


def test_a_run_that_kept_models_stands_for_all_of_them(tmp_path):
    run = write_run(tmp_path / "snap", classifier(0))
    (run.path / "members").mkdir()
    entries = []
    for number in (1, 2, 3):
        classifier(number).save(run.path / "members" / f"{number:02}.keras")
        entries.append({"file": f"{number:02}.keras"})
    (run.path / "members" / "members.json").write_text(json.dumps({"members": entries[::-1]}))
    assert [path.name for path in kept_models(run)] == ["03.keras", "02.keras", "01.keras"]
    members, _ = opened([run.path])
    assert [one.member.name for one in members] == ["snap/03", "snap/02", "snap/01"]
    assert [one.training_seconds for one in members] == [1.0, 1.0, 1.0]
    alone, _ = opened([run.path / "members" / "01.keras", run.path / "members" / "03.keras"])
    assert alone[0].member.class_names == tuple("0123456789")  # the run of the file is found


def test_a_damaged_file_is_named_and_the_others_are_used(tmp_path):
    runs = [write_run(tmp_path / f"r{seed}", classifier(seed)) for seed in range(3)]
    runs[1].model.write_bytes(runs[1].model.read_bytes()[:500])
    members, left_out = opened([run.path for run in runs])
    assert [one.member.name for one in members] == ["r0", "r2"]
    assert len(left_out) == 1
    assert left_out[0].startswith(f"{runs[1].model}: is damaged")


@pytest.mark.parametrize("record", ["summary", "config"])
def test_a_run_whose_records_are_damaged_is_left_out(tmp_path, record):
    runs = [write_run(tmp_path / f"r{seed}", classifier(seed)) for seed in range(3)]
    damaged = getattr(runs[1], record)
    damaged.write_text('{"config": {"data": "digits", "epochs": -1}}' if record == "config" else "{")
    members, left_out = opened([run.path for run in runs])
    assert [one.member.name for one in members] == ["r0", "r2"]
    assert left_out[0].startswith(str(damaged))


def test_one_member_is_no_ensemble(tmp_path):
    runs = [write_run(tmp_path / f"r{seed}", classifier(seed)) for seed in range(2)]
    with pytest.raises(
        EnsembleError, match=r"two members or more, only .*r0/model.keras is left \(one run was given\)"
    ):
        opened([runs[0].path])
    runs[1].model.write_bytes(b"")
    with pytest.raises(EnsembleError, match=r"only .*r0/model.keras is left \(.*r1/model.keras: is damaged"):
        opened([run.path for run in runs])


def test_what_is_no_run_is_refused(tmp_path):
    run = write_run(tmp_path / "r", classifier(0))
    with pytest.raises(RunFolderError, match="no such run folder"):
        opened([run.path, tmp_path / "nothing"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunFolderError, match="no run folder"):
        opened([run.path, tmp_path / "empty"])
    with pytest.raises(EnsembleError, match="given twice"):
        opened([run.path, run.path / "model.keras"])
    run.summary.unlink()
    with pytest.raises(RunFolderError, match="not finished"):
        opened([run.path, run.path])


def test_a_model_that_is_no_classifier_is_named(tmp_path):
    run = write_run(tmp_path / "r", classifier(0))
    regression = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(1)])
    regression.save(tmp_path / "price.keras")
    with pytest.raises(EnsembleError, match="price"):
        opened([run.path, tmp_path / "price.keras"])


@pytest.fixture(scope="module")
def images():
    return load_data("digits", Config(data="digits"))


def test_a_disk_without_room_for_the_one_model_is_named(tmp_path, monkeypatch, images):
    runs = [write_run(tmp_path / f"r{seed}", classifier(seed)) for seed in range(3)]
    members, _ = opened([run.path for run in runs])
    asked = []
    monkeypatch.setattr("kerastricks.runs.members.check_room", lambda *given, **kind: asked.append((*given, kind)))
    for method in ("auto", "greedy_soup"):
        check_combination(members, images, EnsembleSettings(method), tmp_path)
    weights = classifier(0).count_params()
    assert asked == [(tmp_path, 3 * weights, {"trained": False}), (tmp_path, weights, {"trained": False})]
    monkeypatch.undo()
    monkeypatch.setattr(run_folder.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 4_999_999}))
    with pytest.raises(RunFolderError, match="make room, or choose another --out"):
        check_combination(members, images, EnsembleSettings(), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["mean", "fuse"])
def test_the_export_of_layers_of_recipes_is_tried_before_the_predictions(tmp_path, images, method):
    runs = [write_run_with_a_layer_of_its_recipe(tmp_path / f"r{seed}", seed) for seed in range(2)]
    (tmp_path / "out").mkdir()
    members, _ = opened([run.path for run in runs])
    check_combination(members, images, EnsembleSettings(method), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    keras.saving.get_custom_objects().pop("made>Scaled")


def test_two_recipes_that_register_different_layers_by_one_name_are_refused(tmp_path, images):
    """The second member would compute with the first one's layer, and nobody would see it."""
    runs = [write_run_with_a_layer_of_its_recipe(tmp_path / f"r{factor}", 0, factor) for factor in (2, 3)]
    members, _ = opened([run.path for run in runs])
    keras.saving.get_custom_objects().pop("made>Scaled")
    with pytest.raises(EnsembleError, match=r"r2/recipe\.py and .*r3/recipe\.py: register two different 'Scaled'"):
        check_combination(members, images, EnsembleSettings(), tmp_path)


def test_the_export_is_tried_of_recipes_and_of_files_that_no_run_has_exported(tmp_path, images, monkeypatch):
    tried = []
    monkeypatch.setattr("kerastricks.runs.members.check_export", lambda *given: tried.append(given))
    paths = [tmp_path / "net0.keras", write_run(tmp_path / "r1", classifier(1)).path]
    classifier(0).save(paths[0])
    members, _ = opened(paths)
    members[0] = replace(members[0], member=replace(members[0].member, class_names=images.class_names))
    check_combination(members[1:] * 2, images, EnsembleSettings(), tmp_path)
    assert tried == []
    paths.append(write_run_with_a_layer_of_its_recipe(tmp_path / "r2", 2).path)
    members += opened(paths[1:])[0][1:]
    keras.saving.get_custom_objects().pop("made>Scaled")
    recipe = paths[2] / "recipe.py"
    for used, untried in ((members[:2], [paths[0]]), (members[1:], [recipe]), (members, [recipe, paths[0]])):
        check_combination(used, images, EnsembleSettings(), tmp_path)
        model, pixels, where, folder, own, _ = tried.pop()
        assert model.output_shape == (None, 10)
        assert (pixels.shape, folder) == ((4, 8, 8, 1), tmp_path)
        assert where == ", ".join(map(str, untried))
        assert own == [path for path in untried if path == recipe]
