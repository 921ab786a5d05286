"""The kinds of comparison: the option of the zoo that differs, its values, the configuration.

Plain data, so that a wrong word on the command line is refused before Keras is imported.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kerastricks import spec
from kerastricks.errors import ConfigError, UnknownNameError
from kerastricks.training.config import Config


@dataclass(frozen=True)
class Kind:
    """One kind of comparison.

    Args:
        option: the argument of `kerastricks.models.create` that differs.
        arms: its values; the first is the baseline.
        settings: fields of the configuration, where they are not `SETTINGS`.
    """

    option: str
    arms: tuple[str, ...]
    settings: Mapping[str, Any]


# One rate at which every activation, bounded or not, trains without normalisation; no label smoothing, because
# the log-loss is compared.
SETTINGS: dict[str, Any] = {
    "optimizer": "sgd(momentum=0.9)",
    "learning_rate": 0.05,
    "schedule": "cosine(warmup=0.05)",
    "weight_decay": 1e-4,
    "batch_size": 64,
    "label_smoothing": 0.0,
    "clip_norm": 1.0,
}

KINDS: dict[str, Kind] = {
    # Xu et al. 2015: a = 100 and a = 5.5 for the two leaky ones.
    "activations": Kind("activation", ("relu", "leaky_relu(0.01)", "leaky_relu(0.1818)", "prelu", "rrelu"), {}),
    "initializers": Kind("initializer", ("he_normal", "zeros", "small_normal", "fan_in", "xavier_normal", "lsuv"), {}),
    # Weight decay would be a regularizer in every arm.
    "regularizers": Kind(
        "regularizer",
        ("none", "l2(0.0005)", "l1(1e-05)", "elastic_net(1e-05, 0.0005)", "max_norm(3.0)"),
        {"weight_decay": 0.0},
    ),
}


def find_kind(name: str) -> Kind:
    """Finds a kind by its name.

    Raises:
        UnknownNameError: where there is none.
    """
    if name not in KINDS:
        raise UnknownNameError("comparison", name, KINDS, "kerastricks compare --help")
    return KINDS[name]


def default_config(kind: str) -> Config:
    """The configuration that `compare` uses where none is given.

    Args:
        kind: "activations", "initializers" or "regularizers".

    Returns:
        A `Config`; its number of epochs is left to the size of the data.

    Raises:
        UnknownNameError: for another kind.

    Example:
        >>> from kerastricks.comparison import default_config
        >>> default_config("regularizers").weight_decay
        0.0
    """
    return Config(**{**SETTINGS, **find_kind(kind).settings})


def read_arms(kind: str, arms: str | Sequence[str] | None) -> tuple[str, ...]:
    """Parses the arms of a comparison, each to its canonical spelling.

    Args:
        kind: of the comparison.
        arms: "relu | rrelu", or a sequence in which an arm may itself be several specs, "l2(0.001) | max_norm(3)".

    Raises:
        ConfigError: for fewer than two, or two that are equal.
        SpecError: for one that does not parse.
    """
    if arms is None:
        return find_kind(kind).arms
    if isinstance(arms, str):
        found = [str(arm) for arm in spec.parse_sequence(arms)]
    else:
        found = [" | ".join(str(part) for part in spec.parse_sequence(arm)) for arm in arms]
    if len(found) < 2 or "" in found:
        raise ConfigError(f'arms must be two or more, "relu | rrelu"; the first is the baseline. Received: {arms!r}')
    twice = [arm for arm in found if found.count(arm) > 1]
    if twice:
        raise ConfigError(f"arms must differ. Received {twice[0]} {found.count(twice[0])} times")
    return tuple(found)


def read_seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    """Parses the seeds of a comparison: 5 is 0 to 4.

    Raises:
        ConfigError: for none, a negative one, or two that are equal.
    """
    found = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    legal = all(isinstance(seed, int) and 0 <= seed < 2**31 for seed in found)
    if not found or not legal or len(set(found)) < len(found):
        raise ConfigError(f"seeds must be a number from 1, or different integers in [0, 2^31). Received: {seeds!r}")
    return found


def check_model(model: str, kind: str) -> None:
    """Refuses a model whose own spec sets the compared option: every arm would be the same.

    Raises:
        ConfigError: for such a model.
        SpecError: for one that does not parse.
    """
    parsed, option = spec.parse(model), find_kind(kind).option
    if option in parsed.kwargs:
        raise ConfigError(f"model must leave {option} open, which is compared. Received: {model!r}")
