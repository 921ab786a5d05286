"""What is written while a search goes on, and which checkpoints stay."""

import pytest
from made_plan import made_folder, made_plan

from kerastricks.search.publish import Publisher
from kerastricks.search.trial_record import TrialRecord, read_records

pytestmark = pytest.mark.tensorflow_only


def record(name, score, status="completed", direction="max"):
    values = {"learning_rate": 0.1, "batch_size": 64, "optimizer": "sgd"}
    curve = [] if score is None else [{"epoch": 1, "loss": 1.0, "val_accuracy": score}]
    objective = "val_accuracy" if direction == "max" else "val_loss"
    return TrialRecord(name, status, score, objective, direction, values, None, curve)


def with_checkpoints(folder, records, part="run"):
    for one in records:
        path = folder.trial(one.trial) / part
        path.mkdir()
        (path / "checkpoint.npz").write_text("weights")
        (path / "metrics.jsonl").write_text("{}")


def kept(folder):
    return sorted({path.parts[-3].removeprefix("trial_") for path in folder.path.glob("trial_*/*/checkpoint.npz")})


def test_both_files_are_written_and_replaced(tmp_path):
    plan = made_plan()
    folder = made_folder(tmp_path, plan)
    publisher = Publisher(plan, folder)
    publisher.write([])
    assert read_records(folder.trials) == []
    records = [record("0000", 0.5), record("0001", None, "failed")]
    publisher.write(records, last=True)
    assert read_records(folder.trials) == records
    page = folder.page.read_text()
    assert "0001" in page
    assert "made, 80 training images" in page


def test_the_page_is_not_written_more_often_than_it_is_worth(tmp_path, monkeypatch):
    plan = made_plan()
    pages = []
    clock = iter([0.0, 2.0, 10.0, 41.9, 42.0, 42.5, 45.0, 46.0])
    monkeypatch.setattr("kerastricks.search.publish.time.monotonic", lambda: next(clock))
    monkeypatch.setattr("kerastricks.search.publish.write_html", lambda *arguments: pages.append(len(arguments[1])))
    publisher = Publisher(plan, made_folder(tmp_path, plan))
    for number in range(1, 5):  # the first page took two seconds: the next one comes forty later
        publisher.write([record(f"{n:04}", 0.5) for n in range(number)])
    assert pages == [1, 4]
    publisher.write([record("0000", 0.5)] * 5, last=True)  # in any case
    assert pages == [1, 4, 5]


RECORDS = [
    record("0000", 0.5),
    record("0001", 0.9),
    record("0002", 0.95, "stopped"),
    record("0003", None, "failed"),
    record("0004", 0.7),
]


@pytest.mark.parametrize(
    ("top", "expected"), [(0, ["0001"]), (1, ["0001"]), (2, ["0001", "0004"]), (4, ["0000", "0001", "0002", "0004"])]
)
@pytest.mark.parametrize("part", ["run", "fold_2"])
def test_checkpoints_of_the_best_stay(tmp_path, top, expected, part):
    plan = made_plan(top=top)
    folder = made_folder(tmp_path, plan)
    with_checkpoints(folder, [*RECORDS, record("0005", 0.1)], part)
    Publisher(plan, folder).write(RECORDS)
    assert kept(folder) == [*expected, "0005"]  # that is running
    assert len(list(folder.path.glob("trial_*/*/metrics.jsonl"))) == 6


def test_the_best_of_a_loss_is_the_smallest(tmp_path):
    plan = made_plan(objective="val_loss", direction="min")
    folder = made_folder(tmp_path, plan)
    records = [record(f"{n:04}", score, direction="min") for n, score in enumerate([0.5, 0.2, 0.9])]
    with_checkpoints(folder, records)
    Publisher(plan, folder).write(records)
    assert kept(folder) == ["0001"]


def test_hyperband_may_go_on_from_any_until_it_is_over(tmp_path):
    plan = made_plan("hyperband")
    folder = made_folder(tmp_path, plan)
    with_checkpoints(folder, RECORDS)
    publisher = Publisher(plan, folder)
    publisher.write(RECORDS)
    assert len(kept(folder)) == 5
    publisher.write(RECORDS, last=True)
    assert kept(folder) == ["0001"]
