"""What `kerastricks tune` refuses about its folder and its machine: one line, exit 2, and nothing is changed."""

import dataclasses
import signal

import pytest
from made_plan import DATA, RATE, made_folder, made_plan

from kerastricks import cli
from kerastricks.search import search
from kerastricks.search.space.space import Space
from kerastricks.search.trials import processes as machine
from kerastricks.search.trials.processes import Processes, TrialProcess

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture(autouse=True)
def process_as_it_was(monkeypatch):
    """The command hides GPUs from its process and catches SIGTERM."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(autouse=True)
def no_processes(monkeypatch):
    """None of these gets as far as to use one; those that are warmed up are given back."""
    living = []
    monkeypatch.setattr(Processes, "warm", lambda self: living.append(self))
    monkeypatch.setattr(Processes, "close", lambda self: living.clear())
    monkeypatch.setattr(TrialProcess, "__init__", None)
    yield
    assert not living


def refused(capsys, *arguments):
    assert cli.run(["tune", *map(str, arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = [line for line in captured.err.splitlines() if not line.startswith("search folder: ")]
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    return lines[0]


def contents(folder):
    return {path.relative_to(folder): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


@pytest.fixture
def there(tmp_path):
    """A search that somebody began."""
    folder = made_folder(tmp_path, made_plan("bayesian"))
    folder.write_plan(dataclasses.replace(folder.read_plan(), versions=search.versions(folder)))
    return folder


def test_out_that_is_not_empty(tmp_path, capsys, there):
    before = contents(tmp_path)
    assert "is never reused silently" in refused(capsys, "digits", "--out", there.path)
    assert contents(tmp_path) == before


def test_out_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert "cannot be written to" in refused(capsys, "digits", "--out", tmp_path / "file" / "search")
    assert list(contents(tmp_path)) == [(tmp_path / "file").relative_to(tmp_path)]


def test_resume_of_what_is_no_search(tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    before = contents(tmp_path)
    assert "no search folder" in refused(capsys, "--resume", "--out", tmp_path / "photos")
    assert "no search folder" in refused(capsys, "--resume", "--out", tmp_path / "nowhere")
    assert contents(tmp_path) == before


def test_resume_of_a_search_that_is_running(capsys, there):
    with there.locked():
        assert "another search works in it" in refused(capsys, "--resume", "--out", there.path)
    assert there.read_plan().oracle == "bayesian"


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["--seed", "7"], ["seed: 0 there, 7 now"]),
        (["--objective", "val_loss"], ["objective: 'val_accuracy' there, 'val_loss' now"]),
        (["--oracle", "grid"], ["oracle: 'bayesian' there, 'grid' now"]),
        (["--epochs", "5", "--folds", "3"], ["epochs: 3 there, 5 now", "folds: 0 there, 3 now"]),
        (["--no-early-stop"], ["stop_early: True there, False now"]),
        (["--doctor"], ["doctor: False there, True now"]),
        (["--model", "resnet_20"], ["model: 'mlp' there, 'resnet_20' now"]),
        (["--set", "learning_rate=0.5"], ["learning_rate: 0.2 there, 0.5 now"]),
    ],
)
def test_resume_of_another_search_shows_the_difference(capsys, there, arguments, messages):
    before = contents(there.path)
    line = refused(capsys, "--resume", "--out", there.path, *arguments)
    assert "is another search" in line
    for message in messages:
        assert message in line
    assert {**contents(there.path), **before} == contents(there.path)


def test_resume_with_another_space_shows_the_difference(tmp_path, capsys, there):
    there.write_plan(dataclasses.replace(there.read_plan(), space=Space([RATE]).to_dict()))
    (tmp_path / "space.toml").write_text('[learning_rate]\nmin = 0.001\nmax = 0.3\nsampling = "log"\ndefault = 0.02\n')
    line = refused(capsys, "--resume", "--out", there.path, "--space", tmp_path / "space.toml")
    assert "learning_rate: 0.001-1 log then, 0.001-0.3 log now" in line


def test_resume_with_other_images_shows_the_difference(capsys, there, monkeypatch):
    other = {**DATA, "fingerprint": "4567", "images": {**DATA["images"], "train": 81}}
    monkeypatch.setattr(search, "look_again", lambda *arguments: other)
    line = refused(capsys, "--resume", "--out", there.path)
    assert "fingerprint: '0123' there, '4567' now" in line
    assert "'train': 81" in line


def test_resume_with_other_code_shows_the_difference(capsys, there):
    plan = there.read_plan()
    there.write_plan(dataclasses.replace(plan, versions={**plan.versions, "keras": "3.0.0"}))
    assert "keras: '3.0.0' there, " in refused(capsys, "--resume", "--out", there.path)


def test_resume_with_names_that_are_not_there(capsys, there):
    assert "did you mean bayesian" in refused(capsys, "--resume", "--out", there.path, "--oracle", "bayes")
    assert "'--trials': must be 1 to 9,999" in refused(capsys, "--resume", "--out", there.path, "--trials", "0")


@pytest.mark.parametrize("text", ["", "{", '{"base": {}}'])
def test_resume_of_a_damaged_record(capsys, there, text):
    there.plan.write_text(text)
    assert "search.json: cannot be read" in refused(capsys, "--resume", "--out", there.path)
    assert there.plan.read_text() == text


def test_more_workers_than_memory(tmp_path, capsys, monkeypatch):
    made = made_plan("bayesian", trial_bytes=2**30)
    monkeypatch.setattr(machine, "available_bytes", lambda: 8 * 2**30)
    monkeypatch.setattr(search, "prepare", lambda plan, folder, *arguments, **settings: made)
    line = refused(capsys, "digits", "--workers", "16", "--out", tmp_path / "search")
    assert "--workers 16 would take about" in line
    assert "8.0 GB are free: give --workers 3 or fewer" in line
    assert not contents(tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["digits", "--model", "mlp", "--set", "batch_size=32", "--set", "clip_norm=None", "--seed", "3"],
        ["digits", "--oracle", "hyperband", "--epochs", "9", "--folds", "3", "--objective", "loss", "--no-early-stop"],
        ["digits", "--set", "augment=auto", "--set", "learning_rate=1", "--top", "2", "--refit", "--retries", "0"],
    ],
)
def test_resume_with_the_same_words_goes_on(tmp_path, capsys, monkeypatch, arguments):
    def prepare(plan, folder, *others, **settings):
        base = {**plan.base, "augment": "pad_crop(1)"}  # that is what "auto" has become
        if not settings["keep_rate"]:
            base["learning_rate"] = 0.0123  # as the range test suggests
        facts = {"space": Space([RATE]).to_dict(), "data": DATA, "versions": search.versions(folder)}
        return dataclasses.replace(plan, base=base, **facts)

    ran = []
    monkeypatch.setattr(search, "prepare", prepare)
    monkeypatch.setattr(search, "look_again", lambda *arguments: DATA)
    monkeypatch.setattr("kerastricks.search.search_run.run", lambda plan, *others, **show: ran.append(plan) or [])
    assert cli.run(["tune", *arguments, "--out", str(tmp_path / "search")]) == 0
    for more in ([], ["--trials", "30"]):
        assert cli.run(["tune", *arguments, "--resume", "--out", str(tmp_path / "search"), *more]) == 0, (
            capsys.readouterr()
        )
    assert ran[1] == ran[0]
    assert ran[2] == dataclasses.replace(ran[0], trials=30)
