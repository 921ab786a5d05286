"""`kerastricks.search.tune`: the folder of the command, interrupted and resumed, as a record."""

import dataclasses
import importlib
import json

import pytest
from made_plan import RATE

import kerastricks
from kerastricks.errors import Interrupted, SearchError, UsageError
from kerastricks.search import SearchRecord, Space, TrialRecord
from kerastricks.search.trial_record import write_records
from kerastricks.training import Config

pytestmark = pytest.mark.tensorflow_only
SEARCH = importlib.import_module("kerastricks.search.search")
DATA = {"name": "digits", "images": {"train": 9}, "class_names": ["a", "b"], "image_shape": [8, 8, 1]}
SCORES = (0.5, 0.75)


@pytest.fixture
def work(monkeypatch):
    """A search whose trials are made up; `work["stop"]` interrupts it."""
    found = {"stop": False, "asked": []}

    def prepare(plan, folder, *others, **settings):
        found["asked"].append((plan, settings))
        facts = {"space": Space([RATE]).to_dict(), "data": DATA, "versions": SEARCH.versions(folder)}
        return dataclasses.replace(plan, base={**plan.base, "augment": ""}, **facts)

    def run_search(plan, folder, processes, view, say, **others):
        if found["stop"]:
            raise KeyboardInterrupt
        records = [
            TrialRecord(f"{number:04}", "completed", score, plan.objective, plan.direction, {"learning_rate": 0.1})
            for number, score in enumerate(SCORES)
        ]
        for record in records:
            view.end(record)
        write_records(folder.trials, records)
        return records

    class Processes:
        def __init__(self, environment):
            pass

        def warm(self):
            pass

        def close(self):
            pass

    monkeypatch.setattr(SEARCH, "prepare", prepare)
    monkeypatch.setattr(SEARCH, "look_again", lambda *given: DATA)
    monkeypatch.setattr(SEARCH, "run_search", run_search)
    monkeypatch.setattr("kerastricks.search.tuning.Processes", Processes)
    return found


def test_a_search_interrupted_and_resumed(tmp_path, work):
    said, work["stop"] = [], True
    out = tmp_path / "search"
    how = {"oracle": "random", "trials": 2, "seed": 3}
    with pytest.raises(Interrupted, match=r"kerastricks\.search\.tune\(resume='.*search'\) resumes it"):
        kerastricks.search.tune("digits", out=out, say=said.append, **how)
    assert said[-1] == f"interrupted; resume with: kerastricks tune --resume --out {out}"
    work["stop"] = False
    with pytest.raises(SearchError, match="seed: 3 there, 4 now"):
        kerastricks.search.tune(resume=out, seed=4)
    found = kerastricks.search.tune(resume=out, say=said.append)
    assert (found.plan.oracle, found.plan.trials, found.plan.seed, found.plan.direction) == ("random", 2, 3, "max")
    assert [trial.trial for trial in found.best] == ["0001", "0000"]
    assert found == SearchRecord.open(out)
    assert found.to_json()["trials"] == {"completed": 2, "stopped": 0, "failed": 0}
    assert found.table.best == 1
    assert any("trial 0001  completed" in line and "best so far" in line for line in said)
    assert [json.loads(line)["trial"] for line in (out / "trials.jsonl").read_text().splitlines()] == ["0000", "0001"]


def test_a_configuration_gives_the_fields_that_it_changes(tmp_path, work):
    kerastricks.search.tune(config=Config(data="digits", batch_size=32), out=tmp_path / "a", say=lambda line: None)
    kerastricks.search.tune(
        "digits", out=tmp_path / "b", say=lambda line: None, learning_rate=0.3, epochs=4, doctor=True
    )
    (first, of_first), (second, of_second) = work["asked"]
    assert (first.base["batch_size"], first.epochs, of_first["keep_rate"], of_first["choose_epochs"]) == (
        32,
        10,
        False,
        True,
    )
    assert (first.doctor, second.doctor) == (False, True)
    assert (second.epochs, of_second["keep_rate"], of_second["choose_epochs"]) == (4, True, False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "data is missing"),
        ({"source": "digits", "config": Config(epochs=3)}, "config.epochs must be None"),
        ({"source": "digits", "oracle": "bayes"}, "did you mean bayesian"),
        ({"source": "digits", "objective": "val_acuracy"}, "did you mean val_accuracy"),
        ({"resume": "search", "out": "other"}, "out and resume exclude each other"),
        ({"resume": "search"}, "no search folder"),
    ],
)
def test_what_cannot_be_searched_is_refused(tmp_path, monkeypatch, work, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        kerastricks.search.tune(**arguments)
    assert not list(tmp_path.iterdir())
