"""Planner: groups neighbouring ops of a kind into steps, and executes them on batches."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kerastricks.augment import colour_step, spatial_step
from kerastricks.augment.colour_step import Clip, ColourStep
from kerastricks.augment.op import (
    ColourMap,
    Draws,
    Erasure,
    ImageOp,
    ImageSpec,
    MixOp,
    Op,
    Parameters,
    PixelOp,
    Policy,
    SpatialOp,
    op_name,
)
from kerastricks.augment.spatial_step import SpatialStep, Store

# From the draws of the whole plan to the parameters of one op.
Reader = Callable[[Draws, Any], Parameters]


@dataclass(frozen=True)
class Entry:
    """Op with its columns of the draws.

    Args:
        op: that is executed.
        read: its parameters.
        name: for reports, "flip" or "randaugment[1].rotate".
    """

    op: Op
    read: Reader
    name: str


@dataclass(frozen=True)
class Step:
    """Group of entries that is executed as one.

    Args:
        entries: in the order of the spec.
        kind: "index", "resample", "colour", "pixel", "image" or "mix".
        run: from (images, labels, parameters, xp) to (images, labels).
    """

    entries: tuple[Entry, ...]
    kind: str
    run: Callable[[Any, Any, list[Parameters], Any], tuple[Any, Any]]

    @property
    def reads_once(self) -> bool:
        """Whether each value of its result is made of one value: compiled with what comes before, nothing is
        computed twice."""
        ops = [entry.op for entry in self.entries]
        return all(
            isinstance(op, Erasure) or (isinstance(op, ColourMap) and not op.mixes_channels and not op.needs_mean)
            for op in ops
        )


class Plan:
    """Executes ops on batches.

    Args:
        ops: bound, see `kerastricks.augment.sequence.read`.
        image_spec: of the images.
        fuse: whether neighbours are fused. False is the definition that the fused plan is tested against: the ops
            one by one.
    """

    def __init__(self, ops: Sequence[Op], image_spec: ImageSpec, fuse: bool = True) -> None:
        self.ops = tuple(ops)
        self.image_spec = image_spec
        entries = list(_entries(ops))
        self.uniforms = sum(op.uniforms for op in ops)
        self.needs_place = any(op.needs_place for op in ops)
        self.mixes = any(isinstance(entry.op, MixOp) for entry in entries)
        self.steps = tuple(_step(group, image_spec) for group in _groups(_with_clips(entries), fuse))
        # Pixels that were only moved are still integers, or nearly; anything else keeps its fractions.
        self.keeps_integers = all(isinstance(entry.op, SpatialOp) for entry in entries)

    @property
    def takes_store(self) -> bool:
        """Whether the first step reads images in memory where they lie."""
        return bool(self.steps) and self.steps[0].kind in ("index", "resample")

    def __call__(self, images: Any, labels: Any, draws: Draws, xp: Any) -> tuple[Any, Any]:
        """Augments a batch.

        Args:
            images: uint8 or float (batch, height, width, channels), or a `Store` where `takes_store`.
            labels: (batch,) int, or None.
            draws: with `uniforms` of shape (batch, self.uniforms).
            xp: `keras.ops`, or a namespace with the same functions.

        Returns:
            Images, uint8 if `keeps_integers` and the input is, else float32; and labels, (batch, classes) float32
            if `mixes`.
        """
        integers = isinstance(images, Store) or "int" in str(images.dtype)
        for steps in self.passes:
            images, labels = self.run(steps, images, labels, draws, xp, integers)
        return images, labels

    @property
    def passes(self) -> list[list[Step]]:
        """The steps, divided where a result is better written to memory than computed again for each reader."""
        passes: list[list[Step]] = []
        for step in self.steps:
            if passes and step.reads_once:
                passes[-1].append(step)
            else:
                passes.append([step])
        return passes

    def run(
        self, steps: Sequence[Step], images: Any, labels: Any, draws: Draws, xp: Any, integers: bool
    ) -> tuple[Any, Any]:
        """Executes one of `passes`, see `__call__`; `integers` says whether the plan began with uint8."""
        for step in steps:
            parameters = [entry.read(draws, xp) for entry in step.entries]
            images, labels = step.run(images, labels, parameters, xp)
        if steps[-1] is self.steps[-1] and integers and self.keeps_integers and "float" in str(images.dtype):
            images = xp.cast(xp.clip(xp.round(images), 0, 255), "uint8")
        return images, labels


def _entries(ops: Sequence[Op]) -> Iterator[Entry]:
    """Gives each op its columns of the uniforms; a policy is replaced by its members."""
    first = 0
    for op in ops:
        columns = slice(first, first + op.uniforms)
        first += op.uniforms
        name = op_name(op)
        if isinstance(op, Policy):
            for number, member in enumerate(op.members):
                yield Entry(member, _of_member(op, number, columns), f"{name}.{op_name(member)}")
        else:
            yield Entry(op, _of_op(op, columns), name)


def _of_op(op: Op, columns: slice) -> Reader:
    return lambda draws, xp: op.parameters(draws._replace(uniforms=draws.uniforms[:, columns]), xp)


def _of_member(policy: Policy, number: int, columns: slice) -> Reader:
    def read(draws: Draws, xp: Any) -> Parameters:
        return policy.member_parameters(number, draws._replace(uniforms=draws.uniforms[:, columns]), xp)

    return read


def _with_clips(entries: Sequence[Entry]) -> Iterator[Entry]:
    """Ends each run of colour maps on raw values with a clip."""
    colours = False
    for entry in entries:
        continues = isinstance(entry.op, ColourMap) and not entry.op.ends_raw
        if colours and not continues:
            yield Entry(Clip(), lambda draws, xp: {}, "clip")
        colours = continues
        yield entry
    if colours:
        yield Entry(Clip(), lambda draws, xp: {}, "clip")


def _groups(entries: Iterator[Entry], fuse: bool) -> list[list[Entry]]:
    groups: list[list[Entry]] = []
    for entry in entries:
        if groups and fuse and _fusible([other.op for other in groups[-1]], entry.op):
            groups[-1].append(entry)
        else:
            groups.append([entry])
    return groups


def _fusible(before: list[Any], op: Op) -> bool:
    if isinstance(op, SpatialOp):
        return isinstance(before[-1], SpatialOp) and spatial_step.is_fusible(before, op)
    if isinstance(op, ColourMap):
        return isinstance(before[-1], ColourMap) and colour_step.is_fusible(before, op)
    return False


def _step(group: list[Entry], image_spec: ImageSpec) -> Step:
    ops: list[Any] = [entry.op for entry in group]
    first = ops[0]
    if isinstance(first, SpatialOp):
        spatial = SpatialStep(ops, image_spec.image_shape)
        kind = "resample" if spatial.resamples else "index"
        return Step(tuple(group), kind, lambda images, labels, p, xp: (spatial(images, p, xp), labels))
    if isinstance(first, ColourMap):
        colour = ColourStep(ops, image_spec.image_shape)
        return Step(tuple(group), "colour", lambda images, labels, p, xp: (colour(images, p, xp), labels))
    if isinstance(first, MixOp):
        return Step(
            tuple(group),
            "mix",
            lambda images, labels, p, xp: first.mix(_float(images, xp), _one_hot(labels, image_spec, xp), p[0], xp),
        )
    kind = {True: "pixel", False: "image"}[isinstance(first, PixelOp)]
    assert isinstance(first, PixelOp | ImageOp)
    return Step(tuple(group), kind, lambda images, labels, p, xp: (first.apply(_float(images, xp), p[0], xp), labels))


def _one_hot(labels: Any, image_spec: ImageSpec, xp: Any) -> Any:
    if labels is None or len(labels.shape) == 2:
        return labels
    return xp.one_hot(labels, image_spec.class_count, dtype="float32")


def _float(images: Any, xp: Any) -> Any:
    return xp.cast(images, "float32")
