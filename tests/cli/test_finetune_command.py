import json

import pytest

import kerastricks
from kerastricks.cli import run as command
from kerastricks.cli.finetune import parse_head
from kerastricks.errors import ConfigError

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASTRICKS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def backbone(tmp_path):
    path = tmp_path / "backbone.keras"
    kerastricks.models.create("plain_cnn(widths=(4, 6))", (16, 16, 3), 5).save(path)
    return path


def test_it_fine_tunes_and_prints_what_a_script_reads(split_folder, backbone, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = [
        "finetune",
        str(split_folder),
        "--from",
        str(backbone),
        "--plan",
        "linear",
        "--out",
        str(out),
        "--json",
    ]
    assert command([*arguments, "--name", "mine", "--classes", "red,blue"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["class_names"] == ["blue", "red"]
    assert summary["finetuning"]["plan"]["plan"] == "linear"
    assert command(["finetune", "--resume", str(out / "mine")]) == 0
    captured = capsys.readouterr()
    assert "finished already" in captured.err
    assert "plan linear" in captured.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["finetune"], "DATA is missing"),
        (["finetune", "digits", "--plan", "lst"], "no plan is called 'lst': did you mean last"),
        (["finetune", "digits", "--backbone", "resnet_5"], "no model is called 'resnet_5': did you mean"),
        (["finetune", "digits", "--backbone", "resnet_20"], "the zoo has no weights for it"),
        (["finetune", "digits", "--from", "nothing"], "nothing: no such run or file"),
        (["finetune", "digits", "--from", "a", "--backbone", "b"], "exclude each other"),
        (["finetune", "digits", "--minutes", "0"], "--minutes': must be in (0, 525,600]"),
        (["finetune", "digits", "--minutes", "nan"], "--minutes': must be in (0, 525,600]"),
        (["finetune", "digits", "--head", "12,many"], "--head must be units"),
        (["finetune", "digits", "--rare-below", "9"], "rare_below is of plan two_stage: leave it out"),
        (["finetune", "digits", "--plan", "decoupled", "--rare-only"], "rare_only is of plan two_stage"),
        (["finetune", "digits", "--plan", "two_stage", "--rare-below", "0"], "--rare-below': must be 1 to 1,000"),
        (["finetune", "digits", "--imbalance", "upsampel"], "did you mean upsample"),
        (["finetune", "digits", "--set", "model=nin"], "the network is the backbone"),
        (["finetune", "digits", "--set", "epochz=3"], "did you mean epochs"),
        (["finetune", "nowhere/images"], "no such file or folder"),
        (["finetune", "digits", "--resume", "x"], "a run is resumed as it began"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert not list(tmp_path.glob("saved_models/*"))


def test_a_damaged_backbone_is_one_line_and_leaves_no_folder(tmp_path, split_folder, capsys):
    (tmp_path / "broken.keras").write_bytes(b"nothing")
    assert (
        command(["finetune", str(split_folder), "--from", str(tmp_path / "broken.keras"), "--out", str(tmp_path)]) == 2
    )
    assert "broken.keras: is not a Keras model" in capsys.readouterr().err
    assert not list(tmp_path.glob("broken-finetuned*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--plan", "two_stage"], "so none is rare: take plan last or all, or say which are rare"),
        (["--imbalance", "balanced_softmax"], "goes with a plan that is named"),
    ],
)
def test_what_the_classes_cannot_take_is_one_line_and_leaves_no_folder(
    arguments, message, backbone, tmp_path, split_folder, capsys
):
    out = tmp_path / "out"
    assert command(["finetune", str(split_folder), "--from", str(backbone), "--out", str(out), *arguments]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert not list(out.glob("*"))


def test_head_units():
    assert parse_head("256,128") == (256, 128)
    assert parse_head("") == ()
    with pytest.raises(ConfigError, match=r"256,128"):
        parse_head("a")
