"""Checks that show the why: signal per layer, dead and saturated units, units that are all the same."""

from kerastricks.lazy import attach

__all__ = ["ActivationReport", "SignalReport", "UnitsReport", "activation", "init", "units"]

__getattr__, __dir__, load_all = attach(
    __name__,
    {
        "ActivationReport": "activation_report",
        "SignalReport": "signal_report",
        "UnitsReport": "units_report",
        "activation": "activation",
        "init": "init",
        "units": "units",
    },
)
