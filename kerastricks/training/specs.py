"""The specs among the fields of a configuration, parsed once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from kerastricks import spec
from kerastricks.augment import sequence
from kerastricks.errors import UnknownNameError
from kerastricks.imbalance.remedies import Remedies
from kerastricks.spec import Spec
from kerastricks.training.averaging import Average, Keep

OPTIMIZERS = ("adam", "adamw", "lion", "rmsprop", "sgd")


class _Texts(Protocol):
    """The fields of a `Config` that are specs."""

    @property
    def model(self) -> str: ...
    @property
    def optimizer(self) -> str: ...
    @property
    def schedule(self) -> str: ...
    @property
    def augment(self) -> str: ...
    @property
    def average(self) -> str: ...
    @property
    def keep(self) -> str: ...
    @property
    def imbalance(self) -> str: ...


@dataclass(frozen=True)
class ConfigSpecs:
    """The parsed specs of a configuration.

    Args:
        model: name and options of the model.
        optimizer: name and arguments of the optimizer.
        schedule: name and arguments of the schedule.
        augment: one spec per op; None where the images decide ("auto").
        average: that the field `average` asks for; None for none.
        keep: weights to keep; None for none.
        imbalance: remedies for imbalanced classes; None where the data decide ("auto").
        texts: what was parsed, by field.
    """

    model: Spec
    optimizer: Spec
    schedule: Spec
    augment: tuple[Spec, ...] | None
    average: Average | None
    keep: Keep | None
    imbalance: Remedies | None
    texts: dict[str, str] = field(repr=False)

    @classmethod
    def parse(cls, fields: _Texts, known: "ConfigSpecs | None" = None) -> "ConfigSpecs":
        """Parses the specs of a configuration; what `known` holds of the same text is taken from there.

        Raises:
            SpecError: for a text that does not parse.
            UnknownNameError: for an op, optimizer, average, remedy or way to keep weights that does not exist.
            ConfigError: for a value outside its range.
        """

        def parsed(name: str, parse: Callable[[str], Any]) -> Any:
            text = texts[name] = getattr(fields, name)
            return getattr(known, name) if known is not None and known.texts[name] == text else parse(text)

        texts: dict[str, str] = {}
        return cls(
            model=parsed("model", spec.parse),
            optimizer=parsed("optimizer", _parse_optimizer),
            schedule=parsed("schedule", spec.parse),
            augment=parsed("augment", _parse_augment),
            average=parsed("average", Average.parse),
            keep=parsed("keep", Keep.parse),
            imbalance=parsed("imbalance", Remedies.parse),
            texts=texts,
        )

    @property
    def weight_average(self) -> Average | None:
        """The average that `average`, or `use_ema` of the optimizer, asks for.

        Raises:
            ConfigError: where both ask.
        """
        return Average.of(self.average, self.optimizer)


def _parse_optimizer(text: str) -> Spec:
    parsed = spec.parse(text)
    if parsed.name not in OPTIMIZERS:
        raise UnknownNameError("optimizer", parsed.name, OPTIMIZERS)
    return parsed


def _parse_augment(text: str) -> tuple[Spec, ...] | None:
    return None if text == "auto" else tuple(sequence.parse(text))
