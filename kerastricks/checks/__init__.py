"""Checks that show the why: signal per layer, dead and saturated units, units that are all the same, shapes."""

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

__getattr__, __dir__, load_all = attach(
    __name__,
    {
        "ActivationReport": "activation_check",
        "ShapeFinding": "shape_report",
        "ShapeReport": "shape_report",
        "SignalReport": "signal_report",
        "UnitsReport": "units_report",
        "activation": "activation",
        "check_shapes": "shape_check",
        "init": "signal_check",
        "units": "unit_check",
    },
)
