"""Errors of the server, by gRPC's canonical codes, and what they are over HTTP."""

import re

from kerastricks.errors import KerasTricksError

HTTP_STATUS = {
    "OK": 200,
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 412,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}
# TensorFlow's numbers of these codes, which are gRPC's.
_OF_NUMBER = [
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"),
    *("INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
]


class ServingError(KerasTricksError):
    """A request that cannot be answered.

    Args:
        code: gRPC's name of the status, such as "NOT_FOUND".
        message: what is wrong, in one line.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def from_tensorflow(error: Exception) -> ServingError:
    """An error of a TensorFlow session as a client is told it: without names of nodes and stack traces."""
    # TensorFlow's own words stand on the line before the nodes.
    lines = [line.strip() for line in str(error).split("[[")[0].splitlines() if line.strip()]
    message = re.sub(r"^.*\}\}|^assertion failed: \[|\]$", "", lines[-1] if lines else "").strip()
    number = getattr(error, "error_code", 13)
    code = _OF_NUMBER[number] if 0 < number < len(_OF_NUMBER) else "INTERNAL"
    return ServingError(code, message[:500] or "the model failed")
