"""Checks that show the why: signal per layer, dead and saturated units, units that are all the same, shapes."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = [
    "ActivationReport",
    "ShapeFinding",
    "ShapeReport",
    "SignalReport",
    "UnitsReport",
    "activation",
    "check_shapes",
    "init",
    "units",
]

if TYPE_CHECKING:
    from kerastricks.checks.activation_check import ActivationReport, activation
    from kerastricks.checks.shape_check import ShapeFinding, ShapeReport, check_shapes
    from kerastricks.checks.signal_check import SignalReport, init
    from kerastricks.checks.unit_check import UnitsReport, units
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {
            "ActivationReport": "activation_check",
            "ShapeFinding": "shape_check",
            "ShapeReport": "shape_check",
            "SignalReport": "signal_check",
            "UnitsReport": "unit_check",
            "activation": "activation_check",
            "check_shapes": "shape_check",
            "init": "signal_check",
            "units": "unit_check",
        },
    )
