"""Remedies of a training, as the field `imbalance` of a configuration names them; no Keras, no NumPy.

A spec names at most one way to sample, one of class weights and one loss: "class_aware_batches(start=0.8)",
"class_weights(effective_number) | focal", "balanced_softmax".
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from kerastricks.errors import ConfigError, UnknownNameError
from kerastricks.spec import parse_sequence

RULES = ("inverse", "square_root", "effective_number")  # of class weights


@dataclass(frozen=True)
class Sampling:
    """How often images of a class are drawn in a training.

    Args:
        kind: "rates" (by `power` or `rates`), "progressive", "class_aware" or "downsample".
        power: a class is drawn in proportion to its images to this power: 1 as often as in the data, 0 as any other.
        rates: shares of the batches by class name; None for `power`.
        ratio: of "downsample": the most images of a class, in those of the smallest.
        start: fraction of the epochs that are sampled as usual before.
    """

    kind: str
    power: float = 0.0
    rates: Mapping[str, float] | None = None
    ratio: float = 1.0
    start: float = 0.0


@dataclass(frozen=True)
class ClassWeights:
    """Weights of classes in the loss.

    Args:
        rule: see `kerastricks.imbalance.class_weights`.
        beta: see there.
        start: fraction of the epochs that are trained without weights before.
    """

    rule: str | Mapping[str, float]
    beta: float = 0.9999
    start: float = 0.0


@dataclass(frozen=True)
class BalancedLoss:
    """A loss other than cross-entropy.

    Args:
        name: "focal", "logit_adjusted", "ldam" or "label_aware_smoothing".
        arguments: of the class in `kerastricks.losses`, without what the data decide.
    """

    name: str
    arguments: Mapping[str, float]


@dataclass(frozen=True)
class Remedies:
    """The remedies of a training: at most one way to sample, one of class weights and one loss.

    Args:
        sampling: None for every image once an epoch.
        weights: None for equal ones.
        loss: None for cross-entropy.
    """

    sampling: Sampling | None = None
    weights: ClassWeights | None = None
    loss: BalancedLoss | None = None

    @classmethod
    def parse(cls, text: str) -> "Remedies | None":
        """Parse a spec; None for "auto", which the data decide.

        Raises:
            SpecError: for a text that does not parse, or an argument that is not there.
            UnknownNameError: for another name.
            ConfigError: for a value outside its range, or two remedies of a kind.
        """
        if text.strip() == "auto":
            return None
        found: dict[str, Any] = {}
        names: dict[str, str] = {}
        for one in parse_sequence(text):
            if one.name not in REMEDIES:
                raise UnknownNameError("remedy for imbalanced classes", one.name, REMEDIES)
            kind, make = REMEDIES[one.name]
            if kind in found:
                raise ConfigError(
                    f"imbalance has at most one of sampling, class weights and loss each. Received: {names[kind]} and "
                    f"{one.name}"
                )
            found[kind], names[kind] = one.call(make), one.name
        return cls(**found)

    @property
    def starts_late(self) -> bool:
        """Whether something changes at a fraction of the epochs, so that their number must be known."""
        late = any(part is not None and part.start > 0 for part in (self.sampling, self.weights))
        return late or (self.sampling is not None and self.sampling.kind == "progressive")

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) is not None for field in fields(self))


def switch_epoch(start: float, epochs: int) -> int:
    """The first epoch, from 0, of what begins after a fraction of them; at least one epoch is left for it."""
    return min(math.ceil(start * epochs), epochs - 1)


def _upsample(start: float = 0.0) -> Sampling:
    return Sampling("rates", 0.0, start=_fraction("start", start))


def _square_root_sampling(start: float = 0.0) -> Sampling:
    return Sampling("rates", 0.5, start=_fraction("start", start))


def _progressive_sampling() -> Sampling:
    return Sampling("progressive", 0.0)


def _class_aware_batches(start: float = 0.0) -> Sampling:
    return Sampling("class_aware", start=_fraction("start", start))


def _downsample(ratio: float = 1.0) -> Sampling:
    _check(_is_number(ratio) and 1 <= ratio < math.inf, "ratio of downsample must be 1 or more", "ratio", ratio)
    return Sampling("downsample", ratio=ratio)


def _class_rates(rates: Mapping[str, float], start: float = 0.0) -> Sampling:
    """Rates by the names of classes; that they name all of them is checked with the data."""
    numbers = isinstance(rates, Mapping) and rates and all(_is_number(rate) and rate >= 0 for rate in rates.values())
    _check(bool(numbers), 'class_rates must be shares by class, {"cat": 0.5, "dog": 0.5}', "rates", rates)
    total = sum(rates.values())
    _check(abs(total - 1) < 1e-6, "shares of class_rates must have a sum of 1", "sum", f"{total:g}")
    return Sampling("rates", rates={str(name): rate for name, rate in rates.items()}, start=_fraction("start", start))


def _class_weights(rule: str | Mapping[str, float] = "inverse", beta: float = 0.9999, start: float = 0.0) -> Any:
    if isinstance(rule, str):
        if rule not in RULES:
            raise UnknownNameError("rule of class weights", rule, RULES)
    else:
        _check(isinstance(rule, Mapping) and bool(rule), 'class_weights takes a rule or {"cat": 2.0}', "rule", rule)
    _check(_is_number(beta) and 0 <= beta < 1, "beta of class_weights must be in [0, 1)", "beta", beta)
    return ClassWeights(rule, beta, _fraction("start", start))


def _focal(gamma: float = 2.0) -> BalancedLoss:
    _check(_is_number(gamma) and 0 <= gamma < math.inf, "gamma of focal must be 0 or more", "gamma", gamma)
    return BalancedLoss("focal", {"gamma": gamma})


def _balanced_softmax() -> BalancedLoss:
    return BalancedLoss("logit_adjusted", {"tau": 1.0})


def _logit_adjusted(tau: float = 1.0) -> BalancedLoss:
    _check(_is_number(tau) and 0 < tau < math.inf, "tau of logit_adjusted must be above 0", "tau", tau)
    return BalancedLoss("logit_adjusted", {"tau": tau})


def _ldam(max_margin: float = 0.5, scale: float = 30.0) -> BalancedLoss:
    _check(_is_number(max_margin) and 0 < max_margin < 2, "max_margin must be in (0, 2)", "max_margin", max_margin)
    _check(_is_number(scale) and 0 < scale < math.inf, "scale of ldam must be above 0", "scale", scale)
    return BalancedLoss("ldam", {"max_margin": max_margin, "scale": scale})


def _label_aware_smoothing(head: float = 0.3, tail: float = 0.0) -> BalancedLoss:
    rule = "label_aware_smoothing must have 0 <= tail <= head < 1"
    _check(_is_number(head) and _is_number(tail) and 0 <= tail <= head < 1, rule, "head, tail", (head, tail))
    return BalancedLoss("label_aware_smoothing", {"head": head, "tail": tail})


# What a spec can name: which part it sets, and what makes it.
REMEDIES: dict[str, tuple[str, Callable[..., Any]]] = {
    "balanced_softmax": ("loss", _balanced_softmax),
    "class_aware_batches": ("sampling", _class_aware_batches),
    "class_rates": ("sampling", _class_rates),
    "class_weights": ("weights", _class_weights),
    "downsample": ("sampling", _downsample),
    "focal": ("loss", _focal),
    "label_aware_smoothing": ("loss", _label_aware_smoothing),
    "ldam": ("loss", _ldam),
    "logit_adjusted": ("loss", _logit_adjusted),
    "progressive_sampling": ("sampling", _progressive_sampling),
    "square_root_sampling": ("sampling", _square_root_sampling),
    "upsample": ("sampling", _upsample),
}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _fraction(name: str, value: Any) -> float:
    _check(_is_number(value) and 0 <= value < 1, f"{name} must be in [0, 1)", name, value)
    return float(value)


def _check(holds: bool, rule: str, name: str, value: Any) -> None:
    if not holds:
        raise ConfigError(f"{rule}. Received: {name}={value!r}")
