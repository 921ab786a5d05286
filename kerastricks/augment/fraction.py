"""Probabilities and strengths: arguments in [0, 1]."""

from kerastricks.errors import SpecError


def check_fraction(op: str, **given: float) -> None:
    """Raises SpecError for the first argument that is not in [0, 1]."""
    for name, value in given.items():
        if not 0 <= value <= 1:
            raise SpecError(f"{op}: {name} must be in [0, 1]. Received: {name}={value}")
