"""Former names of schedules and of their arguments: refused in Python, read in files."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import keras

Schedule = TypeVar("Schedule", bound=type[keras.optimizers.schedules.LearningRateSchedule])


def renamed(class_name: str | None = None, **arguments: str) -> Callable[[Schedule], Schedule]:
    """A class decorator for a schedule that had another name, or arguments with other names, in earlier versions.

    The constructor refuses a former argument in one line, with its name of today. `from_config` takes it, and a file
    with the former class name gives this class.

    Args:
        class_name: former name of the class; None where it has kept its name.
        **arguments: former name of an argument to its name of today.
    """

    def decorate(schedule: Schedule) -> Schedule:
        construct, read = schedule.__init__, schedule.from_config.__func__

        @functools.wraps(construct)
        def refuse_former(self: Any, *args: Any, **kwargs: Any) -> None:
            for former in arguments.keys() & kwargs.keys():
                raise TypeError(f"{schedule.__name__}: {former} is now {arguments[former]}")
            construct(self, *args, **kwargs)

        @functools.wraps(read)
        def read_former(cls: Any, config: dict[str, Any]) -> Any:
            return read(cls, {arguments.get(name, name): value for name, value in config.items()})

        schedule.__init__ = refuse_former
        schedule.from_config = classmethod(read_former)
        if class_name is not None:
            keras.saving.get_custom_objects()[f"kerastricks>{class_name}"] = schedule
        return schedule

    return decorate
