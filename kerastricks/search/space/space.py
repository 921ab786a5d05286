"""A search space: an ordered list of hyperparameters with conditions."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kerastricks import spec
from kerastricks.errors import SpaceError, nearest
from kerastricks.search.space.options import field_value, option_value
from kerastricks.search.space.parameter import Parameter, Value
from kerastricks.training.config import FIELDS, Config

MODEL = "model."
STRENGTH = "augment.strength"
# They decide which images are seen, or how long: trials that differ in them cannot be compared.
# `keep` writes files, trials with several `monitor` do not log the same, and `average` has no score before the end.
NOT_SEARCHED = frozenset(
    {"data", "classes", "validation", "test", "seed", "split_seed", "bagging", "epochs", "max_pixels", "max_skipped"}
    | {"average", "keep", "group", "monitor"}
)
SEARCHED = tuple(name for name in FIELDS if name not in NOT_SEARCHED)


@dataclass(frozen=True)
class Space:
    """An ordered list of hyperparameters that a search sets together.

    A parameter follows those its `when` names, wherever it was written. In a `when`, the name of a spec means all
    values of that name: {"optimizer": ("sgd",)} holds for "sgd(momentum=0.9)".

    Args:
        parameters: with different names.

    Raises:
        SpaceError: for a name that cannot be searched, two of one name, or a condition that can never hold.

    Example:
        >>> import kerastricks
        >>> from kerastricks.search import Parameter, Space
        >>> space = Space([Parameter("learning_rate", "float", min=0.01, max=1, sampling="log")])
        >>> space.apply({"learning_rate": 0.05}, kerastricks.training.Config()).learning_rate
        0.05
    """

    parameters: Sequence[Parameter]

    def __post_init__(self) -> None:
        by_name: dict[str, Parameter] = {}
        for parameter in self.parameters:
            check_name(parameter.name)
            if parameter.name in by_name:
                raise SpaceError(f"{parameter.name}: is there twice: give it once, with a condition where it needs one")
            by_name[parameter.name] = parameter
        if "augment" in by_name and STRENGTH in by_name:
            raise SpaceError(f"{STRENGTH}: sets augment, and so does augment: take one of the two")
        resolved = {name: _resolve(parameter, by_name) for name, parameter in by_name.items()}
        object.__setattr__(self, "parameters", tuple(_parents_first(resolved)))

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self.parameters)

    def __len__(self) -> int:
        return len(self.parameters)

    def __contains__(self, name: object) -> bool:
        return any(parameter.name == name for parameter in self)

    def __getitem__(self, name: str) -> Parameter:
        for parameter in self:
            if parameter.name == name:
                return parameter
        raise SpaceError(_no_such(name, [parameter.name for parameter in self]))

    @property
    def searched(self) -> tuple[Parameter, ...]:
        """The parameters with more than one value."""
        return tuple(parameter for parameter in self if parameter.kind != "fixed" and len(parameter.values) != 1)

    def start(self) -> dict[str, Value]:
        """The active values that a search starts from."""
        return self.active({parameter.name: parameter.start for parameter in self})

    def active(self, values: Mapping[str, Any]) -> dict[str, Value]:
        """The values whose conditions hold, in order; keras-tuner's own ("tuner/epochs") are left out.

        Args:
            values: by name; those of inactive parameters may be there or not, and fixed ones are known.

        Raises:
            SpaceError: for a name or value that is not in the space, or an active one that is missing.
        """
        names = [parameter.name for parameter in self]
        for name in values:
            if name not in names and not name.startswith("tuner/"):
                raise SpaceError(_no_such(name, names))
        found: dict[str, Value] = {}
        for parameter in self:
            if not all(found.get(parent) in allowed for parent, allowed in parameter.when.items()):
                continue
            if parameter.name in values:
                found[parameter.name] = parameter.own(values[parameter.name])
            elif parameter.kind == "fixed":
                found[parameter.name] = parameter.values[0]
            else:
                raise SpaceError(f"{parameter.name}: has no value, and is active")
        return found

    def apply(self, values: Mapping[str, Any], base: Config) -> Config:
        """The configuration with the active values.

        Options of the model are written into its spec: "model.dropout" makes "resnet_20(dropout=0.1)" of "resnet_20".

        Raises:
            SpaceError: as `active`.
            UsageError: for values that `Config` refuses.
        """
        fields: dict[str, Any] = {}
        options: dict[str, Any] = {}
        for name, value in self.active(values).items():
            if name.startswith(MODEL):
                options[name.removeprefix(MODEL)] = option_value(value)
            elif name == STRENGTH:
                fields["augment"] = self[name].stands_for[int(value)]
            else:
                fields[name] = field_value(name, value)
        if options:
            parsed = spec.parse(fields.get("model", base.model))
            fields["model"] = str(spec.Spec(parsed.name, parsed.args, {**parsed.kwargs, **options}))
        return dataclasses.replace(base, **fields)

    def to_hyperparameters(self) -> Any:
        """Converts to `keras_tuner.HyperParameters`, conditions included."""
        import keras_tuner

        # Several conditions at once, and those on conditional parents, cannot be expressed by its `conditional_scope`.
        space = [_hyperparameter(parameter) for parameter in self]
        return keras_tuner.HyperParameters.from_config({"space": space, "values": self.start()})

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON and a fingerprint; equal for equal spaces."""
        return {"parameters": [parameter.to_dict() for parameter in self]}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Space":
        """The inverse of `to_dict`."""
        return cls([Parameter.from_dict(parameter) for parameter in record["parameters"]])

    def differences(self, then: "Space") -> list[str]:
        """Lists the changes since an earlier space: "learning_rate: 0.001-0.1 log then, 0.001-1 log now"."""
        lines = []
        olds, news = ({parameter.name: parameter for parameter in space} for space in (then, self))
        for name in dict.fromkeys([*news, *olds]):
            old, new = olds.get(name), news.get(name)
            if old == new:
                continue
            texts = [str(parameter) if parameter is not None else "not searched" for parameter in (old, new)]
            if old is not None and new is not None and texts[0] == texts[1]:
                changed = [key for key, value in new.to_dict().items() if old.to_dict()[key] != value]
                texts = [", ".join(f"{key} {getattr(p, key)}" for key in changed) for p in (old, new)]
            lines.append(f"{name}: {texts[0]} then, {texts[1]} now")
        if not lines and list(olds) != list(news):
            lines.append(f"order: {', '.join(olds)} then, {', '.join(news)} now")
        return lines


def check_name(name: str) -> None:
    """Raises SpaceError, with the nearest names, for a name that no search can set."""
    if name in SEARCHED or name == STRENGTH or (name.startswith(MODEL) and name != MODEL):
        return
    if name in NOT_SEARCHED:
        raise SpaceError(f"{name}: cannot be searched: trials with another {name} cannot be compared")
    raise SpaceError(_no_such(name, [*SEARCHED, STRENGTH, "model.dropout", "model.activation", "model.initializer"]))


def _hyperparameter(parameter: Parameter) -> dict[str, Any]:
    """Converts a parameter to keras-tuner's configuration."""
    parents = [
        {"class_name": "Parent", "config": {"name": name, "values": list(allowed)}}
        for name, allowed in parameter.when.items()
    ]
    config: dict[str, Any] = {"name": parameter.name, "conditions": parents}
    if parameter.kind == "fixed":
        return {"class_name": "Fixed", "config": {**config, "value": parameter.values[0]}}
    config["default"] = parameter.start
    if parameter.kind == "choice":
        return {"class_name": "Choice", "config": {**config, "values": list(parameter.values)}}
    limits = {"min_value": parameter.min, "max_value": parameter.max, "step": parameter.step}
    return {"class_name": parameter.kind.capitalize(), "config": {**config, **limits, "sampling": parameter.sampling}}


def _no_such(name: str, known: Sequence[str]) -> str:
    near = nearest(name, known)
    hint = f"did you mean {', '.join(near)}?" if near else f"there is {', '.join(known)}, and model.OPTION"
    return f"no parameter is called {name!r}: {hint}"


def _resolve(parameter: Parameter, by_name: Mapping[str, Parameter]) -> Parameter:
    """Replaces the values of its conditions by those their parameters have."""
    when: dict[str, tuple[Value, ...]] = {}
    for name, allowed in parameter.when.items():
        if name == parameter.name or name not in by_name:
            others = [other for other in by_name if other != parameter.name]
            raise SpaceError(f"{parameter.name}: when: {_no_such(name, others)}")
        parent = by_name[name]
        if parent.kind == "float":
            raise SpaceError(f"{parameter.name}: when: {name} is a range of numbers, and a condition needs values")
        when[name] = tuple(own for value in allowed for own in _meant(parameter.name, parent, value))
    return dataclasses.replace(parameter, when=when)


def _meant(name: str, parent: Parameter, value: Value) -> list[Value]:
    if parent.takes(value):
        return [parent.own(value)]
    texts = [own for own in parent.values if isinstance(own, str)]
    found: list[Value] = [own for own in texts if own.partition("(")[0].strip() == value]
    if not found:
        near = nearest(str(value), texts)
        hint = f"did you mean {', '.join(near)}?" if near else f"it takes {parent}"
        raise SpaceError(f"{name}: when: {parent.name} never takes {value!r}: {hint}")
    return found


def _parents_first(by_name: Mapping[str, Parameter]) -> list[Parameter]:
    ordered: dict[str, Parameter] = {}

    def add(name: str, children: tuple[str, ...]) -> None:
        if name in children:
            circle = " -> ".join([*children[children.index(name) :], name])
            raise SpaceError(f"{name}: when: the conditions form a circle: {circle}")
        if name not in ordered:
            for parent in by_name[name].when:
                add(parent, (*children, name))
            ordered[name] = by_name[name]

    for name in by_name:
        add(name, ())
    return list(ordered.values())
