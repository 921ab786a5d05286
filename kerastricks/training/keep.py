"""Which weights a configuration asks to keep on the way."""

from dataclasses import dataclass

from kerastricks.errors import ConfigError, UnknownNameError
from kerastricks.spec import parse

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
