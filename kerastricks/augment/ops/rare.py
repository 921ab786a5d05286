"""Ops for rare classes: an image gets them the more likely the fewer images its class has."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kerastricks.augment.op import Draws, ImageSpec, Op, Parameters, Policy, op_name
from kerastricks.errors import SpecError


@dataclass(frozen=True)
class ForRare(Policy):
    """Applies ops to images of rare classes: with the probability 1 - n / n_max, n being the images of the class.

    Images of the largest class never get them, those of a class a hundred times smaller nearly always. With
    `upsample`, which shows an image of a rare class many times, each time is another crop or another strong
    augmentation of it and not a copy. It hurts where a class is told by how it was augmented: test images of rare
    classes look like none of it.

    Args:
        ops: a spec, `for_rare(randaugment(2, 9))` or `for_rare("pad_crop(4) | hue(0.1)")`; extra random crops by
            default. Of ops that can leave an image as it is: no erasures, `mixup`, `cutmix`, `normalize`,
            `alternating_flip`.

    Reference:
        The remedy of the article by Wei ("Must Know Tips/Tricks in Deep Neural Networks", 2015, section 9): more
        different crops of the images of rare classes instead of copies. The probability is ours.
    """

    ops: str = "random_resized_crop"
    inner: tuple[Op, ...] = field(default=(), init=False, repr=False)
    rarity: tuple[float, ...] = field(default=(), init=False, repr=False)

    needs_place = True

    def __post_init__(self) -> None:
        if not isinstance(self.ops, str):
            raise SpecError(f"for_rare takes a spec of ops, for_rare(randaugment(2, 9)). Received: {self.ops!r}")
        ops = _read(self.ops, None)
        if not ops:
            raise SpecError("for_rare takes one op or more, for_rare(randaugment(2, 9)). Received: none")
        for op in ops:
            if not (op.neutral or isinstance(op, Policy)) or isinstance(op, ForRare):
                raise SpecError(
                    f"for_rare: {op_name(op)} cannot leave an image as it is: take it out. Received: ops={self.ops!r}"
                )

    def bind(self, image_spec: ImageSpec) -> "ForRare":
        counts = image_spec.class_counts
        if counts is None:
            raise SpecError("for_rare needs the class counts of training images: give it to kerastricks.data.load")
        rarity = 1 - np.array(counts) / max(counts)
        return self.knowing(inner=tuple(_read(self.ops, image_spec)), rarity=tuple(rarity.tolist()))

    @property
    def uniforms(self) -> int:  # type: ignore[override]
        return 1 + sum(op.uniforms for op in (self.inner or _read(self.ops, None)))

    @property
    def members(self) -> tuple[Op, ...]:
        return tuple(member for member, _, _, _ in self._flat())

    def member_parameters(self, number: int, draws: Draws, xp: Any) -> Parameters:
        member, op, place, first = self._flat()[number]
        theirs = draws._replace(uniforms=draws.uniforms[:, first : first + op.uniforms])
        found = op.member_parameters(place, theirs, xp) if isinstance(op, Policy) else op.parameters(theirs, xp)
        probability = xp.take(xp.convert_to_tensor(self.rarity, "float32"), draws.labels, axis=0)
        applied = draws.uniforms[:, 0] < probability
        neutral = member.neutral
        return {
            name: _where(applied, value, neutral[name], xp) if name in neutral else value
            for name, value in found.items()
        }

    def _flat(self) -> list[tuple[Op, Op, int, int]]:
        """Each op or member of a policy, the op it is of, its number there, and that op's first column."""
        flat: list[tuple[Op, Op, int, int]] = []
        first = 1
        for op in self.inner:
            members = op.members if isinstance(op, Policy) else (op,)
            flat += [(member, op, place, first) for place, member in enumerate(members)]
            first += op.uniforms
        return flat


def _where(applied: Any, value: Any, neutral: float, xp: Any) -> Any:
    """A parameter, (batch,) or (batch, n), and the neutral value for images that do not get the op."""
    value = xp.convert_to_tensor(value)
    if len(value.shape) == 2:
        applied = applied[:, None]
    return xp.where(applied, value, xp.cast(neutral, value.dtype))


def _read(text: str, image_spec: ImageSpec | None) -> list[Op]:
    from kerastricks.augment import sequence  # which reads this module's op

    return sequence.read(text, image_spec)
