"""A budget of time: what it plans, with made-up timings, and that a training keeps to it, with a made-up clock."""

import functools
import importlib
import json

import keras
import numpy as np
import pytest
from conftest import write_image

import kerastricks
from kerastricks.errors import ConfigError, Interrupted
from kerastricks.models import create
from kerastricks.runs.series import Series
from kerastricks.training import Config, SizeTiming, budget, checkpoint, fit, plan_budget, resumable
from kerastricks.training import pace as pace_module
from kerastricks.training.datasets import load_data
from kerastricks.training.pace import Pace, PacedSchedule
from kerastricks.training.resolved_config import resolve

pytestmark = pytest.mark.tensorflow_only

run_training = importlib.import_module("kerastricks.runs.training_run")

STEPS = 10
# 1 s an epoch at 32 pixels, 4 s at 64, 9 s at 96.
TIMINGS = [SizeTiming(side, 0.09 * factor, 0.1 * factor, 10.0) for side, factor in ((32, 1), (64, 4), (96, 9))]


def planned(seconds, timings=TIMINGS, **more):
    return plan_budget(timings, seconds, **{"steps_per_epoch": STEPS, "most_epochs": 60, **more})


def test_the_largest_size_with_enough_epochs_is_chosen_and_as_many_as_fit():
    # A tenth is kept back: (seconds - 10) * 0.9 / seconds of an epoch.
    assert [(planned(s).image_size, planned(s).epochs) for s in (20, 60, 140, 160, 400)] == [
        (32, 9),
        (32, 45),
        (32, 60),  # 29 at 64 pixels
        (64, 33),
        (96, 39),
    ]
    large = [planned(s, most_epochs=12) for s in (60, 70, 140)]  # many images: twelve epochs are all there are
    assert [(plan.image_size, plan.epochs) for plan in large] == [(32, 12), (64, 12), (96, 12)]


def test_no_more_epochs_are_planned_than_are_worth_their_time():
    plan = planned(3600.0)
    assert (plan.image_size, plan.epochs) == (96, 60)
    assert "not worth" in plan.why
    few = planned(40.0, most_epochs=5)
    assert (few.image_size, few.epochs) == (64, 5)


def test_what_is_given_stays():
    assert (planned(140.0, epochs=50).image_size, planned(140.0, epochs=50).epochs) == (32, 50)
    assert (planned(140.0, TIMINGS[1:2]).image_size, planned(140.0, TIMINGS[1:2]).epochs) == (64, 29)
    tight = planned(20.0, epochs=50)
    assert (tight.image_size, tight.epochs) == (32, 50)
    assert "runs out" in tight.why


def test_where_no_epoch_fits_one_is_planned_at_the_smallest_size():
    plan = planned(10.5)
    assert (plan.image_size, plan.epochs, plan.training_seconds) == (32, 1, 0.5)
    assert planned(5.0).training_seconds == 0.0


def test_few_sizes_are_timed_and_the_chosen_one_is_among_them():
    asked = []

    def time_size(size):
        asked.append(size)
        slower = 2.0 if size == 64 else 1.0  # than its pixels say
        return SizeTiming(size, 0.09 * slower * (size / 32) ** 2, 0.1 * slower * (size / 32) ** 2, 10.0)

    plan = budget.choose_size([128, 32, 64, 96, 48], time_size, lambda: 160.0, steps_per_epoch=STEPS, most_epochs=60)
    assert asked == [32, 64, 48]
    assert plan.image_size == 48


def test_sizes_too_small_for_the_network_are_passed_over():
    def time_size(size):
        if size < 64:
            raise ValueError("nothing is left of the images")
        return TIMINGS[1]

    plan = budget.choose_size([32, 48, 64], time_size, lambda: 80.0, steps_per_epoch=STEPS, most_epochs=60)
    assert plan.image_size == 64
    with pytest.raises(ValueError, match="nothing is left"):
        budget.choose_size([32, 48], time_size, lambda: 80.0, steps_per_epoch=STEPS, most_epochs=60)


@pytest.mark.parametrize("minutes", [0, -1.0, float("nan"), float("inf"), 1e308])
def test_minutes_are_above_zero_and_at_most_a_year(minutes):
    with pytest.raises(ConfigError, match=r"minutes must be in \(0, 525,600\] or None"):
        Config(minutes=minutes)


def test_snapshots_are_refused_with_minutes():
    with pytest.raises(ConfigError, match="keep must be"):
        Config(minutes=3, keep="snapshots(5)")
    for wrong in (0, 1.5, "often", True):
        with pytest.raises(ConfigError, match="early_stopping_epochs must be"):
            Config(early_stopping_epochs=wrong)


class Clock:
    """A clock that somebody else moves."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Trained:
    """What a callback sees of a model, without one."""

    stop_training = False


def walk(pace, clock, step_seconds, evaluation_seconds=0.5, epochs=100, accuracy=0.5, loss=lambda epoch: 1 / epoch):
    """Trains with steps of so many seconds (by epoch); returns the steps that were made."""
    model = Trained()
    pace.set_model(model)
    pace.set_params({"epochs": epochs, "steps": pace.steps_per_epoch})
    pace.on_train_begin()
    for epoch in range(epochs):
        pace.on_epoch_begin(epoch)
        for batch in range(pace.steps_per_epoch):
            clock.now += step_seconds(epoch)
            pace.on_train_batch_end(batch)
            if model.stop_training:
                break
        clock.now += evaluation_seconds
        pace.on_epoch_end(epoch, {"accuracy": accuracy, "val_loss": loss(epoch + 1)})
        if model.stop_training:
            break
    pace.on_train_end()
    return pace.step


def line_schedule(total):
    """What is left of all steps: 1 at the first, 0 at the last."""
    return keras.optimizers.schedules.PolynomialDecay(1.0, total, 0.0)


def last_rate(schedule, step):
    return float(keras.ops.convert_to_numpy(schedule(step)))


def test_a_training_whose_epochs_fit_is_left_as_it_is():
    clock = Clock()
    pace = Pace(200, 10, seconds=120.0, clock=clock, show=False)
    schedule = pace.follow(line_schedule(200))
    assert walk(pace, clock, lambda epoch: 0.5, epochs=20) == 200
    assert pace.turned_at == 0
    assert all(last_rate(schedule, step) == last_rate(line_schedule(200), step) for step in range(201))


def test_a_machine_that_gets_slower_ends_in_time_with_its_rate_run_out():
    clock = Clock()
    pace = Pace(200, 10, seconds=120.0, clock=clock, show=False)
    schedule = pace.follow(line_schedule(200))
    before = last_rate(schedule, 50)
    made = walk(pace, clock, lambda epoch: 0.5 if epoch < 5 else 2.0, epochs=20)
    assert made < 100
    assert made == pace.end_step
    assert 100.0 < clock.now <= 120.0
    assert pace.params["epochs"] == -(-made // 10)
    assert last_rate(schedule, made) == pytest.approx(0.0, abs=1e-6)
    assert before == pytest.approx(0.75)


def test_the_rate_goes_on_from_where_it_was():
    pace = Pace(200, 10, show=False)
    schedule = pace.follow(line_schedule(200))
    pace.set_params({"epochs": 20})
    pace.step = 40
    pace._turn(80, "")
    assert last_rate(schedule, 40) == pytest.approx(0.8)
    assert last_rate(schedule, 60) == pytest.approx(0.4)
    pace.step = 60
    pace._turn(160, "")
    assert last_rate(schedule, 60) == pytest.approx(0.4)
    assert last_rate(schedule, 110) == pytest.approx(0.2)
    assert last_rate(schedule, 160) == pytest.approx(0.0, abs=1e-6)


def test_steps_that_were_cut_come_back_with_the_speed():
    clock = Clock()
    pace = Pace(200, 10, seconds=150.0, clock=clock, show=False)
    pace.follow(line_schedule(200))
    made = walk(pace, clock, lambda epoch: 4.0 if epoch == 1 else 0.5, epochs=20)
    assert made >= 170
    assert clock.now <= 150.0


def test_an_epoch_longer_than_the_budget_ends_within_it():
    clock = Clock()
    pace = Pace(1000, 1000, seconds=60.0, clock=clock, show=False)
    schedule = pace.follow(line_schedule(1000))
    made = walk(pace, clock, lambda epoch: 0.5, epochs=1)
    assert 90 <= made <= 120
    assert clock.now <= 61.0
    assert last_rate(schedule, made) == pytest.approx(0.0, abs=0.05)


def test_a_plain_rate_is_stopped_in_time():
    clock = Clock()
    pace = Pace(200, 10, seconds=30.0, clock=clock, show=False)
    assert pace.follow(0.1) == 0.1
    walk(pace, clock, lambda epoch: 0.5, epochs=20)
    assert clock.now <= 31.0


def test_a_saturated_training_ends_after_a_quarter_more_epochs():
    clock = Clock()
    pace = Pace(600, 10, saturation=0.99, clock=clock, show=False)
    schedule = pace.follow(line_schedule(600))
    made = walk(pace, clock, lambda epoch: 0.5, accuracy=1.0, loss=lambda epoch: max(1 / epoch, 1 / 13))
    # Flat for three epochs after the 13th, then a quarter of 16.
    assert made == 200
    assert last_rate(schedule, made) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("accuracy", "loss"), [(0.98, 0.5), (1.0, None)])
def test_a_training_that_still_learns_is_not_ended(accuracy, loss):
    clock = Clock()
    pace = Pace(600, 10, saturation=0.99, clock=clock, show=False)
    made = walk(pace, clock, lambda epoch: 0.5, epochs=60, accuracy=accuracy, loss=lambda epoch: loss or 0.95**epoch)
    assert made == 600


def digits():
    generator = np.random.default_rng(0)
    labels = np.arange(80) % 2
    images = np.clip(generator.normal(110, 40, (80, 8, 8, 1)) + 30 * labels[:, None, None, None], 0, 255)
    return kerastricks.data.load((images.astype("uint8"), labels), batch_size=8)


def test_an_early_end_is_for_epochs_that_nobody_chose():
    data = digits()
    assert resolve(Config(), data).early_stopping_epochs == "saturated"
    for chosen in ({"epochs": 5}, {"average": "swa"}, {"keep": "last(2)"}, {"schedule": "constant"}):
        assert resolve(Config(**chosen), data).early_stopping_epochs is None
    for asked in (3, "saturated"):
        assert resolve(Config(epochs=5, early_stopping_epochs=asked), data).early_stopping_epochs == asked


def new_model(data):
    keras.utils.set_random_seed(7)
    return create("plain_cnn(widths=(4,))", data.image_shape, 2)


PACED = Config(epochs=12, learning_rate=0.1, precision="float32", jit=False, early_stopping_epochs="saturated")


def test_an_early_end_is_resumed_to_the_bit(tmp_path, monkeypatch):
    monkeypatch.setattr(pace_module, "_FLAT_EPOCHS", 1)
    monkeypatch.setattr(pace_module, "_BETTER", 0.9)
    monkeypatch.setattr(importlib.import_module("kerastricks.training.fitting"), "SATURATION", 0.3)
    data = digits()
    whole = new_model(data)
    fit(whole, data, PACED, run_folder=tmp_path, progress_line=False)
    epochs = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert len(epochs) == 5  # flat after the second, and three to run out
    assert epochs[-1]["learning_rate"] == pytest.approx(0.0, abs=1e-7)

    parts = tmp_path / "parts"
    parts.mkdir()
    monkeypatch.setattr(resumable, "SECONDS_BETWEEN_CHECKPOINTS", -1.0)
    monkeypatch.setattr(resumable, "_SHARE_OF_TIME", 0)
    for stop in (13, 31):

        class Stop(keras.callbacks.Callback):
            is_saved = False

            def on_train_batch_begin(self, batch, logs=None, stop=stop):
                if int(self.model.optimizer.iterations) == stop:
                    raise Interrupted(2)

        resumed = new_model(data)
        with pytest.raises(Interrupted):
            fit(resumed, data, PACED, callbacks=[Stop()], run_folder=parts, progress_line=False)
    resumed = new_model(data)
    fit(resumed, data, PACED, run_folder=parts, progress_line=False)
    assert all(np.array_equal(a, b) for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True))
    again = [json.loads(line) for line in (parts / "metrics.jsonl").read_text().splitlines()]
    assert [line["learning_rate"] for line in again] == [line["learning_rate"] for line in epochs]


def test_seconds_that_are_over_end_a_training_within_its_epoch_and_its_run_is_finished(tmp_path, monkeypatch):
    data = digits()
    clock = Clock()
    monkeypatch.setattr(
        importlib.import_module("kerastricks.training.fitting"), "Pace", functools.partial(Pace, clock=clock)
    )

    class Slow(keras.callbacks.Callback):
        is_saved = False

        def on_train_batch_begin(self, batch, logs=None):
            clock.now += 1.0

    model = new_model(data)
    config = Config(epochs=3, precision="float32", jit=False)
    fit(model, data, config, callbacks=[Slow()], run_folder=tmp_path, progress_line=False, seconds=4.5)
    position = checkpoint.read_position(tmp_path / checkpoint.FILE_NAME)
    assert position.step == 5
    assert position.finished
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 1
    fit(new_model(data), data, config, run_folder=tmp_path, progress_line=False, seconds=4.5)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 1


def test_a_paced_schedule_is_written_and_read():
    schedule = PacedSchedule(line_schedule(10))
    assert schedule.get_config()["schedule"]["config"]["decay_steps"] == 10


def test_timed_steps_lead_to_a_plan_for_real_images():
    data = digits()
    plan = kerastricks.training.plan_training(
        lambda shape: create("plain_cnn(widths=(4,))", shape, 2), data, Config(), 600.0
    )
    assert plan.image_size == 8
    assert plan.epochs == 60
    assert 500.0 < plan.training_seconds < 580.0


@pytest.fixture
def photographs(tmp_path):
    """Two classes of 48x48 images."""
    for index in range(20):
        for name, colour in (("red", (200, 50, 60)), ("blue", (40, 60, 200))):
            write_image(tmp_path / "photographs" / name / f"{index}.png", colour, (48, 48), seed=index)
    return tmp_path / "photographs"


def begun(photographs, tmp_path, **fields):
    config = Config(data=str(photographs), model="plain_cnn(widths=(4,))", **fields)
    return run_training.start(config, tmp_path / "runs", "one", None)


def prepared(run, said):
    return run_training.prepare(run, said.append, lambda config: load_data(config.data, config))


def test_what_a_run_decided_for_its_minutes_is_said_and_stays(photographs, tmp_path, monkeypatch):
    asked = []

    def plan(create_model, data, config, seconds, sizes, reading_seconds):
        asked.append((sizes, config.epochs))
        assert create_model((32, 32, 3)).input_shape == (None, 32, 32, 3)
        assert 200.0 < seconds + reading_seconds <= 240.0
        return budget.BudgetPlan(32, 7, 1.0, 50.0, "seven epochs")

    monkeypatch.setattr(run_training, "plan_training", plan)
    run, said = begun(photographs, tmp_path, minutes=4), []
    config, data, model = prepared(run, said)
    assert asked == [([32, 48], None)]
    assert said[0] == "4 minutes: seven epochs"
    assert data.image_shape == (32, 32, 3)
    assert model.input_shape == (None, 32, 32, 3)
    record = run.read(run.config)
    assert (record["config"]["image_size"], record["config"]["epochs"]) == (32, 7)
    assert record["config"]["early_stopping_epochs"] == "saturated"
    assert record["budget"]["seconds"] == 50.0
    again, data, _ = prepared(run, [])
    assert again == config
    assert data.image_shape == (32, 32, 3)
    assert len(asked) == 1


def test_minutes_in_which_nothing_can_be_trained_are_refused(photographs, tmp_path):
    run = begun(photographs, tmp_path, minutes=0.01, image_size=48)
    with pytest.raises(ConfigError, match=r"^minutes=0.01: .* no time to train: allow more$"):
        prepared(run, [])


def test_a_series_has_the_size_and_the_epochs_of_its_first_run(photographs, tmp_path, monkeypatch):
    plan = budget.BudgetPlan(32, 7, 1.0, 50.0, "")
    monkeypatch.setattr(run_training, "plan_training", lambda *arguments, **more: plan)
    config = Config(data=str(photographs), model="plain_cnn(widths=(4,))", minutes=4)
    series = Series.new(config, 2, tmp_path / "runs", "some", None)
    prepared(series.begin(0), [])
    second = series.as_decided().begin(1)
    fields = second.read(second.config)["config"]
    assert (fields["image_size"], fields["epochs"], fields["seed"]) == (32, 7, 1)
