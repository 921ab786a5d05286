"""What is executed for a spec: steps, bytes, draws and times. Runs under every backend."""

import json

import numpy as np
import pytest
import tensorflow as tf

from kerastricks import data
from kerastricks.augment.op import Draws
from kerastricks.augment.plan import Plan
from kerastricks.data.inspection import timing as step_timing
from kerastricks.data.inspection.profile_report import joined
from kerastricks.data.inspection.timing import ROUNDS, Chain, TimedBatch, measure_in_turn, timed_batches, undone
from kerastricks.data.pipeline import tensorflow_arrays
from kerastricks.errors import UsageError
from kerastricks.progress import silent

USUAL = "flip | pad_crop(2) | fancy_pca(0.1) | normalize"


def loaded(spec, channels=3, count=60, **options):
    pixels = np.random.default_rng(0).integers(0, 256, (count, 8, 10, channels)).astype("uint8")
    return data.load((pixels, np.arange(count) % 3), augment=spec, batch_size=16, **{"stages": "host", **options})


@pytest.mark.tensorflow_only
def test_the_steps_with_their_ops_bytes_and_draws():
    report = data.profile_pipeline(loaded(USUAL), seconds=0)
    first, second = report.steps
    assert (first.kind, first.ops, first.stage) == ("index", ("flip", "pad_crop"), "host")
    assert (second.kind, second.ops) == ("colour", ("fancy_pca", "clip", "normalize"))
    assert [(step.bytes_read, step.bytes_written, step.draws) for step in report.steps] == [
        (240, 240, 3),
        (240, 960, 3),
    ]
    assert [step.passes for step in report.steps] == [(1,), (1,)]
    assert (report.fused.passes, report.fused.bytes_read, report.fused.bytes_written) == ((1,), 240, 960)
    # flip and pad_crop move bytes; fancy_pca makes them float32, which clip and normalize read and write.
    found = report.one_by_one
    assert (len(found.passes), found.bytes_read, found.bytes_written) == (5, 3 * 240 + 2 * 960, 2 * 240 + 3 * 960)
    assert report.fused.draws == found.draws == 6
    assert report.fused.ops == ("flip", "pad_crop", "fancy_pca", "normalize")
    assert report.reading is None, "the first step reads images where they lie"


@pytest.mark.tensorflow_only
def test_nothing_is_measured_in_no_time():
    report = data.profile_pipeline(loaded(USUAL), seconds=0)
    rows = (*report.steps, report.fused, report.one_by_one)
    assert {row.cpu_us_per_image for row in rows} == {None}
    assert report.throughput is None
    text = report.to_text()
    assert "throughput" not in text
    assert "median" not in text


@pytest.mark.tensorflow_only
def test_everything_is_measured():
    report = data.profile_pipeline(loaded(USUAL), seconds=0.1)
    rows = (*report.steps, report.fused, report.one_by_one)
    assert all(row.cpu_us_per_image > 0 for row in rows)
    assert report.throughput.images_per_second > 0
    text = report.to_text()
    assert max(map(len, text.splitlines())) <= 110
    text = "\n".join(" ".join(line.split()) for line in text.splitlines())
    for part in (
        f"augment {USUAL}",
        "data arrays: 10x8 pixels, 3 channels, batches of 16, decoded images in memory",
        "1 index gather flip + pad_crop host 1 240 240 3",
        "the plan in 1 compiled pass host 240 960 6",
        "one by one in 5 compiled passes host 2,640 3,360 6",
        "fusion the ops one by one take ",
        "throughput ",
        "the pipeline itself does not compile",
    ):
        assert part in text
    assert json.loads(json.dumps(report.to_json()))["steps"][0] == {
        "kind": "index", "ops": ["flip", "pad_crop"], "stage": "host", "passes": [1], "bytes_read": 240,
        "bytes_written": 240, "draws": 3, "cpu_us_per_image": round(report.steps[0].cpu_us_per_image, 3),
    }  # fmt: skip


@pytest.mark.tensorflow_only
def test_a_policy_is_named_once_a_step_and_its_draws_are_counted_once():
    report = data.profile_pipeline(loaded("flip | randaugment(2) | fancy_pca"), seconds=0)
    draws = [step.draws for step in report.steps]
    assert draws == [1 + 4, *[0] * 13, 3]
    assert sum(draws) == report.fused.draws
    assert joined(report.steps[0].ops) == "flip + randaugment(shear, translate, rotate)"
    assert joined(report.steps[1].ops) == "randaugment(brightness, saturation, contrast) + clip"
    assert "randaugment(equalize)" in report.to_text()


@pytest.mark.tensorflow_only
def test_a_plan_that_mixes_labels():
    report = data.profile_pipeline(loaded("flip | brightness | mixup"), seconds=0)
    assert [step.kind for step in report.steps] == ["index", "colour", "mix"]
    assert len(report.one_by_one.passes) == 4


@pytest.mark.tensorflow_only
def test_images_that_the_first_step_cannot_read_where_they_lie_are_gathered():
    report = data.profile_pipeline(loaded("brightness | flip"), seconds=0)
    assert (report.reading.kind, report.reading.bytes_read, report.reading.bytes_written) == ("gather", 240, 240)
    assert [step.kind for step in report.steps] == ["colour", "index"]


@pytest.mark.tensorflow_only
def test_without_ops_there_are_no_steps():
    report = data.profile_pipeline(loaded(""), seconds=0)
    assert (report.steps, report.fused, report.one_by_one, report.reading) == ((), None, None, None)
    assert report.to_text().splitlines()[0] == "augment     none"
    assert report.to_json()["fused"] is None


def test_the_device_has_its_steps():
    report = data.profile_pipeline(
        loaded("pad_crop(2) | alternating_flip | rotate(9) | brightness", stages="device"), seconds=0
    )
    assert [(step.stage, step.ops) for step in report.steps] == [
        ("host", ("pad_crop", "alternating_flip")),
        ("device", ("rotate",)),
        ("device", ("brightness", "clip")),
    ]
    assert (report.fused.stage, report.fused.passes) == ("host, device", (1, 2))
    assert report.fused.bytes_read == 240 + 240
    whole = data.profile_pipeline(loaded(USUAL, stages="device"), seconds=0)
    assert {step.stage for step in whole.steps} == {"device"}
    assert whole.fused.passes == (1,)


@pytest.mark.tensorflow_only
def test_files_are_read_and_decoded_first(image_folder):
    spec = "flip | pad_crop(2) | brightness"
    report = data.profile_pipeline(data.load(image_folder, augment=spec, batch_size=8, memory_bytes=0), seconds=0.1)
    sizes = [path.stat().st_size for path in image_folder.rglob("*.jpg")]
    assert (report.reading.kind, report.reading.ops, report.reading.bytes_written) == ("decode", (), 20 * 24 * 3)
    assert min(sizes) <= report.reading.bytes_read <= max(sizes)
    assert report.reading.cpu_us_per_image > 0
    assert not report.in_memory
    assert "read, decode" in report.to_text()


@pytest.mark.tensorflow_only
def test_a_crop_that_the_decoder_does_is_no_step(image_folder):
    crop = "random_resized_crop(0.5)"
    report = data.profile_pipeline(
        data.load(image_folder, augment=f"flip | {crop} | brightness", memory_bytes=0), seconds=0.1
    )
    assert report.reading.ops == ("random_resized_crop",)
    assert report.reading.draws == 22
    assert [step.ops for step in report.steps] == [("flip",), ("brightness", "clip")]
    assert report.reading.bytes_written == report.steps[0].bytes_read == 20 * 24 * 3


@pytest.mark.tensorflow_only
def test_the_crop_alone_leaves_bytes(image_folder):
    for memory, kind in ((0, "decode"), (1 << 30, "window")):
        options = {"augment": "random_resized_crop", "memory_bytes": memory, "image_size": 16}
        report = data.profile_pipeline(data.load(image_folder, **options), seconds=0.1)
        assert (report.steps, report.reading.kind, report.reading.bytes_written) == ((), kind, 16 * 16 * 3)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("spec", [USUAL, "brightness | rotate(20) | mixup", "trivialaugment"])
def test_what_is_measured_is_what_the_plan_does(spec):
    source = loaded(spec)
    plan = source.augmentation.plan
    (batch,) = timed_batches(source, [plan], 1)
    expected, expected_labels = plan(batch.images, batch.labels, batch.draws, tensorflow_arrays)
    unfused = Plan(plan.ops, plan.image_spec, fuse=False)
    for chain in (Chain.of_steps([plan]), Chain.of_passes([plan]), Chain.of_steps([unfused])):
        images, labels = batch.images, batch.labels
        for function in chain.functions:
            images, labels = function.python_function(images, labels, batch.draws)
        np.testing.assert_allclose(images, expected, atol=0.01)
        np.testing.assert_allclose(labels, expected_labels, atol=1e-5)


@pytest.mark.tensorflow_only
def test_the_batches_are_images_of_the_training_split():
    source = loaded("brightness")
    (batch,) = timed_batches(source, [source.augmentation.plan], 1)
    known = {image.tobytes(): label for image, label in zip(source.sample(60), source.labels("train"), strict=True)}
    assert batch.images.dtype == tf.uint8
    assert all(image.numpy().tobytes() in known for image in batch.images)
    assert undone(source).augmentation.plan.steps == ()


@pytest.mark.tensorflow_only
def test_each_function_gets_its_own_time_and_chains_take_turns(monkeypatch):
    clock = {"now": 0.0, "cpu": 0.0}
    monkeypatch.setattr(step_timing.time, "perf_counter", lambda: clock["now"])
    monkeypatch.setattr(step_timing.time, "process_time", lambda: clock["cpu"])
    order = []

    def spending(name, cpu):
        def run(images, labels, draws):
            order.append(name)
            clock["now"] += 0.125
            clock["cpu"] += cpu
            return images, labels

        return run

    def chain(*functions):
        made = Chain([])
        made.functions = [spending(*function) for function in functions]
        return made

    batch = TimedBatch(tf.zeros([10, 2, 2, 1]), tf.zeros([10], tf.int32), Draws(tf.zeros([10, 1])))
    two, one = measure_in_turn([chain(("a", 0.3), ("b", 0.05)), chain(("c", 0.2))], [batch], 5.0, silent)
    assert two.shape == (ROUNDS, 2)
    assert one.shape == (ROUNDS, 1)
    np.testing.assert_allclose(two, np.broadcast_to([30_000, 5_000], two.shape))
    np.testing.assert_allclose(one, 20_000)
    turns = "".join(order)[3:]  # behind the warm-up
    # 5 seconds are 5 rounds of 2 chains: 0.5 s each, 2 passes of two functions or 4 of one.
    assert turns == ("abab" + "cccc") * ROUNDS


@pytest.mark.tensorflow_only
def test_looking_does_not_change_the_training_that_follows():
    looked, untouched = (loaded(USUAL) for _ in range(2))
    data.profile_pipeline(looked, seconds=0)
    for (images, _), (others, _) in zip(looked.train, untouched.train, strict=True):
        np.testing.assert_array_equal(images, others)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_seconds_that_are_none_are_refused(seconds):
    with pytest.raises(UsageError, match=r"seconds must be 0 or more, and finite\. Received: seconds="):
        data.profile_pipeline(loaded("flip"), seconds=seconds)
