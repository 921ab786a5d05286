"""Averages of weights, and checkpoints to keep as ensemble members, as a configuration requests them; no Keras."""

from dataclasses import dataclass

from kerastricks.errors import ConfigError, UnknownNameError
from kerastricks.spec import Spec, parse

AVERAGES = ("swa", "ema")
KEPT = ("snapshots", "top", "last")


@dataclass(frozen=True)
class Average:
    """An average of weights.

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
        parsed = parse(text)
        if parsed.name not in AVERAGES:
            raise UnknownNameError("average", parsed.name, AVERAGES)
        return parsed.call(_swa if parsed.name == "swa" else _ema)

    @classmethod
    def of(cls, average: "Average | None", optimizer: Spec) -> "Average | None":
        """The average that `average`, or `use_ema` of an optimizer, asks for: "adam(use_ema=True)".

        Raises:
            ConfigError: where both ask, or for a decay outside [0, 1).
        """
        if not optimizer.kwargs.get("use_ema"):
            return average
        if average is not None:
            raise ConfigError(
                f"average={str(average)!r} and optimizer={str(optimizer)!r} both ask for an average of weights: take "
                "one out"
            )
        return _ema(optimizer.kwargs.get("ema_momentum", 0.99))

    def __str__(self) -> str:
        return f"{self.kind}({'start' if self.kind == 'swa' else 'decay'}={self.value:g})"


def _swa(start: float = 0.75) -> Average:
    return Average("swa", _fraction("start", start))


def _ema(decay: float = 0.999) -> Average:
    return Average("ema", _fraction("decay", decay))


def _fraction(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ConfigError(f"average: {name} must be in [0, 1). Received: {name}={value!r}")
    return float(value)


@dataclass(frozen=True)
class Keep:
    """The steps or epochs whose weights are kept.

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
        if parsed.name not in KEPT:
            raise UnknownNameError("way to keep weights", parsed.name, KEPT)

        def make(count: int) -> Keep:
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise ConfigError(f"keep: {parsed.name}(count) takes a whole number, 1 or more. Received: {count!r}")
            return Keep(parsed.name, count)

        return parsed.call(make)

    def __str__(self) -> str:
        return f"{self.kind}({self.count})"
