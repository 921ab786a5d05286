"""Checks that show why a network learns or not: signal, units, shapes, the model file, batch size, labels, Grad-CAM."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = [
    "ActivationReport",
    "BatchSizeReport",
    "LabelPair",
    "LabelSuspect",
    "LabelsReport",
    "ModelFinding",
    "ModelReport",
    "ShapeFinding",
    "ShapeReport",
    "SignalReport",
    "UnitsReport",
    "check_activations",
    "check_batch_size",
    "check_labels",
    "check_model",
    "check_shapes",
    "check_signal",
    "check_units",
    "grad_cam",
    "network_findings",
]

if TYPE_CHECKING:
    from kerastricks.checks.activation_check import ActivationReport, check_activations
    from kerastricks.checks.batch_check import check_batch_size
    from kerastricks.checks.class_activation import grad_cam
    from kerastricks.checks.diagnosis_findings import network_findings
    from kerastricks.checks.label_check import LabelPair, LabelsReport, LabelSuspect, check_labels
    from kerastricks.checks.model_check import ModelReport, check_model
    from kerastricks.checks.model_finding import ModelFinding
    from kerastricks.checks.noise_scale import BatchSizeReport
    from kerastricks.checks.shape_check import ShapeFinding, ShapeReport, check_shapes
    from kerastricks.checks.signal_check import SignalReport, check_signal
    from kerastricks.checks.unit_check import UnitsReport, check_units
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {
            "ActivationReport": "activation_check",
            "BatchSizeReport": "noise_scale",
            "LabelPair": "label_check",
            "LabelSuspect": "label_check",
            "LabelsReport": "label_check",
            "ModelFinding": "model_finding",
            "ModelReport": "model_check",
            "ShapeFinding": "shape_check",
            "ShapeReport": "shape_check",
            "SignalReport": "signal_check",
            "UnitsReport": "unit_check",
            "check_activations": "activation_check",
            "check_batch_size": "batch_check",
            "check_labels": "label_check",
            "check_model": "model_check",
            "check_shapes": "shape_check",
            "check_signal": "signal_check",
            "check_units": "unit_check",
            "grad_cam": "class_activation",
            "network_findings": "diagnosis_findings",
        },
        former={
            "activation": "is now kerastricks.checks.check_activations",
            "init": "is now kerastricks.checks.check_signal",
            "units": "is now kerastricks.checks.check_units",
        },
    )
