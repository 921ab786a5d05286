import json

import pytest

from kerastricks.cli import run as command

pytestmark = pytest.mark.tensorflow_only


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "nothing: no such run folder or .keras file"),
        (["RUN", "--method", "meen"], "no method is called 'meen': did you mean mean"),
        (["RUN", "--temperatures"], "--temperatures is for --method mean and others: without --method they are tried"),
        (["RUN", "--method", "stack", "--temperatures"], "stack scales by its kernel"),
        (["RUN", "--classifier", "mlp"], "--classifier and --late are for --method fuse"),
        (["RUN", "--method", "fuse", "--classifier", "svm"], "no classifier is called 'svm'"),
        (["RUN", "--top", "3"], "--top is for a folder of `kerastricks tune`"),
        (["RUN", "--seed", "-1"], "must be in [0, 2^31). Received: -1"),
        (["RUN", "--data", "dogits"], "did you mean digits"),
        (["SEARCH", "--top", "1"], "must be 2 to 9,999. Received: 1"),
        (["SEARCH"], "the search kept 1 run(s): kerastricks tune --out"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(arguments, message, capsys, tmp_path):
    (tmp_path / "run").mkdir()
    search = tmp_path / "search"
    kept = search / "runs" / "trial-0000"
    kept.mkdir(parents=True)
    (kept / "summary.json").write_text("{}")
    (search / "search.json").write_text("{}")
    line: dict = {"trial": "0000", "status": "completed", "score": 0.5, "objective": "val_loss", "direction": "min"}
    line["values"] = {}
    (search / "trials.jsonl").write_text(json.dumps(line) + "\n")
    given = [{"RUN": str(tmp_path / "run"), "SEARCH": str(search)}.get(word, word) for word in arguments]
    assert command(["ensemble", *given]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
