"""Parser of augmentation specs: "flip | pad_crop(4) | fancy_pca(0.1)" becomes ops that fit the images."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from kerastricks import spec
from kerastricks.augment.op import ImageSpec, MixOp, Op
from kerastricks.augment.ops import OPS
from kerastricks.errors import SpecError, UnknownNameError


def parse(text: str) -> list[spec.Spec]:
    """Parses a spec into calls of known ops.

    Raises:
        UnknownNameError: for an unknown op; the message names its position and the spec.
    """
    parsed = list(_parsed(text))
    for place, one in enumerate(parsed, start=1):
        with _naming(one, place, text):
            OPS.check(one.name)
    return parsed


@lru_cache(maxsize=256)  # a configuration, its images and the layer on the device read one text
def _parsed(text: str) -> tuple[spec.Spec, ...]:
    return tuple(spec.parse_sequence(text))


def read(text: str, image_spec: ImageSpec | None) -> list[Op]:
    """Reads the ops of a spec, bound to the images.

    Args:
        text: the spec.
        image_spec: of the images; None binds nothing, and so checks only names, arguments and order.

    Raises:
        UnknownNameError: for an unknown op.
        SpecError: for arguments an op refuses, images it is not made for, or an order that cannot be meant; the
            message names the op, its place and the spec.
    """
    ops: list[Op] = []
    ended: str | None = None  # the op after which values are no longer 0-255
    mixed: str | None = None
    for place, parsed in enumerate(parse(text), start=1):
        with _naming(parsed, place, text):
            op = parsed.call(OPS[parsed.name])
            op = op if image_spec is None else op.bind(image_spec)
            if ended is not None and op.wants_raw:
                raise SpecError(f"comes after {ended}, but expects values 0 to 255: put it before")
            if mixed is not None and not isinstance(op, MixOp):
                raise SpecError(f"comes after {mixed}, which mixes images: put it before")
        if op.ends_raw:
            ended = parsed.name
        if isinstance(op, MixOp):
            mixed = parsed.name
        ops.append(op)
    return ops


@contextmanager
def _naming(parsed: spec.Spec, place: int, text: str) -> Iterator[None]:
    """Adds to an op's own message which op of which spec it is."""
    try:
        yield
    except UnknownNameError as error:
        error.args = (f"{error} (op {place} of {text!r})",)
        raise
    except (SpecError, TypeError, ValueError) as error:
        message = str(error)
        if not message.startswith(parsed.name):
            message = f"{parsed.name}: {message}"
        raise SpecError(f"{message} (op {place} of {text!r})") from None
