"""Members with the same classes in other orders, and members that know only some of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keras import ops

from kerastricks.ensemble.member import Member
from kerastricks.errors import EnsembleError


@dataclass(frozen=True)
class Alignment:
    """Where the classes of an ensemble are among the outputs of its members.

    Args:
        class_names: of the ensemble; None where no member names its classes.
        positions: for each member, for each class of the ensemble, the member's output; None where it has none.
    """

    class_names: tuple[str, ...] | None
    positions: tuple[tuple[int | None, ...], ...]

    @property
    def generalists(self) -> tuple[int, ...]:
        """The members that know all classes."""
        return tuple(index for index, positions in enumerate(self.positions) if None not in positions)

    def align(self, outputs: Sequence[Any]) -> Any:
        """(batch, M, K) log-probabilities over the ensemble's classes, of the members' own (batch, K_m).

        A member that knows a part S of the classes spreads over S, by its own distribution, the mass that the mean
        of the generalists gives to S; outside S it is that mean.
        """
        aligned: list[Any] = [None] * len(outputs)
        for index in self.generalists:
            aligned[index] = _take(outputs[index], self.positions[index])
        if len(self.generalists) < len(outputs):
            generalists = ops.stack([aligned[index] for index in self.generalists], axis=1)
            # The mean of probabilities: its logarithm but for a constant, which log_softmax puts right.
            general = ops.log_softmax(ops.logsumexp(generalists, axis=1), axis=-1)
            for index, positions in enumerate(self.positions):
                if index not in self.generalists:
                    aligned[index] = _complete(outputs[index], positions, general)
        return ops.stack(aligned, axis=1)


def align_classes(members: Sequence[Member]) -> Alignment:
    """Finds by name where each class is in each member's outputs.

    Orders that differ are permuted, the order of the result being that of the first generalist: a member that knows
    all classes of all members. A member that knows some of them (a specialist) has its say about these.

    Args:
        members: with `class_names`, or all without and of equal width.

    Returns:
        An `Alignment`.

    Raises:
        EnsembleError: where some members name their classes and others do not, where widths differ and there are no
            names, or where no member knows all classes.

    Example:
        >>> import keras, kerastricks
        >>> def model():
        ...     return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
        >>> one = kerastricks.ensemble.Member(model(), "one", ("cat", "dog"))
        >>> other = kerastricks.ensemble.Member(model(), "other", ("dog", "cat"))
        >>> kerastricks.ensemble.align_classes([one, other]).positions
        ((0, 1), (1, 0))

    Reference:
        Specialists: Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, 2015, section 5. Deviation:
        there a specialist has one more class for all others and is consulted where the generalists find one of its
        classes likely, and the result is fitted per image; here no such class is needed and it is a closed form.
    """
    named = [member for member in members if member.class_names is not None]
    if not named:
        widths = {member.classes for member in members}
        if len(widths) > 1:
            found = ", ".join(f"{member.name!r} {member.classes}" for member in members)
            raise EnsembleError(
                f"members must have the same classes, or class_names that say which. Received numbers of classes: "
                f"{found}; give every member its class_names"
            )
        return Alignment(None, (tuple(range(widths.pop())),) * len(members))
    if len(named) < len(members):
        nameless = [member.name for member in members if member.class_names is None]
        raise EnsembleError(
            f"members {', '.join(map(repr, nameless))} have no class_names and others do: give them to all members"
        )
    union = {name for member in members for name in member.class_names or ()}
    generalist = next((member for member in members if union == set(member.class_names or ())), None)
    if generalist is None:
        lacks = "; ".join(
            f"{member.name!r} lacks {_some(sorted(union - set(member.class_names or ())))}" for member in members
        )
        raise EnsembleError(
            f"one member at least must know all {len(union)} classes. Received: {lacks}; train a member on all "
            "classes, or leave out those with classes that no other has"
        )
    order = generalist.class_names or ()
    places = [{name: place for place, name in enumerate(member.class_names or ())} for member in members]
    return Alignment(order, tuple(tuple(place.get(name) for name in order) for place in places))


def _take(log_probabilities: Any, positions: Sequence[int | None]) -> Any:
    """Outputs in another order."""
    order = [position for position in positions if position is not None]
    if order == list(range(log_probabilities.shape[-1])):
        return log_probabilities
    return ops.take(log_probabilities, order, axis=-1)


def _complete(log_probabilities: Any, positions: Sequence[int | None], general: Any) -> Any:
    """A specialist's distribution over all classes."""
    known = [place for place, position in enumerate(positions) if position is not None]
    mass = ops.logsumexp(ops.take(general, known, axis=-1), axis=-1, keepdims=True)
    both = ops.concatenate([log_probabilities + mass, general], axis=-1)
    width = log_probabilities.shape[-1]
    order = [width + place if position is None else position for place, position in enumerate(positions)]
    return ops.take(both, order, axis=-1)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
