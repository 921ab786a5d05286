"""Initializers by name: `get("he_normal(0.18)")`, and the registry of this package's names."""

import inspect
from typing import Any

import keras

from kerastricks.errors import UnknownNameError, UsageError
from kerastricks.registry import Registry
from kerastricks.spec import parse

INITIALIZERS = Registry(
    "initializer",
    {
        "delta_orthogonal": "kerastricks.initializers.orthogonal:DeltaOrthogonal",
        "dirac": "kerastricks.initializers.orthogonal:Dirac",
        "fan_in": "kerastricks.initializers.fan_family:FanIn",
        "he_normal": "kerastricks.initializers.fan_family:HeNormal",
        "he_uniform": "kerastricks.initializers.fan_family:HeUniform",
        "lsuv": "kerastricks.initializers.lsuv_kernels:LSUV",
        "patch_whitening": "kerastricks.initializers.patch_whitening:PatchWhitening",
        "small_normal": "kerastricks.initializers.small:SmallNormal",
        "small_uniform": "kerastricks.initializers.small:SmallUniform",
        "xavier_normal": "kerastricks.initializers.fan_family:XavierNormal",
        "xavier_uniform": "kerastricks.initializers.fan_family:XavierUniform",
    },
)


def get(spec: Any) -> Any:
    """Makes a fresh initializer from a spec: "he_normal(0.18)", "small_normal(0.01)", "zeros".

    Names are this package's first ("he_normal" is the untruncated `HeNormal`), then Keras's in lower case, with
    their arguments: "glorot_uniform", "orthogonal(gain=1.4)", "random_normal(stddev=0.01)".

    Args:
        spec: a spec, a Keras initializer, its serialized configuration or its class, or a function of
            (shape, dtype). An initializer is copied, so that two layers do not start from the same draws; with an
            integer as seed the copy draws the same again, and one with a `keras.random.SeedGenerator`, which draws
            anew in every call, is returned itself.

    Returns:
        A Keras initializer, or the function.

    Raises:
        UnknownNameError: for a name that neither package has; it names the nearest.
        SpecError: for a spec that does not parse, or arguments that the initializer does not take.
        UsageError: for None or anything else.

    Example:
        >>> import kerastricks
        >>> kerastricks.initializers.get("he_normal(0.18)").negative_slope
        0.18
    """
    if isinstance(spec, str):
        parsed = parse(spec)
        names = _keras_names()
        if parsed.name not in INITIALIZERS and parsed.name not in names:
            raise UnknownNameError("initializer", parsed.name, {*INITIALIZERS, *names})
        return parsed.call(INITIALIZERS[parsed.name] if parsed.name in INITIALIZERS else names[parsed.name])
    if isinstance(spec, dict):
        spec = keras.initializers.deserialize(spec)
    if inspect.isclass(spec) and issubclass(spec, keras.initializers.Initializer):
        return spec()
    if isinstance(spec, keras.initializers.Initializer):
        shared = isinstance(getattr(spec, "seed", None), keras.random.SeedGenerator)
        return spec if shared else spec.clone()
    if callable(spec):
        return spec
    raise UsageError(
        'initializer must be a spec such as "he_normal(0.18)", a Keras initializer or a function of (shape, dtype). '
        f"Received: {spec!r}"
    )


def _keras_names() -> dict[str, type]:
    """Keras's own initializers by their names in lower case."""
    found = {name: getattr(keras.initializers, name) for name in dir(keras.initializers) if name.islower()}
    return {name: thing for name, thing in found.items() if inspect.isclass(thing)}
