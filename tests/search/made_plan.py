"""A small search that no images are needed for: its plan, its folder, and a training that is a formula."""

import math

from kerastricks.search.folder import SearchFolder
from kerastricks.search.plan import SearchPlan
from kerastricks.search.space.parameter import Parameter
from kerastricks.search.space.space import Space
from kerastricks.training.config import Config

RATE = Parameter("learning_rate", "float", min=1e-3, max=1.0, sampling="log", default=0.02)
BATCH = Parameter("batch_size", "choice", values=(32, 64, 128), default=64)
OPTIMIZER = Parameter("optimizer", "choice", values=("sgd", "adamw"))
DECAY = Parameter("weight_decay", "choice", values=(0.0, 0.1), when={"optimizer": ("adamw",)})
SMOOTHING = Parameter("label_smoothing", "float", min=0.0, max=0.3, step=0.1)

DATA = {
    "name": "made",
    "class_names": ["a", "b"],
    "image_shape": [8, 8, 1],
    "images": {"train": 80, "validation": 10, "test": 10},
    "class_counts": {"train": [40, 40]},
    "skipped": 0,
    "fingerprint": "0123",
}


def made_plan(oracle="random", parameters=(RATE, BATCH, OPTIMIZER, DECAY), base=None, **fields):
    base = {**Config(data="made", model="mlp").as_dict(), **(base or {})}
    given = {"trials": 6, "epochs": 3, "data": DATA, "versions": {"keras": "3.15.1"}, **fields}
    return SearchPlan(base, Space(parameters).to_dict(), oracle=oracle, **given)


def made_folder(tmp_path, plan, name="search"):
    folder = SearchFolder.create(tmp_path / name, "made")
    folder.write_plan(plan)
    return folder


def accuracy(values, epoch):
    """The best rate is 0.1, adamw is better, and every epoch helps."""
    score = 0.9 - 0.1 * abs(math.log10(values["learning_rate"]) + 1) - 0.2 / epoch
    score -= 0.01 * abs(math.log2(values["batch_size"] / 64))
    return score + (0.03 if values["optimizer"] == "adamw" else 0.0) - values.get("weight_decay", 0.0) / 20


def metrics_of(values, epoch):
    """What training would log."""
    reached = accuracy(values, epoch)
    return {"loss": 1 - reached, "accuracy": reached, "val_loss": 1.1 - reached, "val_accuracy": reached}
