"""Regularization for a model that already exists."""

import random
from collections.abc import Sequence
from typing import Any

import keras

from kerastricks.errors import UnknownNameError
from kerastricks.regularizers.catalog import get
from kerastricks.regularizers.copy_state import copy_state
from kerastricks.regularizers.regularization import Regularization
from kerastricks.regularizers.regularized_config import RegularizedConfig
from kerastricks.regularizers.weight_decay import undecayed


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
    inner = model._flatten_layers(include_self=True, recursive=True)
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
    """Those that are not Keras's: by the name in the config, which need not be registered."""
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
    """Nothing is left out silently: a layer that hides its kernels from the config is an error."""
    if not clone.built:
        return
    exempt = {id(weight) for weight in undecayed(clone)}
    for layer in clone._flatten_layers(include_self=True, recursive=True):
        for weight in layer._trainable_variables:
            lacks_penalty = regularization.regularizer is not None and weight.regularizer is None
            lacks_bound = regularization.max_value is not None and weight.constraint is None
            if weight.trainable and id(weight) not in exempt and (lacks_penalty or lacks_bound):
                raise ValueError(
                    f"weight {weight.path!r} of {type(layer).__name__} {layer.name!r} cannot be regularized from "
                    "outside: its config has no kernel_regularizer and kernel_constraint; name the layers that are "
                    "meant in layers=[...]"
                )
