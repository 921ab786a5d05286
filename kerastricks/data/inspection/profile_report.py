"""The profile of a pipeline, as text and as JSON."""

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from kerastricks.data.inspection.timing import ROUNDS, Throughput


@dataclass(frozen=True)
class StepProfile:
    """One step of a plan, or several together.

    Args:
        kind: kind of the step: "index", "resample", "colour", "pixel", "image" or "mix"; before the first step "decode"
            (files), "window" (decoded originals) or "gather" (images in memory); "plan" and "definition" for all.
        ops: names of the ops that it executes, in order.
        stage: "host" or "device", "host, device" for a plan that is divided.
        passes: numbers, from 1, of the compiled functions that it is a part of, or is made of.
        bytes_read: bytes of an image that its passes read; 0 for windows, whose size is drawn.
        bytes_written: bytes of an image that its passes write.
        draws: uniform numbers for an image; those of a policy are counted where it begins.
        cpu_us_per_image: microseconds of CPU time over all threads, the median of the rounds; None if not measured.
    """

    kind: str
    ops: tuple[str, ...]
    stage: str
    passes: tuple[int, ...]
    bytes_read: int
    bytes_written: int
    draws: int
    cpu_us_per_image: float | None

    def to_json(self) -> dict[str, Any]:
        """For JSON."""
        time = self.cpu_us_per_image
        found = {**asdict(self), "ops": list(self.ops), "passes": list(self.passes)}
        return {**found, "cpu_us_per_image": None if time is None else round(time, 3)}


@dataclass(frozen=True)
class PipelineProfile:
    """Steps of an augmentation as they are executed, and what they cost.

    Args:
        data: name of the source.
        image_shape: (height, width, channels) in pixels.
        augment: spec of the augmentation; "" is none.
        batch_size: images in a batch.
        in_memory: whether the decoded images are kept in memory, or each is decoded when it is used.
        compiled: whether the pipeline compiles its host stage; where an epoch is small, it does not pay.
        reading: the row before the first step: decoding of files, or the gathering of a batch in memory; None
            where the first step reads images where they lie.
        steps: rows of the fused plan.
        fused: all steps as they are executed; None without ops.
        one_by_one: each op in a pass of its own, nothing fused: the definition; None without ops.
        throughput: throughput of the training batches; None where it was not measured.
    """

    data: str
    image_shape: tuple[int, int, int]
    augment: str
    batch_size: int
    in_memory: bool
    compiled: bool
    reading: StepProfile | None
    steps: tuple[StepProfile, ...]
    fused: StepProfile | None
    one_by_one: StepProfile | None
    throughput: Throughput | None

    def to_text(self) -> str:
        """A table and a few lines."""
        return format_profile(self)

    def to_json(self) -> dict[str, Any]:
        """For JSON."""
        rows = {"reading": self.reading, "fused": self.fused, "one_by_one": self.one_by_one}
        return {
            "data": self.data,
            "image_shape": list(self.image_shape),
            "augment": self.augment,
            "batch_size": self.batch_size,
            "in_memory": self.in_memory,
            "compiled": self.compiled,
            "steps": [step.to_json() for step in self.steps],
            **{name: None if row is None else row.to_json() for name, row in rows.items()},
            "throughput": None if self.throughput is None else self.throughput.to_json(),
        }


_WIDTH = 100
_KINDS = {
    "colour": "colour matrix",
    "decode": "read, decode",
    "definition": "one by one",
    "index": "index gather",
    "plan": "the plan",
    "resample": "resampling",
    "window": "crop, resize",
}


def format_profile(report: PipelineProfile) -> str:
    """Format a profile in lines of at most 100 characters, but for long specs and names."""
    console = Console(file=io.StringIO(), width=_WIDTH, highlight=False, markup=False, color_system=None)
    for line in _head(report):
        console.print(line, soft_wrap=True)
    if report.steps or report.reading is not None:
        console.print(_table(report))
    for line in _notes(report):
        console.print(line, soft_wrap=True)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines())


def _head(report: PipelineProfile) -> list[str]:
    height, width, channels = report.image_shape
    source = "decoded images in memory" if report.in_memory else "each image decoded when it is used"
    return [
        f"augment     {report.augment or 'none'}",
        f"data        {report.data}: {width}x{height} pixels, {channels} channel{'s' * (channels > 1)}, "
        f"batches of {report.batch_size}, {source}",
    ]


def _table(report: PipelineProfile) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("step", no_wrap=True)
    table.add_column("ops", overflow="fold")
    table.add_column("runs on", no_wrap=True)
    for name in ("pass", "bytes in", "bytes out", "draws", "CPU us"):
        table.add_column(name, justify="right", no_wrap=True)
    if report.reading is not None:
        _add(table, "", report.reading)
    for number, step in enumerate(report.steps, start=1):
        _add(table, str(number), step)
    if report.fused is not None and report.one_by_one is not None:
        table.add_section()
        _add(table, "", report.fused)
        _add(table, "", report.one_by_one)
    return table


def _add(table: Table, number: str, row: StepProfile) -> None:
    is_total = row.kind in ("plan", "definition")
    count = len(row.passes)
    passes = f"in {count} compiled pass{'es' * (count > 1)}"
    table.add_row(
        number,
        _KINDS.get(row.kind, row.kind),
        passes if is_total else joined(row.ops),
        row.stage,
        "" if is_total else ", ".join(map(str, row.passes)),
        f"{row.bytes_read:,}" if row.bytes_read else "",
        f"{row.bytes_written:,}",
        f"{row.draws or ''}",
        "-" if row.cpu_us_per_image is None else _three_digits(row.cpu_us_per_image),
    )


def joined(names: Sequence[str]) -> str:
    """ "flip + randaugment(shear, rotate)" of "flip", "randaugment.shear", "randaugment.rotate".

    Args:
        names: of the entries of a step.
    """
    parts = [name.partition(".") for name in names]
    groups = [(policy, [member for _, _, member in group]) for policy, group in groupby(parts, lambda part: part[0])]
    return " + ".join(f"{name}({', '.join(members)})" if members[0] else name for name, members in groups)


def _three_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _notes(report: PipelineProfile) -> list[str]:
    notes = []
    plan, definition = report.fused, report.one_by_one
    times = [None if row is None else row.cpu_us_per_image for row in (plan, definition)]
    if plan is not None and definition is not None and times[0] and times[1] and plan.passes != definition.passes:
        notes.append(f"fusion      the ops one by one take {times[1] / times[0]:.3g} times the CPU time of the plan")
    if report.throughput is not None:
        notes.append(f"throughput  {report.throughput.to_text()}, all of the host stage")
    if plan is not None:
        notes.append(
            "bytes       of an image, where a step or a pass begins and ends; within a pass the compiler keeps"
        )
        notes.append("            much of them out of memory")
    if plan is not None and plan.cpu_us_per_image is not None:
        notes.append(
            f"CPU us      microseconds an image over all threads, median of {ROUNDS} rounds; each step was compiled"
        )
        notes.append("            and run by itself")
        if plan.stage != "host":
            notes.append("            steps of the device were timed by the host's functions, on the processor")
        if not report.compiled:
            notes.append("            the pipeline itself does not compile: so few images would not pay for it")
    return notes
