import json

import keras
import pytest
from made_runs import classifier, write_run

from kerastricks.errors import EnsembleError, RunFolderError
from kerastricks.runs.members import kept_models, open_members

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
