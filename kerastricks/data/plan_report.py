"""What `plan` found."""

from dataclasses import asdict, dataclass
from typing import Any

from kerastricks.data.throughput import Throughput


@dataclass(frozen=True)
class PlanRow:
    """A step of a plan, or several together.

    Args:
        kind: what is done: "index", "resample", "colour", "pixel", "image" or "mix"; before the first step "decode"
            (files), "window" (decoded originals) or "gather" (images in memory); "plan" and "definition" for all.
        ops: that are done by it, in order.
        stage: where it runs: "host" or "device", "host, device" for a plan that is divided.
        passes: the compiled functions that it is a part of, or is made of, when it is executed, counted from 1.
        bytes_read: of an image, by each pass alone, summed; 0 for windows, whose size is drawn.
        bytes_written: the same.
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
class PlanReport:
    """What is executed for a spec, and what it costs.

    Args:
        data: the name of the source.
        image_shape: (height, width, channels) in pixels.
        augment: the spec; "" is none.
        batch_size: images in a batch.
        in_memory: whether the decoded images are kept in memory, or each is decoded when it is used.
        compiled: whether the pipeline compiles its host stage; where an epoch is small, it does not pay.
        reading: what comes before the first step: decoding of files, or the gathering of a batch in memory; None
            where the first step reads images where they lie.
        steps: of the fused plan.
        fused: all steps as they are executed; None without ops.
        one_by_one: each op in a pass of its own, nothing fused: the definition; None without ops.
        throughput: of the training batches; None where it was not measured.
    """

    data: str
    image_shape: tuple[int, int, int]
    augment: str
    batch_size: int
    in_memory: bool
    compiled: bool
    reading: PlanRow | None
    steps: tuple[PlanRow, ...]
    fused: PlanRow | None
    one_by_one: PlanRow | None
    throughput: Throughput | None

    def to_text(self) -> str:
        """A table and a few lines."""
        from kerastricks.data.inspection.plan_report import draw_table

        return draw_table(self)

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
