"""A fully resolved configuration: a `Config` after data, device and defaults have decided."""

from dataclasses import dataclass, field

from kerastricks.data.image_data import ImageData
from kerastricks.errors import ConfigError
from kerastricks.imbalance.advice import Advice, advise
from kerastricks.training import device
from kerastricks.training.config import Config

IMAGES_SEEN = 540_000  # by default: twelve epochs of CIFAR-10
_FEWEST_EPOCHS, _MOST_EPOCHS = 12, 60
_FALLING = ("cosine", "linear", "one_cycle", "polynomial")
_DECIDED = ("augment", "precision", "jit", "early_stopping_epochs", "imbalance")


@dataclass(frozen=True)
class ResolvedConfig(Config):
    """A `Config` without open values, made by `resolve` and read by a training.

    The fields are those of `Config`; none is "auto", and `epochs` is a number. Where a field may still be None, that is
    its value: no limit (`minutes`, `clip_norm`, `early_stopping_epochs`), all `classes`, the splits of `seed`
    (`split_seed`), images that are not square (`image_size`) or come from no path (`data`).

    Raises:
        ConfigError: for a value outside its range, or one that is still to be decided.
    """

    epochs: int = field(kw_only=True)
    precision: str = field(kw_only=True)
    jit: bool = field(kw_only=True)
    early_stopping_epochs: int | str | None = field(kw_only=True)

    def __post_init__(self) -> None:
        for name in _DECIDED:
            if getattr(self, name) == "auto":
                raise ConfigError(f'{name} must be decided here, see `resolve`. Received: {name}="auto"')
        super().__post_init__()

    @property
    def stops_when_saturated(self) -> bool:
        """Whether the training ends at saturation."""
        return self.early_stopping_epochs == "saturated"

    @property
    def patience(self) -> int | None:
        """Epochs without a better `monitor` after which training stops; None for no such limit."""
        return self.early_stopping_epochs if isinstance(self.early_stopping_epochs, int) else None


def resolve(config: Config, data: ImageData) -> ResolvedConfig:
    """Resolves every "auto", and each None that depends on data or device."""
    height, width, _ = data.image_shape
    if config.imbalance == "auto":
        config = config.replace(imbalance=advice(config, data).imbalance)
    decided = {
        "augment": data.augmentation.text,
        "image_size": height if height == width else None,
        "batch_size": data.batch_size,
        "epochs": config.epochs or _default_epochs(len(data.labels("train"))),
        "precision": device.choose_precision() if config.precision == "auto" else config.precision,
        "jit": device.choose_jit() if config.jit == "auto" else config.jit,
        "early_stopping_epochs": _early_stopping(config),
    }
    return config.converted(ResolvedConfig, decided)


def advice(config: Config, data: ImageData) -> Advice:
    """The remedy that imbalance="auto" means for these images, and why."""
    return advise(data.class_counts()["train"], config.monitor)


def _default_epochs(images: int) -> int:
    return min(max(round(IMAGES_SEEN / images), _FEWEST_EPOCHS), _MOST_EPOCHS)


def _early_stopping(config: Config) -> int | str | None:
    """Resolves "auto": saturation if no length was given and the model depends on the schedule's end."""
    if config.early_stopping_epochs != "auto":
        return config.early_stopping_epochs
    falls = config.specs.schedule.name in _FALLING
    remedies = config.specs.imbalance
    late = remedies is not None and remedies.starts_late
    return "saturated" if config.epochs is None and falls and not (config.average or config.keep or late) else None
