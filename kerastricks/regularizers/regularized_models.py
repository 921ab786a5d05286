"""Regularization of an existing model: its config is rewritten, and weights and random state are copied."""

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from kerastricks.errors import UnknownNameError
from kerastricks.keras_graph import all_layers, own_trainable_variables, sublayers
from kerastricks.regularizers.catalog import get
from kerastricks.regularizers.penalties import SEPARABLE, Regularization, find_kind
from kerastricks.regularizers.weight_decay import undecayed

# Weights that are kernels, by the beginning of the arguments that Keras has for them.
KERNELS = ("kernel", "depthwise", "pointwise", "recurrent", "embeddings")


def apply_regularization(
    model: keras.Model, spec: str | keras.Regularizer | Regularization, *, layers: Sequence[str] | None = None
) -> keras.Model:
    """Clones a model, with its weights, so that its kernels have a penalty, a bound on their norm, or both.

    Setting `kernel_regularizer` on a layer that is built does nothing in Keras, so that a pretrained model
    has to be built again: this is that. Kernels of dense, convolution (depthwise, separable, transposed),
    embedding, attention and recurrent layers and of one's own layers with a `kernel_regularizer` argument
    are meant, in nested models and wrappers too. Biases, normalisation and PReLU slopes are left alone, and
    so are frozen layers, whose penalty Keras does not count: unfreeze first. A penalty in `spec` replaces the
    one a kernel has, a `max_norm` its constraint; what `spec` does not name stays. The bound acts after the
    first step: the weights of the clone are those of the model, bit by bit. The penalty of a shared layer
    counts once.

    The clone keeps names, trainable flags, dtype policies and the state of dropout, so that it drops what
    the model would have dropped next (on torch, dropout without a seed draws from torch's own generator, which
    both share); seeds drawn by Python's `random` are not used up. It is not compiled: compile it. The model is
    not changed.

    Args:
        model: functional or `Sequential`, of any nesting.
        spec: as in `get`: "l2(5e-4)", "l2(5e-4) | max_norm(3)", a Keras regularizer.
        layers: names of the layers that are meant, and all inside them; None is all.

    Returns:
        A `keras.Model` that saves and loads with its regularization, without kerastricks too.

    Raises:
        UnknownNameError: for a regularizer or layer that is not there.
        SpecError: for a `spec` that does not parse or has values that are refused.
        ValueError: for a subclassed model, for a kernel that cannot be given what `spec` says, and where
            nothing would change.

    Example:
        >>> import kerastricks
        >>> model = kerastricks.models.create("plain_cnn(widths=(8,))", (8, 8, 1), 3)
        >>> regularized = kerastricks.regularizers.apply_regularization(model, "l2(5e-4) | max_norm(3)")
        >>> len(model.losses), len(regularized.losses)
        (0, 3)
        >>> regularized.get_layer("logits").kernel_constraint.max_value
        3.0
    """
    regularization = get(spec)
    if regularization == Regularization():
        raise ValueError(f"spec must name a penalty or a max_norm, such as 'l2(5e-4)'. Received: spec={spec!r}")
    if isinstance(layers, str):
        raise ValueError(f"layers must be a list of names. Received: layers={layers!r}: write [{layers!r}]")
    inner = all_layers(model)
    for name in layers or ():
        if name not in {layer.name for layer in inner}:
            raise UnknownNameError("layer", name, [layer.name for layer in inner])
    classes = _own_classes(inner)
    editor = RegularizedConfig(regularization, None if layers is None else set(layers), classes)
    clone = _rebuild(editor.edit(_serialized(model, spec)), classes, model, spec)
    idle = [name for name in layers or () if name not in editor.changed]
    if idle or not editor.changed:
        raise ValueError(
            f"there is nothing to regularize in {', '.join(map(repr, idle)) or repr(model.name)}: no kernel with a "
            "kernel_regularizer argument, or all frozen (unfreeze before)"
        )
    if layers is None:
        _check_all_have_it(clone, regularization)
    return clone


def _own_classes(layers: Sequence[keras.layers.Layer]) -> dict[str, type]:
    """Classes that are not Keras's, by their name in the config; they need not be registered."""
    classes: dict[str, type] = {}
    for layer in layers:
        kind = type(layer)
        if not kind.__module__.startswith("keras.") and kind is not classes.setdefault(
            keras.saving.get_registered_name(kind), kind
        ):
            raise ValueError(
                f"layer {layer.name!r}: there are two classes {kind.__name__}, which a config cannot tell apart: "
                "register them with keras.saving.register_keras_serializable(package=...)"
            )
    return classes


def _serialized(model: keras.Model, spec: Any) -> dict[str, Any]:
    functional = isinstance(model, keras.Sequential)
    try:
        node = keras.saving.serialize_keras_object(model)
        functional = functional or {"layers", "input_layers", "output_layers"} <= set(node["config"])
    except (NotImplementedError, TypeError, ValueError) as error:
        if functional or getattr(model, "inputs", None):
            raise _not_cloned(model, spec, error) from error
    if not functional:
        raise ValueError(
            f"model {model.name!r} is a {type(model).__name__}, a subclassed model, whose layers Keras cannot build "
            "again: give its layers kernel_regularizer=kerastricks.regularizers.l2(...) where they are made"
        )
    return node


def _rebuild(node: dict[str, Any], classes: dict[str, type], model: keras.Model, spec: Any) -> keras.Model:
    state = random.getstate()  # layers and initializers without a seed draw one here
    try:
        # The config is that of a model in memory and not of a stranger's file: Lambda layers are let through.
        clone = keras.saving.deserialize_keras_object(node, custom_objects=classes, safe_mode=False)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise _not_cloned(model, spec, error) from error
    finally:
        random.setstate(state)
    copy_state(model, clone)
    return clone


def _not_cloned(model: keras.Model, spec: Any, error: Exception) -> ValueError:
    # Keras nests its messages, with whole configs in them; the cause is the last.
    why = " ".join(str(error).rpartition("Exception encountered:")[-1].partition("Full object config")[0].split())
    return ValueError(f"model {model.name!r} cannot be built again from its config with {spec!r}: {why[:400]}")


def _check_all_have_it(clone: keras.Model, regularization: Regularization) -> None:
    """Raises ValueError for a layer that hides its kernels from the config: none is left out silently."""
    if not clone.built:
        return
    exempt = {id(weight) for weight in undecayed(clone)}
    for layer in all_layers(clone):
        for weight in own_trainable_variables(layer):
            lacks_penalty = regularization.regularizer is not None and weight.regularizer is None
            lacks_bound = regularization.max_value is not None and weight.constraint is None
            if weight.trainable and id(weight) not in exempt and (lacks_penalty or lacks_bound):
                raise ValueError(
                    f"weight {weight.path!r} of {type(layer).__name__} {layer.name!r} cannot be regularized from "
                    "outside: its config has no kernel_regularizer and kernel_constraint; name the layers that are "
                    "meant in layers=[...]"
                )


class RegularizedConfig:
    """Editor of a serialized model, which notes what it changed.

    A nested model and the layer in a wrapper are in there as they are on the top level, and what is written
    into the config is by construction what a saved model keeps.

    Args:
        regularization: what every kernel gets.
        layers: names of layers; what is inside them is meant too. None is all.
        classes: by registered name, those that are not Keras's own.
    """

    def __init__(
        self, regularization: Regularization, layers: Collection[str] | None, classes: Mapping[str, type]
    ) -> None:
        self.regularization = regularization
        self.layers = layers
        self.classes = classes
        self.changed: set[str] = set()  # those of `layers` with a kernel inside; without `layers`, any layer

    def edit(self, node: Any, inside: tuple[str, ...] = ()) -> Any:
        """A changed copy of `node`, without the state of `compile`; `inside` are the chosen layers around it."""
        if isinstance(node, list | tuple):
            return type(node)(self.edit(item, inside) for item in node)
        if not isinstance(node, dict):
            return node
        config = node.get("config")
        if "class_name" not in node or not isinstance(config, dict):
            return {key: self.edit(value, inside) for key, value in node.items()}
        name = config.get("name", "")
        if self.layers is None or name in self.layers:
            inside = (*inside, name)
        edited = {key: self.edit(value, inside) for key, value in node.items() if key != "compile_config"}
        # A frozen layer's penalty does not count in the loss, and no step moves its weights.
        if inside and config.get("trainable", True):
            for kernel in KERNELS:
                if f"{kernel}_regularizer" in config:
                    self._write(edited["config"], kernel, node)
                    self.changed.update(inside)
        return edited

    def _write(self, config: dict[str, Any], kernel: str, node: dict[str, Any]) -> None:
        if self.regularization.regularizer is not None:
            config[f"{kernel}_regularizer"] = keras.regularizers.serialize(self.regularization.regularizer)
        if self.regularization.max_value is not None:
            kind = find_kind(self._class(node))
            if kind in SEPARABLE:
                kind = SEPARABLE[kind][kernel]
            if kind is None or f"{kernel}_constraint" not in config:
                raise ValueError(
                    f"max_norm knows no axes for layer {config.get('name')!r}, a {node['class_name']}: "
                    "name the layers it is for in layers=[...]"
                )
            config[f"{kernel}_constraint"] = keras.constraints.serialize(self.regularization.constraint(kind))

    def _class(self, node: dict[str, Any]) -> type:
        name = node.get("registered_name") or node["class_name"]
        return self.classes.get(name, getattr(keras.layers, node["class_name"], object))


def copy_state(original: keras.Model, twin: keras.Model) -> None:
    """Makes `twin`, built from the config of `original`, compute what `original` does, bit by bit.

    Raises:
        ValueError: where a layer is shared in a way that the config does not say.
    """
    for layer, other in _pairs(original, twin, {}):
        # Through the methods that saving uses: a layer may have more to do than to assign (Normalization).
        # Through NumPy: on JAX a training step gives its buffers away, and two variables must not share one.
        store: dict[str, Any] = {}
        layer.save_own_variables(store)
        other.load_own_variables({key: ops.convert_to_numpy(value) for key, value in store.items()})
        for state, other_state in zip(_seed_states(layer), _seed_states(other), strict=True):
            other_state.assign(ops.convert_to_numpy(state))
        other.trainable = layer.trainable  # goes down to all inside, which come later
        pairs = zip(own_trainable_variables(layer), own_trainable_variables(other), strict=True)
        for weight, other_weight in pairs:
            other_weight.trainable = weight.trainable


def _pairs(layer: Any, other: Any, seen: dict[int, Any]) -> Iterator[tuple[Any, Any]]:
    """Each layer once, with its counterpart; the outer before the inner."""
    if id(layer) in seen:
        if seen[id(layer)] is not other:
            raise ValueError(
                f"layer {layer.name!r} is shared between models of which one contains the other, which Keras's "
                "config does not say: use it in only one of them"
            )
        return
    seen[id(layer)] = other
    yield layer, other
    children = sublayers(layer)
    others = sublayers(other)
    by_name = {child.name: child for child in others}
    if len(by_name) == len(others) and all(child.name in by_name for child in children):
        others = [by_name[child.name] for child in children]  # a functional model may list them in another order
    if len(children) != len(others):
        raise ValueError(
            f"layer {layer.name!r}, a {type(layer).__name__}, has other layers inside when it is built from its "
            "get_config(): mend get_config and from_config"
        )
    for child, twin in zip(children, others, strict=True):
        yield from _pairs(child, twin, seen)


def _seed_states(layer: Any) -> list[Any]:
    """Variables that are no weights: the seeds of dropout and its like."""
    weights = {id(weight) for weight in layer.weights}
    return [variable for variable in layer.variables if id(variable) not in weights]
