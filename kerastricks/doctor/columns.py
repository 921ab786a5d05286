"""Names of columns, as Keras, Lightning, Hugging Face, fastai, Ultralytics, timm and others write them."""

import re
from collections.abc import Iterable, Mapping

from kerastricks.errors import UsageError

# Of each quantity, names in lower case with every separator a "_"; earlier ones win where a log has several.
ALIASES: dict[str, tuple[str, ...]] = {
    "epoch": ("epoch", "epochs", "train_epoch", "current_epoch"),
    "step": ("step", "global_step", "iteration", "iter", "batch", "trainer_global_step", "steps", "it"),
    "step_loss": ("train_loss_step", "loss_step", "step_loss", "batch_loss", "train_batch_loss"),
    "loss": (
        "loss", "train_loss", "training_loss", "train_loss_epoch", "loss_epoch", "epoch_loss", "trn_loss", "tr_loss",
        "train_cls_loss", "loss_train", "train_epoch_loss", "train_ce_loss", "train_crossentropy", "train_log_loss",
    ),
    "val_loss": (
        "val_loss", "valid_loss", "validation_loss", "eval_loss", "dev_loss", "val_loss_epoch", "validation_epoch_loss",
        "loss_val", "loss_valid", "vl_loss", "val_cls_loss", "test_loss", "validation_log_loss", "val_crossentropy",
    ),
    "accuracy": (
        "accuracy", "acc", "train_accuracy", "train_acc", "training_accuracy", "sparse_categorical_accuracy",
        "categorical_accuracy", "binary_accuracy", "train_acc_epoch", "train_accuracy_epoch", "train_top1",
        "train_acc1", "epoch_accuracy", "train_epoch_accuracy", "accuracy_train", "train_multiclassaccuracy",
    ),
    "val_accuracy": (
        "val_accuracy", "val_acc", "valid_accuracy", "valid_acc", "validation_accuracy", "validation_acc",
        "eval_accuracy", "eval_acc", "eval_top1", "val_top1", "val_acc1", "test_acc1",
        "val_sparse_categorical_accuracy", "val_categorical_accuracy", "val_binary_accuracy",
        "metrics_accuracy_top1", "dev_accuracy", "test_accuracy",
        "test_acc", "val_acc_epoch", "val_accuracy_epoch", "validation_epoch_accuracy", "accuracy_val",
        "val_multiclassaccuracy",
    ),
    "learning_rate": (
        "learning_rate", "lr", "train_learning_rate", "train_lr", "lr_pg0", "epoch_learning_rate", "lr_0", "epoch_lr",
        "optimizer_lr",
    ),
}  # fmt: skip
_PLACES = {alias: (quantity, place) for quantity, names in ALIASES.items() for place, alias in enumerate(names)}


def plain(name: str) -> str:
    """The name in lower case, with every separator a "_": "train/loss " is "train_loss"."""
    return re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")


def find_columns(found: Iterable[str], given: Mapping[str, str] | None, where: str) -> dict[str, str]:
    """Which column is which quantity: a mapping from quantities to names in `found`.

    Args:
        found: names of a log's columns.
        given: quantities to names, which go before the aliases.
        where: name of the log, for errors.

    Raises:
        UsageError: for a quantity that is not known, a column that is not there, or no loss at all.
    """
    names = list(dict.fromkeys(found))
    chosen: dict[str, str] = {}
    for quantity, name in (given or {}).items():
        if quantity not in ALIASES:
            raise UsageError(f"columns: {quantity!r} is not one of {', '.join(ALIASES)}")
        if name not in names:
            raise UsageError(f"{where}: no column {name!r}. Found: {', '.join(names) or 'none'}")
        chosen[quantity] = name
    best: dict[str, int] = {}
    for name in names:
        quantity, place = _PLACES.get(plain(name)) or _learning_rate_of(name) or ("", 0)
        if not quantity or quantity in (given or {}) or (name in chosen.values() and quantity not in chosen):
            continue
        if place < best.get(quantity, len(_PLACES)):
            best[quantity], chosen[quantity] = place, name
    written = {plain(name) for name in names}
    if {"valid_loss", "accuracy", "time"} <= written and not {"accuracy", "val_accuracy"} & set(given or {}):
        chosen["val_accuracy"] = chosen.pop("accuracy")  # fastai's metrics are all of the validation images
    if not {"loss", "val_loss", "step_loss"} & set(chosen):
        raise UsageError(
            f"{where}: no column is a loss by its name. Found: {', '.join(names) or 'none'}. Say which: "
            '--columns loss="NAME",val_loss="NAME" (in Python: columns={"loss": "NAME"})'
        )
    return chosen


def _learning_rate_of(name: str) -> tuple[str, int] | None:
    """Lightning's monitor writes "lr-SGD" and "lr-Adam/pg1"."""
    return ("learning_rate", len(ALIASES["learning_rate"])) if re.fullmatch(r"lr[-_/].+", name.strip()) else None


def parse_columns(text: str) -> dict[str, str]:
    """Read `--columns`: 'loss="Train Robust Loss",val_loss="Test Robust Loss"'; quotes are needed around commas only.

    Raises:
        UsageError: for text of another form, or a quantity given twice.
    """
    columns: dict[str, str] = {}
    pattern = re.compile(r"""\s*(\w+)\s*=\s*(?:"([^"]+)"|'([^']+)'|([^,"']+?))\s*(?:,|$)""")
    place = 0
    while place < len(text) or not columns:
        match = pattern.match(text, place)
        if match is None or match.group(1) in columns:
            raise UsageError(
                f'columns must be QUANTITY=NAME, each quantity once: loss="Train Loss",val_loss=test. '
                f"Received: {text!r}"
            )
        columns[match.group(1)] = next(group for group in match.groups()[1:] if group is not None)
        place = match.end()
    return columns
