"""The configuration of a training: everything that decides its result."""

import ast
import csv
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self, TypeVar

from kerastricks import spec
from kerastricks.addresses import public_url
from kerastricks.bounds import CONFIG, Bounds, is_text, shown
from kerastricks.data.fitting import INTERPOLATIONS, Fitting
from kerastricks.data.sources.names import pattern_problem
from kerastricks.errors import ConfigError, UnknownNameError
from kerastricks.schedules.linear_scaling import RULES, batch_size_rule
from kerastricks.schedules.specs import read_schedule
from kerastricks.training.specs import ConfigSpecs

PRECISIONS = ("auto", "float32", "mixed_bfloat16")
EARLY_STOPPING = ("auto", "saturated")
LOGGED = ("loss", "accuracy", "val_loss", "val_accuracy")
MONITORS = ("val_loss", "val_accuracy", "val_balanced_accuracy", "val_macro_f1")
# Of each epoch, the last two where `monitor` or a schedule goes by them.
METRICS = ("accuracy", "loss", "val_accuracy", "val_loss", "val_balanced_accuracy", "val_macro_f1")
_MOST_PIXELS = 2**31  # of a batch: 26 GB as float32
_MANY_STEPS = 2**31 - 1  # to check a schedule with, before it is known how many there are

AnyConfig = TypeVar("AnyConfig", bound="Config")


@dataclass(frozen=True)
class Config:
    """A frozen set of fields, filled from defaults < recipe < flags < `--set`.

    Args:
        data: a path or name, see `kerastricks.data.load`.
        model: of the zoo, as a spec: "plain_cnn", "resnet_20(dropout=0.1)".
        augment: the ops of training images, "flip | pad_crop(4)"; "" is none, "auto" decides by the images.
        image_size: side in pixels; None decides by the images.
        crop_fraction: side of the centred box that is cut from whole images, as a fraction of the largest one's.
        interpolation: how whole images are resized: "bilinear" or "bicubic".
        classes: the names of the classes to use, with commas between: "cat, dog"; None for all.
        batch_size: images in a step.
        epochs: passes over the training images; None sees 540,000 images in 12 to 60 of them, or what fits `minutes`.
        minutes: of the wall, that a run may take from reading its images to its last file; image size and epochs that
            are not given are chosen by it. None for as long as it takes.
        optimizer: a spec: "sgd(momentum=0.9, nesterov=True)", "adamw(beta_2=0.99)".
        learning_rate: its highest value, for batches of `base_batch`.
        schedule: a spec: "linear(warmup=0.2)", "one_cycle", "plateau(factor=2, patience=5)", see
            `kerastricks.schedules.get`; durations are fractions of all steps, `final` is one of the highest rate.
        scale_lr: how the rate follows `batch_size`: "constant", "linear" or "sqrt", see
            `kerastricks.schedules.batch_size_rule`. Where it rises and the schedule has no warm-up of its own, it
            does so over 5 epochs, at most a fifth of all steps.
        base_batch: batch size that `learning_rate` is meant for.
        weight_decay: decoupled, multiplied by the rate; never applied to biases, normalisation, PReLU slopes.
        label_smoothing: in [0, 1).
        imbalance: what is done about imbalanced classes: a way to sample, class weights, a loss, or one of each:
            "balanced_softmax", "class_aware_batches(start=0.8)", "class_weights(effective_number) | focal"; "auto"
            decides by the numbers of images, "" is nothing. See docs/imbalance.md.
        clip_norm: largest global norm of the gradient; None for no limit.
        early_stopping_epochs: stop after so many epochs without a better `monitor`, and take the best weights;
            "saturated" lets the rate run out and ends where nothing is left to learn, see `kerastricks.training.pace`;
            None trains to the end. "auto" is "saturated" where `epochs` is not given and the schedule falls to its
            end, without `average`, `keep` and an `imbalance` that begins late.
        monitor: by what epochs are picked on validation, for early stopping, `keep="top(N)"` and `average`:
            "val_loss", "val_accuracy", "val_balanced_accuracy" or "val_macro_f1"; the loss shall fall, the others
            rise. With "val_loss" the last two go by accuracy, and by the loss of equal ones.
        validation: fraction of the training images, where the data has no validation split.
        test: the same for the test split.
        group: regular expression whose first capture group in a file's name is the image's group (a patient, a
            product), which no two splits share; None for the groups of a table, or none.
        seed: of splits, weights, order and draws.
        split_seed: of the splits only, so that trainings with different seeds share them; None for `seed`.
        bagging: train on as many images as there are, drawn with replacement by `seed` (Breiman 1996).
        average: of weights, "swa(start=0.75)" or "ema(decay=0.999)", which end up in the model unless they validate
            worse than the last weights; "" for none.
        keep: weights to keep as `members/NN.keras`: "snapshots(5)" at equal distances or where the cycles of the
            schedule end, "top(3)" of the epochs by validation, "last(3)" of them; "" for none.
        precision: "auto", "float32" or "mixed_bfloat16".
        jit: whether the step is compiled (XLA, torch.compile); "auto" decides by the device.
        max_pixels: an image of more is left out as a decompression bomb.
        max_skipped: the largest fraction of files that may be left out.

    Raises:
        ConfigError: for a value outside its range; the message names the field.
    """

    data: str | None = None
    model: str = "plain_cnn"
    augment: str = "auto"
    image_size: int | None = None
    crop_fraction: float = 1.0
    interpolation: str = "bilinear"
    classes: str | None = None
    batch_size: int = 128
    epochs: int | None = None
    minutes: float | None = None
    optimizer: str = "sgd(momentum=0.9, nesterov=True)"
    learning_rate: float = 0.2
    schedule: str = "linear(warmup=0.2)"
    scale_lr: str = "constant"
    base_batch: int = 128
    weight_decay: float = 1e-2
    label_smoothing: float = 0.1
    imbalance: str = ""
    clip_norm: float | None = 5.0
    early_stopping_epochs: int | str | None = "auto"
    monitor: str = "val_loss"
    validation: float = 0.1
    test: float = 0.1
    group: str | None = None
    seed: int = 0
    split_seed: int | None = None
    bagging: bool = False
    average: str = ""
    keep: str = ""
    precision: str = "auto"
    jit: bool | str = "auto"
    max_pixels: int = 100_000_000
    max_skipped: float = 0.05

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check_type(field, getattr(self, field.name))
        for name, bounds in CONFIG.items():
            value = getattr(self, name)
            known = value is None or (name == "early_stopping_epochs" and value in EARLY_STOPPING)
            _check(known or (not isinstance(value, str) and bounds.holds(value)), name, _rule(name, bounds), value)
        size = self.image_size or 1
        if self.batch_size * size**2 > _MOST_PIXELS:
            raise ConfigError(
                f"batch_size x image_size^2 must be at most 2^31 pixels, or a batch fills the memory. Received: "
                f"batch_size={self.batch_size}, image_size={size}"
            )
        if self.data is not None:  # no password of an address comes into a run folder
            object.__setattr__(self, "data", public_url(self.data))
        ways = f"one of {', '.join(INTERPOLATIONS)}"
        _check(self.interpolation in INTERPOLATIONS, "interpolation", ways, self.interpolation)
        names = self.class_names
        _check(names is None or len(set(names)) >= 2, "classes", "two names or more, or None", self.classes)
        problem = None if self.group is None else pattern_problem(self.group)
        _check(problem is None, "group", str(problem), self.group)
        _check(self.scale_lr in RULES, "scale_lr", f"one of {', '.join(RULES)}", self.scale_lr)
        patience = self.early_stopping_epochs
        _check(self.precision in PRECISIONS, "precision", f"one of {', '.join(PRECISIONS)}", self.precision)
        _check(self.jit in (True, False, "auto"), "jit", "True, False or auto", self.jit)
        specs = self.specs
        if self.monitor not in MONITORS:
            raise UnknownNameError("metric of validation to monitor", self.monitor[:60], MONITORS)
        plateau = read_schedule(specs.schedule, _MANY_STEPS, self.learning_rate).plateau
        if plateau is not None and plateau["monitor"] not in METRICS:
            raise UnknownNameError("metric", plateau["monitor"], METRICS)
        # Both choose the last weights.
        averages = specs.weight_average is not None
        _check(not averages or patience in (None, "auto"), "average", '"" with early_stopping_epochs', self.average)
        # They are taken at steps of the whole training, which may end before.
        late = specs.imbalance is not None and specs.imbalance.starts_late
        rule = "without what begins after a fraction of the epochs where minutes may cut them"
        _check(not (late and self.minutes is not None), "imbalance", rule, self.imbalance)
        snapshots = specs.keep is not None and specs.keep.kind == "snapshots"
        _check(not (snapshots and self.minutes is not None), "keep", "top(N), last(N) or empty with minutes", self.keep)

    @classmethod
    def from_layers(cls, *layers: Mapping[str, Any]) -> "Config":
        """The configuration of several mappings; a later one wins.

        Raises:
            UnknownNameError: for a field that does not exist.
        """
        merged: dict[str, Any] = {}
        for layer in layers:
            for name, value in layer.items():
                check_field(name)
                merged[name] = value
        return cls(**merged)

    def replace(self, **fields: Any) -> Self:
        """A copy with other values, as `dataclasses.replace`; specs that stay are not parsed again.

        Raises:
            UnknownNameError: for a field that does not exist.
            ConfigError: for a value outside its range.
        """
        return self.converted(type(self), fields)

    def converted(self, kind: "type[AnyConfig]", fields: Mapping[str, Any]) -> "AnyConfig":
        """A copy with other values, as a `Config` or a `ResolvedConfig`; see `replace`."""
        for name in fields:
            check_field(name)
        made = object.__new__(kind)
        vars(made).update({**self.as_dict(), **fields})
        vars(made)["specs"] = ConfigSpecs.parse(made, self.specs)  # where cached_property keeps it
        made.__post_init__()
        return made

    @cached_property
    def specs(self) -> ConfigSpecs:
        """The fields that are specs, parsed: once, when the configuration is made."""
        return ConfigSpecs.parse(self)

    @property
    def peak_rate(self) -> float:
        """The highest learning rate: `learning_rate`, which follows the batch size by the rule `scale_lr`."""
        return self.learning_rate * batch_size_rule(self.scale_lr, self.batch_size, self.base_batch)

    @property
    def seed_of_splits(self) -> int:
        """`split_seed`, or `seed` where that is None."""
        return self.seed if self.split_seed is None else self.split_seed

    @property
    def fitting(self) -> Fitting:
        """How whole images are brought to the model's size."""
        return Fitting(self.crop_fraction, self.interpolation)

    @property
    def class_names(self) -> list[str] | None:
        """The names in `classes`; one with a comma stands in double quotes, as in CSV."""
        if self.classes is None:
            return None
        try:
            cells = next(csv.reader([self.classes], skipinitialspace=True), [])
        except csv.Error:
            raise ConfigError(
                f"classes must be names with commas between, in one line. Received: classes={shown(self.classes)}"
            ) from None
        return [name.strip() for name in cells if name.strip()]

    def as_dict(self) -> dict[str, Any]:
        """Field by field, for JSON."""
        return dataclasses.asdict(self)


FIELDS = tuple(field.name for field in dataclasses.fields(Config))


def check_field(name: str) -> None:
    """Raises UnknownNameError unless `Config` has the field."""
    if name not in FIELDS:
        raise UnknownNameError("field of the configuration", name, FIELDS, "kerastricks train --help")


def parse_assignment(text: str) -> tuple[str, Any]:
    """ "learning_rate=0.05" to its name and value; a value that is no literal is a string.

    Raises:
        ConfigError: without "=".
        UnknownNameError: for a field that does not exist.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {shown(text)}: expected FIELD=VALUE")
    check_field(name.strip())
    return name.strip(), parse_value(value)


def parse_value(text: str) -> Any:
    """A literal where it is one ("0.1", "None", "true"), else the text itself."""
    if text.strip().lower() in spec.WORDS:
        return spec.WORDS[text.strip().lower()]
    if len(text) > 1000:  # no number, and Python's parser is not made for all there can be
        return text
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return text
    return value if isinstance(value, int | float | str) else text


def _check(holds: bool, name: str, rule: str, value: Any) -> None:
    if not holds:
        raise ConfigError(f"{name} must be {rule}. Received: {name}={shown(value)}")


def _rule(name: str, bounds: Bounds) -> str:
    if name == "early_stopping_epochs":
        return f"{bounds.rule}, {', '.join(EARLY_STOPPING)} or None"
    optional = getattr(Config, name) is None or name == "clip_norm"
    return f"{bounds.rule} or None" if optional else bounds.rule


def _check_type(field: dataclasses.Field, value: Any) -> None:
    allowed: Any = field.type
    if isinstance(value, bool) and field.name != "jit":
        holds = allowed is bool
    elif allowed in (float, float | None) and isinstance(value, int):
        holds = True
    else:
        holds = isinstance(value, allowed)
    name = getattr(allowed, "__name__", None) if isinstance(allowed, type) else None
    _check(holds, field.name, name or str(allowed).replace(" | ", " or "), value)
    if isinstance(value, str):
        _check(is_text(value), field.name, "text without NUL that is valid UTF-8", value)
