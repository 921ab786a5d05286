"""Schedules by name."""

from typing import Any

from kerastricks.schedules.specs import plan


def get(text: str, total_steps: int, peak: float | None = None) -> Any:
    """Makes the schedule that a spec names.

    Args:
        text: a spec, "one_cycle(0.1)", "step(0.1, factor=5, at=(0.5, 0.75))": the first argument is the peak, the
            others are named. Durations are fractions of all steps, `start` and `final` fractions of the peak;
            `patience` and `cooldown` of "plateau" are epochs. `kerastricks schedule` lists all of them.
        total_steps: optimizer steps of the whole training.
        peak: the highest learning rate, for specs that do not name it: "linear(warmup=0.2)".

    Returns:
        A `keras.optimizers.schedules.LearningRateSchedule`; a float where the rate stays: "constant", and "plateau",
        whose other half is `kerastricks.callbacks.PlateauDecay`.

    Raises:
        UnknownNameError: for a name that is no schedule.
        SpecError: for a text that does not parse, or arguments that the schedule does not have.
        ConfigError: for a value outside its range.

    Example:
        >>> import kerastricks
        >>> rate = kerastricks.schedules.get("step(0.1, factor=5, at=(0.5, 0.75))", total_steps=100)
        >>> round(float(rate(49)), 4), round(float(rate(50)), 4), round(float(rate(75)), 4)
        (0.1, 0.02, 0.004)
        >>> kerastricks.schedules.get("constant", total_steps=100, peak=0.3)
        0.3
    """
    return plan(text, total_steps, peak).build()
