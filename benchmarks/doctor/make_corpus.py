"""Train the doctor's corpus: runs with known faults, and what really helps each of them.

    python benchmarks/doctor/make_corpus.py --cifar10 cifar10.zip --clothing clothing.zip --out corpus --parts rates
    python benchmarks/doctor/make_corpus.py --out corpus --collect corpus.npz

A setting is a data set, a number of images, a network, an optimizer, a batch and a schedule. `rates` trains it at
rates from far too low to far too high, `batches` at batches from 2 to 128 and the same rates, `fit` beside
remedies (more data, regularization, a wider network, a longer training), `faults` with zero initialization, dead
units, shuffled labels. Three seeds each: seed, order of images and initial weights differ. The steps are plain
TensorFlow, so that a run takes seconds; every run is a file of its own, and one that is there is not trained again.
"""

import argparse
import json
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import kerastricks
from kerastricks.keras_graph import split_head

SEEDS = (0, 1, 2)
MOST_VALIDATION = 1500


@dataclass(frozen=True)
class Setting:
    """What a run is made of, without its rate and seed."""

    data: str
    images: int
    model: str
    optimizer: str = "sgd"
    batch: int = 32
    epochs: int = 20
    schedule: str = "constant"
    label_noise: float = 0.0
    augment: bool = False
    weight_decay: float = 0.0
    dropout: float = 0.0
    fault: str = ""


# Half-decades, and quarters of them between "good" and "diverged", where few runs fall.
RATES = {
    "sgd": (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.17, 0.3, 0.55, 1.0, 1.7, 3.0, 10.0),
    "adam": (1e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 5.5e-3, 1e-2, 1.7e-2, 3e-2, 5.5e-2, 0.1, 0.3),
}

CNN, SMALL_CNN, WIDE_CNN = "plain_cnn(widths=(16, 32))", "plain_cnn(widths=(8, 16))", "plain_cnn(widths=(48, 96))"
MLP, WIDE_MLP, DEEP_MLP = "mlp(width=64, depth=2)", "mlp(width=256, depth=3)", "mlp(width=64, depth=5)"
RESNET = "resnet_20(width=8)"

RATE_SETTINGS = (
    Setting("digits", 1000, MLP, epochs=30),
    Setting("digits", 1000, MLP, "adam", epochs=30),
    Setting("digits", 400, CNN, epochs=20),
    Setting("digits", 1000, CNN, "adam", batch=64, epochs=15, schedule="cosine"),
    Setting("digits", 1000, DEEP_MLP, batch=16, epochs=15),
    Setting("fashion", 2000, MLP, epochs=15),
    Setting("fashion", 2000, CNN, "adam", epochs=10),
    Setting("fashion", 1000, RESNET, epochs=10, schedule="cosine"),
    Setting("fashion", 3000, WIDE_MLP, "adam", batch=128, epochs=15),
    Setting("cifar10", 2000, CNN, epochs=15),
    Setting("cifar10", 2000, CNN, "adam", epochs=15),
    Setting("cifar10", 1000, RESNET, batch=64, epochs=8, augment=True),
    Setting("cifar10", 2000, MLP, batch=64, epochs=12),
    Setting("cifar10", 1500, SMALL_CNN, batch=64, epochs=10, schedule="cosine", augment=True),
    Setting("clothing", 1000, CNN, epochs=8, schedule="cosine", augment=True),
    Setting("clothing", 1000, CNN, "adam", batch=64, epochs=8),
    Setting("clothing", 1000, MLP, epochs=12),
    Setting("clothing", 600, RESNET, epochs=8),
)

BATCH_SETTINGS = (
    Setting("digits", 1000, MLP, epochs=8),
    Setting("fashion", 1000, MLP, epochs=8),
    Setting("cifar10", 1000, MLP, epochs=8),
    Setting("clothing", 800, MLP, epochs=8),
    Setting("fashion", 800, CNN, epochs=6),
    Setting("clothing", 600, SMALL_CNN, epochs=8),
    Setting("cifar10", 800, SMALL_CNN, epochs=8),
    Setting("digits", 500, RESNET, epochs=6),
)
# Every rate that two batches share tells whether the larger batch helps at the same rate.
BATCH_RATES = {
    2: (0.000469, 0.001875, 0.0075, 0.03, 0.12),
    8: (0.001875, 0.0075, 0.03, 0.12),
    32: (0.0075, 0.03, 0.12, 0.48),
    128: (0.03, 0.12, 0.48),
}

FIT_SETTINGS = (
    Setting("digits", 100, MLP, batch=16, epochs=60),
    Setting("digits", 1000, MLP, epochs=40),
    Setting("digits", 400, "mlp(width=4, depth=1)", epochs=20),
    Setting("digits", 400, WIDE_MLP, epochs=40, label_noise=0.3),
    Setting("fashion", 300, CNN, "adam", epochs=40),
    Setting("fashion", 3000, "mlp(width=4, depth=1)", batch=64, epochs=10),
    Setting("fashion", 1000, WIDE_MLP, "adam", epochs=40),
    Setting("fashion", 1000, CNN, "adam", epochs=25, label_noise=0.4),
    Setting("cifar10", 300, CNN, "adam", epochs=40),
    Setting("cifar10", 2000, "mlp(width=8, depth=1)", batch=64, epochs=10),
    Setting("cifar10", 600, CNN, "adam", epochs=20),
    Setting("cifar10", 2000, SMALL_CNN, "adam", batch=64, epochs=6),
    Setting("clothing", 300, CNN, "adam", epochs=30),
    Setting("clothing", 1000, "mlp(width=8, depth=1)", batch=64, epochs=10),
    Setting("clothing", 600, CNN, "adam", epochs=20, augment=True),
    Setting("clothing", 700, WIDE_MLP, "adam", epochs=25),
)
REMEDIES = ("more_data", "regularized", "wider", "longer")
GOOD_RATE = {"sgd": 0.03, "adam": 0.001}

FAULTS = ("zero", "dead", "shuffled_labels", "sigmoid_chain")
FAULT_SETTINGS = (
    Setting("digits", 1000, MLP, epochs=15),
    Setting("fashion", 1000, CNN, "adam", epochs=8),
    Setting("cifar10", 1000, CNN, epochs=8),
    Setting("clothing", 1000, MLP, "adam", epochs=10),
)


def wider(model: str) -> str:
    """The network with four times the width."""
    grown = {
        MLP: WIDE_MLP, CNN: WIDE_CNN, SMALL_CNN: "plain_cnn(widths=(32, 64))", WIDE_MLP: "mlp(width=1024, depth=3)",
        WIDE_CNN: "plain_cnn(widths=(128, 256))",
    }  # fmt: skip
    return grown.get(model) or model.replace("width=8", "width=32").replace("width=4", "width=16")


def remedied(setting: Setting, remedy: str) -> Setting:
    """The setting with what may help it, for the same images of validation."""
    if remedy == "more_data":
        return replace(setting, images=3 * setting.images, epochs=max(setting.epochs // 3, 1))
    if remedy == "regularized":
        return replace(setting, dropout=0.3, weight_decay=1e-3, augment=setting.data != "digits")
    if remedy == "wider":
        return replace(setting, model=wider(setting.model))
    return replace(setting, epochs=3 * setting.epochs)


def jobs(parts: Sequence[str]) -> Iterator[tuple[str, Setting, float, str, Setting]]:
    """Part, setting, rate, remedy, and the setting that a remedy was given to."""
    if "rates" in parts:
        for setting in RATE_SETTINGS:
            for rate in RATES[setting.optimizer]:
                yield "rates", setting, rate, "", setting
    if "batches" in parts:
        for base in BATCH_SETTINGS:
            for batch, rates in BATCH_RATES.items():
                for rate in rates:
                    yield "batches", replace(base, batch=batch), rate, "", base
    if "fit" in parts:
        for base in FIT_SETTINGS:
            for remedy in ("", *REMEDIES):
                setting = remedied(base, remedy) if remedy else base
                yield "fit", setting, GOOD_RATE[setting.optimizer], remedy, base
    if "faults" in parts:
        for base in FAULT_SETTINGS:
            for fault in FAULTS:
                for factor in (0.1, 1.0):
                    yield "faults", replace(base, fault=fault), GOOD_RATE[base.optimizer] * factor, "", base


class Data:
    """Images of a data set, cut to small ones, and split once for all runs."""

    def __init__(self, name: str, source: str) -> None:
        side = {"cifar10": 16, "clothing": 16}.get(name)
        loaded = kerastricks.data.load(source, image_size=side, validation=0.2, test=0.1, batch_size=500)
        self.classes = len(loaded.class_names)
        random = np.random.default_rng(7)
        images, labels = [], []
        most = {"train": 9000, "validation": MOST_VALIDATION}
        for split in ("train", "validation"):
            found = [(np.asarray(x), np.asarray(y)) for x, y in loaded.splits[split].evaluation()]
            x = np.concatenate([one for one, _ in found]).astype("float32")
            y = np.concatenate([one for _, one in found])
            y = y if y.ndim == 1 else y.argmax(axis=-1)
            if name == "fashion":  # 28 pixels: arrays are not resized when they are loaded
                x = x.reshape(len(x), 14, 2, 14, 2, 1).mean(axis=(2, 4))
            order = random.permutation(len(x))[: most[split]]
            images.append(x[order])
            labels.append(y[order].astype("int32"))
        self.x, self.validation_x = images
        self.y, self.validation_y = labels
        self.mean = self.x.mean(axis=(0, 1, 2))
        self.std = self.x.std(axis=(0, 1, 2)) if self.x.shape[-1] == 3 else self.x.std()


def build(setting: Setting, data: Data, seed: int) -> keras.Model:
    """A network of the setting, logits at its end."""
    keras.utils.set_random_seed(seed)
    spec = setting.model
    if setting.dropout and not spec.startswith("resnet"):
        spec = f"{spec[:-1]}, dropout={setting.dropout})"
    if setting.fault == "sigmoid_chain":
        spec = "mlp(width=64, depth=6, activation='sigmoid')"
    model = kerastricks.models.create(
        spec, data.x.shape[1:], data.classes, mean=data.mean.tolist(), std=np.atleast_1d(data.std).tolist()
    )
    if setting.fault in ("zero", "dead"):
        for layer in model.layers:
            for weight in layer.trainable_weights:
                if setting.fault == "zero" and "kernel" in weight.name:
                    weight.assign(np.zeros(weight.shape))
                if setting.fault == "dead" and "bias" in weight.name and layer is not model.layers[-1]:
                    weight.assign(np.full(weight.shape, -20.0))
    return split_head(model)[0]


def shared_steps(setting: Setting, data: Data) -> Any:
    """Training and evaluation, compiled once for all rates and seeds of a setting."""
    model = build(setting, data, 0)
    optimizer: Any = {
        "sgd": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
        "adam": lambda: keras.optimizers.Adam(0.001),
    }[setting.optimizer]()
    optimizer.build(model.trainable_variables)
    kernels = [one for one in model.trainable_variables if len(one.shape) > 1]

    @tf.function(jit_compile=False)
    def step(x: Any, y: Any) -> Any:
        if setting.augment:
            x = tf.image.random_flip_left_right(x)
            padded = tf.pad(x, [[0, 0], [2, 2], [2, 2], [0, 0]], "REFLECT")
            x = tf.image.random_crop(padded, tf.shape(x))
        with tf.GradientTape() as tape:
            logits = model(x, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
            total = loss + setting.weight_decay * sum(tf.reduce_sum(tf.square(one.value)) for one in kernels)
        optimizer.apply(tape.gradient(total, [one.value for one in model.trainable_variables]))
        return loss, tf.reduce_mean(tf.cast(tf.argmax(logits, -1, tf.int32) == y, tf.float32))

    @tf.function(jit_compile=False)
    def evaluate(x: Any, y: Any) -> Any:
        logits = model(x, training=False)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
        return loss, tf.reduce_mean(tf.cast(tf.argmax(logits, -1, tf.int32) == y, tf.float32))

    return model, optimizer, step, evaluate


def train(setting: Setting, data: Data, rate: float, seed: int, compiled: Any) -> dict[str, np.ndarray]:
    """One run: the loss of each step, and the usual four of each epoch."""
    model, optimizer, step, evaluate = compiled
    model.set_weights(build(setting, data, seed).get_weights())
    for variable in optimizer.variables:
        if variable is not optimizer.learning_rate:
            variable.assign(tf.zeros_like(variable))
    # crc32: hash() of a string differs from process to process.
    random = np.random.default_rng([seed, zlib.crc32(setting.data.encode())])
    x, y = data.x[: setting.images], data.y[: setting.images].copy()
    if setting.fault == "shuffled_labels":
        y = random.permutation(y)
    noisy = random.random(len(y)) < setting.label_noise
    y[noisy] = random.integers(0, data.classes, noisy.sum())
    batch = min(setting.batch, len(x))
    steps = len(x) // batch
    total = steps * setting.epochs
    losses, rates, epochs = [], [], []
    for _ in range(setting.epochs):
        order = random.permutation(len(x))
        hits = []
        for index in range(steps):
            now = rate * (0.5 * (1 + np.cos(np.pi * len(losses) / total)) if setting.schedule == "cosine" else 1.0)
            optimizer.learning_rate.assign(now)
            chosen = order[index * batch : (index + 1) * batch]
            loss, accuracy = step(x[chosen], y[chosen])
            losses.append(float(loss))
            rates.append(now)
            hits.append(float(accuracy))
        val_loss, val_accuracy = (float(one) for one in evaluate(data.validation_x, data.validation_y))
        epochs.append([np.mean(losses[-steps:]), np.mean(hits), val_loss, val_accuracy, rates[-1]])
        if not np.isfinite(losses[-1]):
            break
    return {"step_loss": np.array(losses, "float32"), "epochs": np.array(epochs, "float32")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", default="rates,batches,fit,faults")
    parser.add_argument("--collect", type=Path)
    for name, default in (("digits", "digits"), ("fashion", ""), ("cifar10", ""), ("clothing", "")):
        parser.add_argument(f"--{name}", default=default)
    arguments = parser.parse_args()
    arguments.out.mkdir(exist_ok=True)
    if arguments.collect:
        collect(arguments.out, arguments.collect)
        return
    tf.config.threading.set_intra_op_parallelism_threads(1)
    loaded: dict[str, Data] = {}
    compiled: tuple[Any, Any] = (None, None)
    began = time.monotonic()
    for part, setting, rate, remedy, base in jobs(arguments.parts.split(",")):
        source = getattr(arguments, setting.data)
        key = f"{part}-{zlib.crc32(json.dumps([asdict(setting), rate, remedy, asdict(base)]).encode()):08x}"
        for seed in SEEDS:
            target = arguments.out / f"{key}-{seed}.npz"
            if target.exists() or not source:
                continue
            if setting.data not in loaded:
                loaded[setting.data] = Data(setting.data, source)
            data = loaded[setting.data]
            if compiled[0] != setting:
                compiled = (setting, shared_steps(setting, data))
            start = time.monotonic()
            run = train(setting, data, rate, seed, compiled[1])
            meta = {
                "part": part, "setting": asdict(setting), "rate": rate, "seed": seed, "remedy": remedy,
                "base": asdict(base), "classes": data.classes, "seconds": round(time.monotonic() - start, 2),
            }  # fmt: skip
            temporary = target.with_suffix(".tmp")
            with temporary.open("wb") as file:
                np.savez_compressed(file, meta=json.dumps(meta), **run)
            temporary.rename(target)
            print(
                f"{time.monotonic() - began:6.0f} s  {part} {setting.data} {setting.model} {setting.optimizer} "
                f"batch {setting.batch} rate {rate:g} {remedy} seed {seed}: {run['epochs'][-1][:4].round(3)} "
                f"{meta['seconds']} s",
                flush=True,
            )


def collect(folder: Path, target: Path) -> None:
    """All runs in one file: step losses as float16 one after the other, epochs as float32, metadata as JSON."""
    metas, steps, epochs = [], [], []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as run:
            metas.append(json.loads(str(run["meta"])))
            steps.append(run["step_loss"])
            epochs.append(run["epochs"])
    np.savez_compressed(
        target,
        meta=json.dumps(metas),
        step_loss=np.concatenate(steps).astype("float16"),
        step_count=np.array([len(one) for one in steps]),
        epochs=np.concatenate(epochs),
        epoch_count=np.array([len(one) for one in epochs]),
    )
    print(f"{len(metas)} runs, {target.stat().st_size / 2**20:.1f} MB")


if __name__ == "__main__":
    main()
