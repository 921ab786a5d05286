"""Checks that show why a network learns or not: signal, units, shapes, a model file by itself, and where it looks."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = [
    "ActivationReport",
    "ModelFinding",
    "ModelReport",
    "ShapeFinding",
    "ShapeReport",
    "SignalReport",
    "UnitsReport",
    "check_activations",
    "check_model",
    "check_shapes",
    "check_signal",
    "check_units",
    "grad_cam",
]

if TYPE_CHECKING:
    from kerastricks.checks.activation_check import ActivationReport, check_activations
    from kerastricks.checks.class_activation import grad_cam
    from kerastricks.checks.model_check import ModelReport, check_model
    from kerastricks.checks.model_finding import ModelFinding
    from kerastricks.checks.shape_check import ShapeFinding, ShapeReport, check_shapes
    from kerastricks.checks.signal_check import SignalReport, check_signal
    from kerastricks.checks.unit_check import UnitsReport, check_units
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {
            "ActivationReport": "activation_check",
            "ModelFinding": "model_finding",
            "ModelReport": "model_check",
            "ShapeFinding": "shape_check",
            "ShapeReport": "shape_check",
            "SignalReport": "signal_check",
            "UnitsReport": "unit_check",
            "check_activations": "activation_check",
            "check_model": "model_check",
            "check_shapes": "shape_check",
            "check_signal": "signal_check",
            "check_units": "unit_check",
            "grad_cam": "class_activation",
        },
        former={
            "activation": "is now kerastricks.checks.check_activations",
            "init": "is now kerastricks.checks.check_signal",
            "units": "is now kerastricks.checks.check_units",
        },
    )
