import json

import pytest

from kerastricks.cli import run as command
from kerastricks.imbalance.post_hoc import METRICS
from kerastricks.imbalance.post_hoc_choice import METHODS
from kerastricks.runs.configuration import REMEDIES, REMEDY_METRICS, UNCHANGED

pytestmark = pytest.mark.tensorflow_only


def test_the_command_knows_the_methods_and_metrics_without_importing_them():
    assert (UNCHANGED, *REMEDIES[1:]) == METHODS
    assert REMEDY_METRICS == METRICS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "nothing: no such run folder"),
        (["RUN", "--method", "thresold"], "no method is called 'thresold': did you mean thresholds"),
        (["RUN", "--metric", "auc"], "no metric is called 'auc'"),
        (["RUN", "--seed", "-1"], "Received: -1"),
        (["RUN", "--data", "dogits"], "did you mean digits"),
        (["RUN", "--name", "a/b"], "must be a plain name"),
        (["RUN"], "summary.json: missing: the run is not finished: resume with --resume"),
        (["DAMAGED"], "summary.json: cannot be read"),
        (["EMPTY"], "no run folder (no config.json inside)"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(arguments, message, capsys, tmp_path):
    for name in ("RUN", "DAMAGED", "EMPTY"):
        (tmp_path / name).mkdir()
    for name in ("RUN", "DAMAGED"):
        (tmp_path / name / "config.json").write_text(json.dumps({"config": {"data": "digits"}}))
    (tmp_path / "DAMAGED" / "summary.json").write_text('{"accuracy": 0.')
    given = [str(tmp_path / word) if word.isupper() else word for word in arguments]
    assert command(["rebalance", *given]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
