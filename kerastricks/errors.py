"""The exceptions kerastricks raises.

    KerasTricksError
    +-- UsageError (ValueError)        the user can mend it: the command line exits 2
    |   +-- UnknownNameError           a name that no registry, recipe or field has
    |   +-- SpecError                  "name(a, k=v) | ..." that does not parse
    |   +-- ConfigError                a field of the configuration
    |   +-- FormerNameError            an argument by a name that it no longer has (also TypeError)
    |   +-- DataError                  a folder, zip, file or array of images
    |   +-- ServiceError               a data service or model server that is not there, or refuses
    |   +-- WeightsError               trained weights that are missing, damaged, refused, or of another model
    |   +-- RunFolderError             a run folder that is missing, foreign or changed
    |   |   +-- ModelFileError         a file that is missing, damaged, or no such model (also WeightsError)
    |   +-- SpaceError                 a search space that does not parse, or holds nothing to search
    |   +-- SearchError                a search's folder, objective, workers or addresses
    |   +-- EnsembleError              members that cannot be one model
    |   +-- MissingExtraError          an optional dependency that is not installed (also ImportError)
    +-- RunFailedError (RuntimeError)  what was asked was right, and it failed: the command line exits 1
        +-- TrainingDivergedError      the loss is not finite, or learns nothing (also ArithmeticError)
        +-- CheckpointError            a checkpoint could not be written (also OSError)
        +-- WriteError                 any other file could not be written (also OSError)
        +-- ServiceLostError           the data service or model server failed in use (also ConnectionError)
        +-- ExportError                the exported model does not agree with the trained one

`Interrupted` is a KeyboardInterrupt: Ctrl-C or SIGTERM arrived and the state has been saved.

Each message is one line: the argument, file or element, the rule, what was received, and the way out.
"""

import difflib
from collections.abc import Iterable


class KerasTricksError(Exception):
    """The base of every error that kerastricks raises on purpose."""


class UsageError(KerasTricksError, ValueError):
    """Base of errors that the user can mend."""


class SpecError(UsageError):
    """A spec string that does not parse."""


class ConfigError(UsageError):
    """A field of the configuration has an illegal value."""


class FormerNameError(UsageError, TypeError):
    """An argument is given by a name that it no longer has."""

    def __init__(self, function: str, former: str, name: str) -> None:
        super().__init__(f"{function}({former}=...) is now {function}({name}=...)")


class DataError(UsageError):
    """The images cannot be used as they are."""


class ServiceError(UsageError):
    """The data service or model server is not there, or cannot serve these images."""


class WeightsError(UsageError):
    """Trained weights are missing, damaged, refused, or of another model."""


class RunFolderError(UsageError):
    """A run folder is missing, is not one, or has changed since."""


class ModelFileError(RunFolderError, WeightsError):
    """A model's file is missing, damaged, not of Keras, or not such a model."""


class SpaceError(UsageError):
    """A search space does not parse, or holds nothing to search."""


class SearchError(UsageError):
    """A search's folder, objective, workers or addresses are not as they must be."""


class EnsembleError(UsageError):
    """Models cannot be members of one ensemble."""


class MissingExtraError(UsageError, ImportError):
    """An optional dependency is needed and not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed: pip install 'kerastricks[{extra}]'")


class UnknownNameError(UsageError):
    """A name that is not there, with the nearest that are."""

    def __init__(self, kind: str, name: str, known: Iterable[str], list_command: str | None = None) -> None:
        known = sorted(known)
        near = nearest(name, known)
        if near:
            hint = f"did you mean {', '.join(near)}?"
        elif list_command and len(known) > 40:
            hint = f"there are {len(known)}"
        else:
            hint = f"there is {', '.join(known) or 'none'}"
        where = f" (all of them: {list_command})" if list_command else ""
        super().__init__(f"no {kind} is called {name!r}: {hint}{where}")


class RunFailedError(KerasTricksError, RuntimeError):
    """Base of errors of valid requests whose work failed."""


class TrainingDivergedError(RunFailedError, ArithmeticError):
    """The loss became NaN or infinite, or a `kerastricks.callbacks.Doctor` stopped the training."""


class CheckpointError(RunFailedError, OSError):
    """A checkpoint could not be written; the last good one is still there."""


class WriteError(RunFailedError, OSError):
    """A file could not be written: a full disk, a folder without write permission."""


class ServiceLostError(RunFailedError, ConnectionError):
    """The data service or model server failed while answers came from it."""


class ExportError(RunFailedError):
    """An export that does not agree with the model it was written from."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM arrived during training and the state was saved.

    Args:
        signal_number: which signal it was.
        resume: how the job is resumed, as words.
    """

    def __init__(self, signal_number: int, resume: str = "") -> None:
        super().__init__(f"interrupted by signal {signal_number}{'; ' if resume else ''}{resume}")
        self.signal_number = signal_number


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """The at most three names that look most like `name`."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    return [by_lower[found] for found in difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.5)]


def first_line(error: BaseException | str) -> str:
    """The first line of an error's message; its kind where it says nothing."""
    otherwise = "" if isinstance(error, str) else type(error).__name__
    return next((line.strip() for line in str(error).splitlines() if line.strip()), otherwise)
