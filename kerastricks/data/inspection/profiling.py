"""Profile the steps of an augmentation: what was fused, what each step reads, writes and costs."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from kerastricks.augment.colour_step import Clip
from kerastricks.augment.op import Policy, op_name
from kerastricks.augment.plan import Plan
from kerastricks.data.image_data import ImageData
from kerastricks.data.inspection.profile_report import PipelineProfile, StepProfile
from kerastricks.data.inspection.timing import Chain, Throughput, TimedBatch, measure_in_turn, timed_batches, undone
from kerastricks.data.pipeline.stages import COMPILE_FROM
from kerastricks.data.sources.source import Arrays
from kerastricks.errors import UsageError
from kerastricks.progress import Progress, silent

_BATCHES = 8  # other images each time, as in training
_FILES = 32  # whose mean size stands for that of all


def profile_pipeline(data: ImageData, *, seconds: float = 3.0, progress: Progress = silent) -> PipelineProfile:
    """Profile the augmentation of `data`: the steps that are executed, what was fused, and what each costs.

    Each step of the plan is measured as a compiled function of its own, then the plan as it is executed, then its ops
    one by one, which is the definition that the plan is tested against. They take turns on batches of training
    images. Nothing of `data` advances.

    Args:
        data: loaded with the augmentation to look at.
        seconds: duration of the measurement of the steps, and of that of the whole pipeline; 0 measures nothing.
        progress: shows how far long work is.

    Returns:
        A `PipelineProfile`, with `to_text()` and `to_json()`.

    Raises:
        UsageError: for seconds that are negative or not finite.

    Example:
        >>> import kerastricks, numpy
        >>> x, y = numpy.zeros((40, 8, 8, 3), "uint8"), numpy.arange(40) % 2
        >>> data = kerastricks.data.load((x, y), augment="flip | pad_crop(1) | fancy_pca")
        >>> report = kerastricks.data.profile_pipeline(data, seconds=0)
        >>> [(step.kind, step.ops) for step in report.steps]
        [('index', ('flip', 'pad_crop')), ('colour', ('fancy_pca', 'clip'))]
    """
    if not 0 <= seconds < math.inf:
        raise UsageError(f"seconds must be 0 or more, and finite. Received: seconds={seconds}")
    augmentation = data.augmentation
    stages = {"host": augmentation.host_plan, "device": augmentation.device_plan}
    stages = {stage: part for stage, part in stages.items() if part.steps}
    plans = list(stages.values())
    batches: list[TimedBatch] = []
    steps: tuple[StepProfile, ...] = ()
    fused = one_by_one = None
    if plans:
        unfused = [Plan(part.ops, part.image_spec, fuse=False) for part in plans]
        chains = [Chain.of_steps(plans), Chain.of_passes(plans), Chain.of_steps(unfused)]
        with data.one_error(), tf.device("CPU:0"):
            batches = timed_batches(data, plans, _BATCHES if seconds else 1)
            sizes = [chain.bytes_between(batches[0], data.image_shape) for chain in chains]
            times = measure_in_turn(chains, batches, seconds, progress) if seconds else [None, None, None]
        steps = step_rows(stages, sizes[0], times[0])
        fused = total_row("plan", stages, sizes[1], times[1])
        one_by_one = total_row("definition", stages, sizes[2], times[2])
    return PipelineProfile(
        data=data.name,
        image_shape=data.image_shape,
        augment=augmentation.text,
        batch_size=data.batch_size,
        in_memory=data.in_memory,
        compiled=data.splits["train"].size * math.prod(data.image_shape) >= COMPILE_FROM,
        reading=_reading(data, plans, seconds),
        steps=steps,
        fused=fused,
        one_by_one=one_by_one,
        throughput=Throughput.measure(data, seconds) if seconds else None,
    )


def _reading(data: ImageData, plans: Sequence[Plan], seconds: float) -> StepProfile | None:
    """Make the row of the reading before the first step; None where that reads images where they lie."""
    examples = data.splits["train"].examples
    if isinstance(examples, Arrays) and (not plans or plans[0].takes_store):
        return None
    crop = data.augmentation.crop
    values = math.prod(data.image_shape)
    if isinstance(examples, Arrays):
        kind, bytes_read = "gather", values
    elif data.splits["train"].decoded is not None:
        kind, bytes_read = "window", 0  # its size depends on the draws
    else:
        count = min(_FILES, len(examples))
        kind, bytes_read = "decode", sum(len(examples.read_again(index)) for index in range(count)) // count
    return StepProfile(
        kind=kind,
        ops=("random_resized_crop",) if crop is not None else (),
        stage="host",
        passes=(),
        bytes_read=bytes_read,
        bytes_written=values,
        draws=crop.uniforms if crop is not None else 0,
        cpu_us_per_image=Throughput.measure(undone(data), seconds).cpu_us_per_image if seconds else None,
    )


def step_rows(stages: Mapping[str, Plan], sizes: Sequence[int], times: np.ndarray | None) -> tuple[StepProfile, ...]:
    """Make the row of each step.

    Args:
        stages: "host" and "device", and the plan that each executes.
        sizes: bytes of an image before the first step and after each.
        times: CPU microseconds an image, (rounds, steps), or None.
    """
    rows: list[StepProfile] = []
    passes = 0
    for stage, plan in stages.items():
        draws = _draws_of_steps(plan)
        for steps in plan.passes:
            passes += 1
            for step in steps:
                index = len(rows)
                names = tuple(entry.name for entry in step.entries)
                time = None if times is None else float(np.median(times[:, index]))
                rows.append(
                    StepProfile(step.kind, names, stage, (passes,), sizes[index], sizes[index + 1], next(draws), time)
                )
    return tuple(rows)


def total_row(kind: str, stages: Mapping[str, Plan], sizes: Sequence[int], times: np.ndarray | None) -> StepProfile:
    """Make the row of all steps together, in as many compiled passes as there are sizes to write.

    Args:
        kind: "plan" or "definition".
        stages: "host" and "device", and the plan that each executes.
        sizes: bytes of an image before the first function and after each.
        times: CPU microseconds an image, (rounds, passes), or None.
    """
    return StepProfile(
        kind=kind,
        ops=tuple(op_name(op) for plan in stages.values() for op in plan.ops),
        stage=", ".join(stages),
        passes=tuple(range(1, len(sizes))),
        bytes_read=sum(sizes[:-1]),
        bytes_written=sum(sizes[1:]),
        draws=sum(plan.uniforms for plan in stages.values()),
        cpu_us_per_image=None if times is None else float(np.median(times.sum(axis=1))),
    )


def _draws_of_steps(plan: Plan) -> Iterator[int]:
    """Uniform numbers of the ops that begin in each step; those of a policy serve the steps after it, too."""
    first_entries: dict[int, int] = {}
    index = 0
    for op in plan.ops:
        first_entries[index] = op.uniforms
        index += len(op.members) if isinstance(op, Policy) else 1
    index = 0
    for step in plan.steps:
        entries = sum(not isinstance(entry.op, Clip) for entry in step.entries)
        yield sum(first_entries.get(i, 0) for i in range(index, index + entries))
        index += entries
