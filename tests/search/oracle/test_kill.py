"""Whatever is killed, and whenever: the list of trials is that of an undisturbed search."""

import pytest
from search_processes import Search, kill, processes_of

# A search is a dozen processes. In the default suite test_oracles.py stops one between any two writes, in its process.
pytestmark = [pytest.mark.tensorflow_only, pytest.mark.slow]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    search = Search(tmp_path_factory.mktemp("undisturbed") / "search")
    search.run()
    assert len(search.outcomes) == 3
    return search.outcomes


@pytest.mark.parametrize("moment", ["trial_0000/run/config.json", "trial_0001/report.json"])
def test_parent_killed_and_resumed(tmp_path, undisturbed, moment):
    search = Search(tmp_path / "search")
    process = search.start()
    search.wait_for(moment, process=process)
    kill(process)
    search.run(resume=True)
    assert search.outcomes == undisturbed


def test_killed_trial_is_retried_and_costs_nothing_else(tmp_path, undisturbed):
    search = Search(tmp_path / "search")
    process = search.start()
    search.wait_for("trial_0001/run/config.json", process=process)
    for one in processes_of(process, "trial_process"):  # the spare one too
        kill(one)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert search.outcomes == undisturbed
    assert [one.attempts for one in search.records] == [1, 2, 1]


def test_killed_trial_without_retries_fails_with_the_reason(tmp_path, undisturbed):
    search = Search(tmp_path / "search", "--retries", "0")
    process = search.start()
    search.wait_for("trial_0001/run/config.json", process=process)
    for one in processes_of(process, "trial_process"):
        kill(one)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert [one.status for one in search.records] == ["completed", "failed", "completed"]
    assert "SIGKILL" in search.records[1].reason
    others = [0, 2]
    assert [search.outcomes[i] for i in others] == [undisturbed[i] for i in others]
