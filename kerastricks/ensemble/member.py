"""A classifier that takes part in an ensemble."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from kerastricks.data.fitting import WHOLE, Fitting
from kerastricks.errors import EnsembleError, UsageError
from kerastricks.keras_graph import split_head
from kerastricks.models.head import free_name

# exp(-80) is 1.8e-35: far below any probability that matters, and a normal number in float32.
_LOWEST_PROBABILITY = 1.8e-35


@dataclass(frozen=True, eq=False)
class Member:
    """A trained classifier with the names of its classes and how its images are cut and resized.

    Args:
        model: functional or Sequential, built, with one input and one output (batch, classes): logits (a linear last
            layer) or probabilities. A last layer that is only a softmax is left out of the ensemble, whose
            log-probabilities are then exact; those of a dense layer with softmax inside are logarithms of float32.
        name: what errors and reports call it.
        class_names: in the order of its outputs; None where all members have the same classes in the same order.
        fitting: how images are cut and resized to its input.

    Raises:
        EnsembleError: for a model that is no classifier, or names that do not fit its outputs.

    Example:
        >>> import keras, kerastricks
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
        >>> kerastricks.ensemble.Member(model, "small", ("cat", "dog")).classes
        2
    """

    model: keras.Model
    name: str
    class_names: tuple[str, ...] | None = None
    fitting: Fitting = WHOLE

    def __post_init__(self) -> None:
        if not isinstance(self.model, keras.Model):
            raise EnsembleError(f"member {self.name!r}: model must be a keras.Model. Received: {self.model!r}")
        inputs: Sequence[Any] = getattr(self.model, "inputs", None) or ()
        outputs: Sequence[Any] = getattr(self.model, "outputs", None) or ()
        if (len(inputs), len(outputs)) != (1, 1) or len(outputs[0].shape) != 2 or (outputs[0].shape[-1] or 0) < 2:
            shapes = [tuple(tensor.shape) for tensor in outputs]
            raise EnsembleError(
                f"member {self.name!r}: model must be a built functional or Sequential classifier with one input and "
                f"one output (batch, 2 classes or more). Received: {len(inputs)} inputs, outputs {shapes}"
            )
        try:
            split_head(self.model)
        except UsageError as error:
            raise EnsembleError(f"member {self.name!r} is no classifier: {error}") from None
        if self.class_names is not None:
            names = tuple(map(str, self.class_names))
            object.__setattr__(self, "class_names", names)
            if len(names) != self.classes or len(set(names)) != len(names):
                raise EnsembleError(
                    f"member {self.name!r}: class_names must be {self.classes} different names, as many as it has "
                    f"outputs. Received: {len(names)}, {len(set(names))} of them different"
                )

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.model.outputs[0].shape[-1])

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of one image."""
        return tuple(self.model.inputs[0].shape[1:])

    def log_probabilities(self, name: str) -> keras.Model:
        """A model over the member's own layers, from its pixels to (batch, classes) float32 log-probabilities."""
        body, ends_in_logits = split_head(self.model)
        taken = {layer.name for layer in body.layers}
        ending = _logarithm(self.classes, ends_in_logits, free_name("log_probabilities", taken))
        outputs = ending(body.outputs[0])
        return keras.Model(body.inputs[0], outputs, name=name)


def _logarithm(classes: int, of_logits: bool, name: str) -> keras.Model:
    """Log-probabilities of logits or probabilities.

    A model of its own: names of operations count up from the start of a process, and those of a model from a file
    are from another.
    """
    inputs = keras.Input((classes,), dtype="float32")
    exact = ops.cast(inputs, "float32")
    outputs = ops.log_softmax(exact, axis=-1) if of_logits else ops.log(ops.maximum(exact, _LOWEST_PROBABILITY))
    return keras.Model(inputs, outputs, name=name)


def as_members(models: Sequence[Any]) -> list[Member]:
    """Wrap plain models as members, named by the model and its index.

    Raises:
        EnsembleError: for fewer than two models, or for one that is given twice.
    """
    if len(models) < 2:
        raise EnsembleError(f"an ensemble needs two members or more. Received: {len(models)}; use the model as it is")
    members = [
        model if isinstance(model, Member) else Member(model, f"{getattr(model, 'name', 'model')} ({index})")
        for index, model in enumerate(models)
    ]
    for index, member in enumerate(members):
        twin = next((other for other in members[:index] if other.model is member.model), None)
        if twin is not None:
            raise EnsembleError(
                f"member {member.name!r} is the same model as {twin.name!r}: give it once, with a larger weight"
            )
    return members
