"""Regularization by name: `get("l2(5e-4) | max_norm(3)")`, and the registry of names."""

import keras

from kerastricks import spec as specs
from kerastricks.errors import SpecError
from kerastricks.registry import Registry
from kerastricks.regularizers.penalties import Regularization

REGULARIZERS = Registry(
    "regularizer",
    {
        "elastic_net": "kerastricks.regularizers.penalties:elastic_net",
        "l1": "kerastricks.regularizers.penalties:l1",
        "l2": "kerastricks.regularizers.penalties:l2",
        "max_norm": "kerastricks.regularizers.penalties:max_norm",
    },
)


def get(spec: "str | keras.Regularizer | Regularization | None") -> Regularization:
    """Reads "l2(5e-4)", "l1(1e-5)", "elastic_net(1e-5, 1e-4)", "max_norm(3)" or "l2(5e-4) | max_norm(3)".

    Args:
        spec: at most one penalty and one `max_norm`, in any order; "" and None are no regularization; a Keras
            regularizer and what this function returned are taken as they are. Names of one's own are added
            with `REGULARIZERS.register`: functions that return a Keras regularizer.

    Returns:
        A `Regularization`: `regularizer` for `kernel_regularizer`, `constraint(kind)` for `kernel_constraint`.

    Raises:
        UnknownNameError: for a name that is not there.
        SpecError: for what does not parse, values that are refused, and two penalties or two bounds.

    Example:
        >>> import kerastricks
        >>> asked = kerastricks.regularizers.get("l2(1e-3) | max_norm(3)")
        >>> asked.regularizer.get_config()
        {'l2': 0.0005}
        >>> asked.constraint("conv2d").get_config()
        {'max_value': 3.0, 'axis': [0, 1, 2]}
    """
    if spec is None:
        return Regularization()
    if isinstance(spec, Regularization):
        return spec
    if isinstance(spec, keras.Regularizer):
        return Regularization(spec)
    if not isinstance(spec, str):
        raise SpecError(f"a regularizer is a string such as 'l2(5e-4)' or a Keras regularizer. Received: {spec!r}")
    penalty: keras.Regularizer | None = None
    max_value: float | None = None
    for parsed in specs.parse_sequence(spec):
        build = REGULARIZERS[parsed.name]
        if parsed.name == "max_norm":
            if max_value is not None:
                raise SpecError(f"{spec!r}: there can be one max_norm")
            max_value = parsed.call(build, kind="dense").max_value
        elif penalty is not None:
            raise SpecError(f"{spec!r}: there can be one penalty; L1 and L2 together are elastic_net(l1, l2)")
        else:
            penalty = parsed.call(build)
    return Regularization(penalty, max_value)
