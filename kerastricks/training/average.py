"""What averages of weights a configuration asks for."""

from dataclasses import dataclass

from kerastricks.errors import ConfigError, UnknownNameError
from kerastricks.spec import Spec, parse


@dataclass(frozen=True)
class Average:
    """A parsed `average` of the configuration; imports no Keras.

    Args:
        kind: "swa" or "ema".
        value: the `start` of SWA, a fraction of the epochs, or the `decay` of EMA.
    """

    kind: str
    value: float

    @classmethod
    def parse(cls, text: str) -> "Average | None":
        """ "swa(start=0.75)" or "ema(decay=0.999)"; None for "".

        Raises:
            UnknownNameError: for another name.
            SpecError: for a text that does not parse, or an argument that is not there.
            ConfigError: for a value outside its range.
        """
        if not text.strip():
            return None
        parsed: Spec = parse(text)
        if parsed.name not in _KINDS:
            raise UnknownNameError("average", parsed.name, _KINDS)
        return parsed.call(_KINDS[parsed.name])

    def __str__(self) -> str:
        return f"{self.kind}({'start' if self.kind == 'swa' else 'decay'}={self.value:g})"


def _swa(start: float = 0.75) -> Average:
    return Average("swa", _fraction("start", start))


def _ema(decay: float = 0.999) -> Average:
    return Average("ema", _fraction("decay", decay))


_KINDS = {"swa": _swa, "ema": _ema}


def _fraction(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ConfigError(f"average: {name} must be in [0, 1). Received: {name}={value!r}")
    return float(value)
