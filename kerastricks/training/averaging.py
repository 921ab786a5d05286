"""What averages of weights a configuration asks for.

Which weights a configuration asks to keep on the way.
"""

from dataclasses import dataclass

from kerastricks.errors import ConfigError, UnknownNameError
from kerastricks.spec import Spec, parse


@dataclass(frozen=True)
class Average:
    """A parsed `average` of the configuration; imports no Keras.

    EMA's decay warms up, as the `ExponentialMovingAverage(num_updates=...)` of TensorFlow: after step t = 0, 1, ... it
    is min(decay, (1 + t) / (10 + t)), and the first average is the first step's weights. So the average holds the last
    tenth of a short training; a constant 0.999 would keep the random weights of the start for thousands of steps.

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

    @classmethod
    def of(cls, average: str, optimizer: str) -> "Average | None":
        """What `average`, or `use_ema` in the text of an optimizer, asks for: "adam(use_ema=True)".

        Raises:
            ConfigError: where both ask; else as `parse`.
        """
        arguments = parse(optimizer).kwargs
        found = cls.parse(average)
        if not arguments.get("use_ema"):
            return found
        if found is not None:
            raise ConfigError(
                f"average={average!r} and optimizer={optimizer!r} both ask for an average of weights: take one out"
            )
        return _ema(arguments.get("ema_momentum", 0.99))

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


KINDS = ("snapshots", "top", "last")


@dataclass(frozen=True)
class Keep:
    """A parsed `keep` of the configuration; imports no Keras.

    Args:
        kind: "snapshots", "top" or "last".
        count: how many.
    """

    kind: str
    count: int

    @classmethod
    def parse(cls, text: str) -> "Keep | None":
        """ "snapshots(5)", "top(3)" or "last(3)"; None for "".

        Raises:
            UnknownNameError: for another name.
            SpecError: for a text that does not parse, or another number of arguments.
            ConfigError: for a count below 1.
        """
        if not text.strip():
            return None
        parsed = parse(text)
        if parsed.name not in KINDS:
            raise UnknownNameError("way to keep weights", parsed.name, KINDS)

        def make(count: int) -> Keep:
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise ConfigError(f"keep: {parsed.name}(count) takes a whole number, 1 or more. Received: {count!r}")
            return Keep(parsed.name, count)

        return parsed.call(make)

    def __str__(self) -> str:
        return f"{self.kind}({self.count})"
