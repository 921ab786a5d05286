"""What a runner makes of a trial's failure."""

import pytest
from html_page import Page
from made_plan import made_folder, made_plan

from kerastricks.search.oracle.engine import open_oracle
from kerastricks.search.page import write_html
from kerastricks.search.trials.runner import TrialRunner

pytestmark = pytest.mark.tensorflow_only
REASON = "not_learning: the training loss is 2.3 at the end and was never below 2.29"


class Processes:
    """A process whose trial a doctor ends after its second epoch."""

    def __init__(self):
        self.jobs = []

    def run(self, job, log, warm_next):
        self.jobs.append(job)
        for epoch in (1, 2):
            metrics = dict.fromkeys(("loss", "val_loss"), 2.3) | dict.fromkeys(("accuracy", "val_accuracy"), 0.1)
            yield {"event": "epoch", "epoch": epoch, "epochs": 3, "metrics": metrics}
        yield {"event": "failed", "kind": "diverged", "reason": REASON}

    def answer(self, go_on):
        pass


def test_a_trial_that_a_doctor_ends_failed_for_its_reason_and_the_search_goes_on(tmp_path):
    plan = made_plan(trials=2, retries=3, doctor=True)
    folder, processes, ended = made_folder(tmp_path, plan), Processes(), []
    oracle = open_oracle(plan, folder)
    ignored = [lambda *arguments: None] * 2
    TrialRunner(oracle, folder.read_plan(), folder, "tuner0", processes, *ignored, ended.append).run()
    assert ended == ["0000", "0001"]
    assert [job["doctor"] for job in processes.jobs] == [True, True]  # none was tried again
    for record in oracle.records():
        assert (record.status, record.score, record.reason, len(record.curve)) == ("failed", None, REASON, 2)
    write_html(tmp_path / "search.html", oracle.records(), "Search", {})
    assert REASON in Page(tmp_path / "search.html").text
