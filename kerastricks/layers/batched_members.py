"""Several networks of one architecture as one, their weights stacked."""

import copy
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


class _Hidden:
    """Keeps the network out of sight of Keras, which would count its weights as the layer's."""

    def __init__(self, model: keras.Model) -> None:
        self.model = model


@keras.saving.register_keras_serializable(package="kerastricks")
class BatchedMembers(keras.layers.Layer):
    """Runs several networks of one architecture on the same inputs, with stacked weights: one batched network.

    On JAX the network is traced once and vectorised over the members' weights (`keras.ops.vectorized_map`), so that the
    program does not grow with the members and an accelerator sees few large operations instead of many small ones. On
    a CPU that was measured to be slower than one convolution after the other (docs/ensembles.md). TensorFlow's
    vectorised call was slower than the members unrolled, and PyTorch's vmap refuses Keras's convolutions: there the
    members are unrolled, which has the same outputs and no gain. Training and inference are the same: the networks run
    in inference mode, and no weight is trainable.

    Args:
        template: a functional model of that architecture with one input and one output; of its weights only the shapes
            count.
        members: how many.
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`.

    Call arguments:
        inputs: what the template takes, (batch, ...).

    Returns:
        In the layer's compute dtype, (batch, members, ...): what each member gives. The weights are the template's
        until `set_members`.

    Raises:
        ValueError: for a template that is no functional model with one input and one output, or fewer than one member.

    Example:
        >>> import keras, kerastricks, numpy
        >>> inputs = keras.Input((3,))
        >>> template = keras.Model(inputs, keras.layers.Dense(2)(inputs))
        >>> kerastricks.layers.BatchedMembers(template, members=5)(numpy.ones((4, 3))).shape
        TensorShape([4, 5, 2])

    Reference:
        Stacked weights and a vectorised call: the model ensembling of Frostig, Johnson, Leary: Compiling machine
        learning programs via high-level tracing, 2018, and of PyTorch's functorch. Deviation: unrolled on two backends.
    """

    def __init__(self, template: keras.Model, members: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        inputs, outputs = getattr(template, "inputs", None) or (), getattr(template, "outputs", None) or ()
        if (len(inputs), len(outputs)) != (1, 1):
            raise ValueError(
                f"template must be a functional keras.Model with one input and one output. Received: {template!r}"
            )
        if members < 1:
            raise ValueError(f"members must be 1 or more. Received: members={members}")
        self.members = int(members)
        self._template = _Hidden(template)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        template = self._template.model
        self._places: dict[int, int] = {}
        self.stacked = []
        for place, weight in enumerate(template.weights):
            self._places[id(weight)] = place
            values = ops.convert_to_numpy(weight)
            stacked = self.add_weight(
                name=f"weight_{place}_{weight.name}",
                shape=(self.members, *weight.shape),
                dtype=weight.dtype,
                trainable=False,
                autocast=False,
            )
            stacked.assign(np.broadcast_to(values, stacked.shape))
            self.stacked.append(stacked)

    def set_members(self, models: Sequence[keras.Model]) -> None:
        """Copies the weights of models, one for each member, in the order of `models`; the layer must be built.

        Args:
            models: of the template's architecture.
        """
        for stacked, *values in zip(self.stacked, *(model.weights for model in models), strict=True):
            stacked.assign(np.stack([ops.convert_to_numpy(value) for value in values]))

    def call(self, inputs: Any) -> Any:
        values = [ops.convert_to_tensor(stacked) for stacked in self.stacked]
        if keras.backend.backend() == "jax":
            outputs = ops.vectorized_map(lambda weights: self._one(weights, inputs), values)
            outputs = ops.moveaxis(outputs, 0, 1)
        else:
            each = [self._one([value[member] for value in values], inputs) for member in range(self.members)]
            outputs = ops.stack(each, axis=1)
        return ops.cast(outputs, self.compute_dtype)

    def _one(self, weights: Sequence[Any], inputs: Any) -> Any:
        template = self._template.model

        def value(variable: Any) -> Any:
            if id(variable) in self._places:
                return weights[self._places[id(variable)]]
            return ops.convert_to_tensor(np.zeros(variable.shape), variable.dtype)  # seeds: nothing is drawn

        trainable = [value(variable) for variable in template.trainable_variables]
        others = [value(variable) for variable in template.non_trainable_variables]
        return template.stateless_call(trainable, others, inputs, training=False)[0]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, *rest = self._template.model.compute_output_shape(input_shape)
        return (batch, self.members, *rest)

    def get_config(self) -> dict[str, Any]:
        template = keras.saving.serialize_keras_object(self._template.model)
        return {**super().get_config(), "template": template, "members": self.members}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "BatchedMembers":
        config = copy.deepcopy(config)  # Keras takes apart what it reads
        if isinstance(config["template"], dict):
            config["template"] = keras.saving.deserialize_keras_object(config["template"])
        return cls(**config)
