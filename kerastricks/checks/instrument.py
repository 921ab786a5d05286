"""A copy of a model whose kernels' and activations' outputs pass through taps, and a probe to put there."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from kerastricks.checks.activation_kinds import KERNEL_LAYERS, ActivationKind, kind_of, own_kind
from kerastricks.checks.images import functional
from kerastricks.errors import UsageError
from kerastricks.keras_graph import all_layers, producer


@dataclass
class Place:
    """The place of a tap in a model.

    Args:
        name: of the layer, "block/conv" inside another model, "conv:relu" for a layer's own activation, "conv#2"
            where a layer is called again.
        layer: the copy of the layer or operation.
        kernels: the weights of the copy called kernel; empty for an activation.
        activation: the last operation; None for a kernel's plain output.
        is_head: whether the loss comes right after.
    """

    name: str
    layer: Any
    kernels: list[Any] = field(default_factory=list)
    activation: ActivationKind | None = None
    is_head: bool = False


Tap = Callable[[Place, Any], Any]


class Instrument:
    """Copies a model layer by layer and passes each kernel's and each activation's output through a tap.

    A layer's own activation is taken out and applied after it, so that the pre-activation is seen too.

    Args:
        model: functional or Sequential; left as it is.
        image_shape: of the images, where the model leaves it open.
        tap: gets a place and a symbolic tensor, and returns the tensor to continue with.
        to_logits: whether a softmax at the end is left out: the loss is exact on logits.
    """

    def __init__(self, model: keras.Model, image_shape: tuple[int, ...], tap: Tap, to_logits: bool) -> None:
        self._tap = tap
        self._to_logits = to_logits
        self._copies: dict[int, tuple[Any, Any]] = {}
        self._originals: dict[int, Any] = {}
        self._seen: dict[str, int] = {}
        self._inner = 0
        plain = functional(model)
        source = plain.inputs[0]
        inputs = keras.Input(image_shape, dtype=source.dtype, name="kerastricks_images")
        self.model = self._clone(plain, inputs, "", is_last=True)
        self.reset()

    def reset(self) -> None:
        """Sets the copy's weights, statistics and random state to the model's."""
        for original, copy in self._copies.values():
            if not isinstance(original, keras.layers.Layer):
                continue
            for source, target in zip(original.variables, copy.variables, strict=True):
                target.assign(source)
            for layer in all_layers(copy):
                if isinstance(layer, keras.layers.Normalization):  # computes with numbers made from its weights
                    layer.finalize_state()

    def _clone(self, model: keras.Model, inputs: Any, prefix: str, is_last: bool) -> keras.Model:
        end = head = None
        if is_last:
            end = head = producer(model.outputs[0])
            if self._to_logits and not _is_functional(end):
                _check_head(end, model.outputs[0].shape)
            if isinstance(end, keras.layers.Layer) and _is_softmax(end):
                head = producer(end.input)

        def call(copy: Any, *args: Any, **kwargs: Any) -> Any:
            original = self._originals[id(copy)]
            if original is end and self._to_logits and _is_softmax(original):
                return args[0]
            return self._call(original, copy, prefix, original is head, args, kwargs)

        return keras.models.clone_model(model, inputs, clone_function=self._copy, call_function=call)

    def _copy(self, original: Any) -> Any:
        if _is_functional(original):
            self._originals[id(original)] = original  # copied when it is called, for the shapes it is called with
            return original
        if id(original) not in self._copies:
            try:
                copy = type(original).from_config(original.get_config())
            except Exception as error:  # whatever somebody's own layer raises
                why = " ".join(str(error).split())[:200]
                raise UsageError(
                    f"layer {original.name!r} ({type(original).__name__}) cannot be copied from its get_config(): {why}"
                ) from error
            if _takes_out(original):
                copy.activation = keras.activations.linear
            self._copies[id(original)] = (original, copy)
            self._originals[id(copy)] = original
        return self._copies[id(original)][1]

    def _call(self, original: Any, copy: Any, prefix: str, is_last: bool, args: Any, kwargs: dict[str, Any]) -> Any:
        if _is_functional(original):
            return self._call_model(original, prefix, is_last, args, kwargs)
        kind = kind_of(original)
        outputs = copy(*args, **kwargs)
        name = self._name(prefix + original.name)
        if kind is not None:
            return self._tap(Place(name, copy, activation=kind), outputs)
        kernels = [weight for weight in getattr(copy, "weights", []) if "kernel" in weight.name]
        inside = own_kind(original)
        if _takes_out(original):
            outputs = self._tap(Place(name, copy, kernels, is_head=is_last), outputs)
            if is_last and self._to_logits and inside is not None and inside.name == "softmax":
                return outputs
            step = keras.layers.Activation(
                original.activation,
                dtype=original.dtype_policy,
                name=f"{copy.name}_kerastricks_activation_{self._count()}",
            )
            return self._tap(Place(f"{name}:{inside.name}" if inside else name, step, activation=inside), step(outputs))
        if (kernels or inside is not None) and hasattr(outputs, "shape"):
            return self._tap(Place(name, copy, kernels, inside, is_last), outputs)
        return outputs

    def _call_model(self, original: Any, prefix: str, is_last: bool, args: Any, kwargs: dict[str, Any]) -> Any:
        inner = keras.Model(original.inputs, original.outputs) if isinstance(original, keras.Sequential) else original
        structure = inner.input
        flat = keras.tree.flatten(args)
        plain = keras.Model(structure, inner.output, name=f"{original.name}_kerastricks_{self._count()}")
        fresh = [
            keras.Input(batch_shape=x.shape, dtype=x.dtype, name=f"kerastricks_input_{self._count()}") for x in flat
        ]
        copy = self._clone(plain, keras.tree.pack_sequence_as(structure, fresh), f"{prefix}{original.name}/", is_last)
        return copy(keras.tree.pack_sequence_as(structure, flat), **kwargs)

    def _count(self) -> int:
        self._inner += 1
        return self._inner

    def _name(self, name: str) -> str:
        self._seen[name] = self._seen.get(name, 0) + 1
        return name if self._seen[name] == 1 else f"{name}#{self._seen[name]}"


def _takes_out(layer: Any) -> bool:
    activation = getattr(layer, "activation", None)
    return (
        type(layer) in KERNEL_LAYERS
        and activation is not None
        and activation is not keras.activations.linear
        and not isinstance(activation, keras.layers.Layer)
    )


def _is_functional(layer: Any) -> bool:
    """Whether it is a model whose layers are known; a subclassed one is copied as a layer."""
    try:
        return isinstance(layer, keras.Model) and bool(layer.inputs)
    except (AttributeError, ValueError):
        return False


def _is_softmax(operation: Any) -> bool:
    kind = kind_of(operation)
    return kind is not None and kind.name == "softmax"


def _check_head(operation: Any, shape: tuple[int | None, ...]) -> None:
    if len(shape) != 2 or shape[1] is None or shape[1] < 2:
        raise UsageError(f"model must give (batch, classes), with two classes or more. Received: output shape {shape}")
    own, kind = own_kind(operation), kind_of(operation)
    found = kind or own
    if found is not None and (found.name != "softmax" or (kind is None and not _takes_out(operation))):
        raise UsageError(
            f"the last layer of model must be a softmax, or linear for logits. Received: {operation.name!r} "
            f"({found.name})"
        )


def values(tensor: Any) -> np.ndarray:
    """Converts a tensor of any dtype to float32 NumPy."""
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32")))


class Probe(keras.layers.Layer):
    """The identity; passes its input to a function while it is open.

    It may be open only while the model is called directly: in a compiled function there are no values.

    Args:
        see: receives each output as float32.
        number: for the layer's name.
        place: where the probe is.
    """

    def __init__(self, see: Callable[[np.ndarray], None], number: int, place: Place) -> None:
        super().__init__(name=f"kerastricks_probe_{number}", dtype=getattr(place.layer, "dtype_policy", None))
        self.see = see
        self.is_open = False

    def compute_output_spec(self, x: Any) -> Any:
        return keras.KerasTensor(x.shape, dtype=x.dtype)

    def call(self, x: Any) -> Any:
        if self.is_open:
            self.see(values(x))
        return x


def look(model: keras.Model, images: np.ndarray) -> None:
    """Calls a model in inference mode with its probes open."""
    probes = [layer for layer in all_layers(model) if isinstance(layer, Probe)]
    for probe in probes:
        probe.is_open = True
    try:
        model(images, training=False)
    finally:
        for probe in probes:
            probe.is_open = False
