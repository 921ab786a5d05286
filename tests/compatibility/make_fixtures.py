"""Made `fixtures/` with version 0.1.0, before its modules were reorganised.

It is a record: files that an old version wrote are worth keeping because that version is gone. Run it again only to
add files that a later version writes, into another folder. Commands run below PLACE, which is the same on every machine
since run folders hold whole paths; the tests name the images where they are.
"""

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

PLACE = Path("/tmp/kerastricks-compatibility")
FIXTURES = Path(__file__).parent / "fixtures"
NETWORK = "plain_cnn(widths=(4,), dropout=0.2)"
COMMON = ("--epochs", "3", "--batch-size", "4", "--set", "precision=float32", "--set", "early_stopping_epochs=None")
COMMON += ("--set", "validation=0.25", "--set", "test=0.25", "--out", "runs")
FINISHED = ("train", "images", "--model", NETWORK, "--snapshots", "2", *COMMON)
INTERRUPTED = (
    "train",
    "images",
    "--model",
    NETWORK,
    "--schedule",
    "plateau(factor=2, patience=1, monitor=loss)",
    *COMMON,
)
INTERRUPTED += ("--augment", "flip | pad_crop(1) | mixup(0.2)", "--set", "optimizer=adamw", "--set", "keep=top(2)")
INTERRUPTED += ("--set", "average=ema(decay=0.9)", "--learning-rate", "0.01")
STOP_AT_STEP = 5  # of nine: in the middle of the second epoch
SPACE = """
[learning_rate]
min = 0.001
max = 0.3
sampling = "log"

[batch_size]
values = [4, 8]

["model.width"]
values = [3, 4]
"""
TUNE = ("tune", "images", "--model", "mlp(depth=1, width=3)", "--space", "space.toml", "--epochs", "2", "--top", "0")
TUNE += ("--set", "validation=0.25", "--set", "test=0.25", "--set", "precision=float32", "--no-range-test")
# Nobody needs these to load, resume or export: a SavedModel is as large as all else together.
LEFT_OUT = ("[0-9]", "*.png", "search.html", "*.log", "log.txt", ".lock")
# Ctrl-C after a step, wherever training is implemented: Keras's own callback list tells.
STOPPED = """
import os, signal, sys
import keras
told = keras.callbacks.CallbackList.on_train_batch_end
seen = []
def on_train_batch_end(self, batch, logs=None):
    seen.append(batch)
    if len(seen) == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGINT)
    told(self, batch, logs)
keras.callbacks.CallbackList.on_train_batch_end = on_train_batch_end
from kerastricks.cli import main
main(sys.argv[2:])
"""


def command(*arguments, code=0, program=("-m", "kerastricks")):
    environment = {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    done = subprocess.run([sys.executable, *program, *arguments], cwd=PLACE, env=environment, check=False)
    assert done.returncode == code, arguments


def write_images(root):
    """Three colours, eight images each; PNG, which every decoder reads alike."""
    import numpy as np
    from PIL import Image

    for label, (name, colour) in enumerate(
        {"blue": (40, 60, 200), "green": (60, 180, 70), "red": (200, 50, 60)}.items()
    ):
        (root / name).mkdir(parents=True)
        for index in range(8):
            noise = np.random.default_rng(100 * label + index).integers(-3, 4, (8, 8, 3)) * 16
            Image.fromarray(np.clip(np.array(colour) + noise, 0, 255).astype("uint8")).save(
                root / name / f"{index}.png"
            )


def all_layers():
    """A network with every layer and initializer of ours that inference goes through."""
    import keras
    import numpy as np

    from kerastricks import activations, augment, initializers, layers, regularizers

    images = np.random.default_rng(0).uniform(0, 255, (60, 8, 8, 3)).astype("float32")
    start = {
        "patches": initializers.PatchWhitening.fit(images[:20] / 255, 2),
        **{
            name: getattr(initializers, name)(seed=index)
            for index, name in enumerate(
                [
                    "DeltaOrthogonal",
                    "Dirac",
                    "FanIn",
                    "HeNormal",
                    "HeUniform",
                    "LSUV",
                    "SmallNormal",
                    "SmallUniform",
                    "XavierNormal",
                    "XavierUniform",
                ]
            )
        },
    }

    def adapted(layer, examples=images):
        layer.adapt(examples)
        return layer

    inputs = keras.Input((8, 8, 3), name="pixels")
    x = augment.Augment("flip | pad_crop(1) | brightness(0.2)", seed=1)(inputs)
    x = layers.RandomCrop(8, 8, padding=1, seed=1)(x)
    x = layers.RandomResizedCrop(8, 8, seed=1)(x)
    x = layers.RandomHSV(shift_range=(-0.2, 0.1), seed=1)(x)
    x = layers.FancyPCA(0.1, seed=1)(x)
    whitened = adapted(layers.PCAWhitening(components=4))(x)
    small = keras.layers.Cropping2D(2)(x)  # the kernel of ZCA is the square of the pixels
    alike = keras.layers.Flatten()(adapted(layers.ZCAWhitening(epsilon=1e-3), images[:, 2:6, 2:6])(small))
    scaled = adapted(layers.RangeScaling(output_range=(-1, 1)))(x)
    x = adapted(layers.Centering(divide_by_std=True))(x)
    x = keras.layers.Conv2D(24, 2, kernel_initializer=start.pop("patches"), trainable=False)(x)
    x = keras.layers.Conv2D(4, 1, kernel_initializer=_seeded(0))(x)
    for name, initializer in start.items():
        x = keras.layers.Conv2D(4, 3, padding="same", use_bias=False, kernel_initializer=initializer, name=name)(x)
        x = keras.layers.LayerNormalization()(x)
    x = layers.ChannelBias()(x)
    x = layers.RReLU(seed=1)(x)
    x = activations.get("leaky_relu(0.18)")(x)
    x = activations.get("prelu")(x)
    x = activations.get("gelu(approximate=true)")(x)
    short = layers.PadShortcut(6, strides=2)(x)
    x = keras.layers.Conv2D(6, 3, strides=2, padding="same", kernel_initializer=_seeded(1))(x)
    x = keras.layers.Add()([short, layers.StochasticDepth(0.3, seed=1)(x)])
    x = layers.WeightNormalization(keras.layers.Conv2D(6, 1, kernel_initializer=_seeded(2)))(x)
    x = layers.Maxout(3)(x)
    x = layers.SpatialPyramidPooling([2, 1])(x)
    x = keras.layers.Concatenate()([x, whitened, alike, keras.layers.Flatten()(scaled)])
    members = [
        keras.layers.Dense(3, "log_softmax", kernel_initializer=_seeded(3 + one), name=f"member_{one}")(x)
        for one in (0, 1)
    ]
    members = keras.layers.Concatenate(axis=1)([keras.layers.Reshape((1, 3))(one) for one in members])
    model = keras.Model(inputs, layers.CombineMembers("mean")(members), name="all_layers")
    return regularizers.apply_regularization(model, "l2(5e-4)")


def _seeded(seed):
    import keras

    return keras.initializers.GlorotUniform(seed=seed)


def write_layers(folder):
    import keras

    from kerastricks import losses, schedules

    keras.utils.set_random_seed(0)
    model = all_layers()
    schedule = schedules.LinearWarmup(schedules.OneCycle(0.1, 40, 10), 4)
    model.compile(keras.optimizers.SGD(schedule), losses.LabelSmoothingCrossentropy(0.1))
    folder.mkdir()
    model.save(folder / "all_layers.keras")


def objects():
    """Losses, schedules and initializers: what they are made with, and numbers that they give."""
    from kerastricks import initializers, losses, schedules

    return {
        "losses": [
            losses.LabelSmoothingCrossentropy(0.1, from_logits=True),
            losses.DistillationLoss(temperature=2.0, hard_weight=0.3),
        ],
        "schedules": [
            schedules.CosineRestarts(0.1, 40, cycles=2, t_mul=1.5, final_rate=0.1),
            schedules.ExponentialCyclical(0.1, 12.5, 0.2, 0.99, "cycle"),
            schedules.InverseSqrt(0.1, 5),
            schedules.LinearWarmup(schedules.StepDecay(0.1, [20], factor=5.0), 4, start_rate=0.1),
            schedules.OneCycle(0.1, 40, 10, start_rate=0.1, final_rate=0.01),
            schedules.Triangular(0.1, 12.5, start_rate=0.2),
            schedules.Triangular2(0.1, 12.5, 0.2, "iterations"),
            schedules.WarmupLinear(0.1, 40, warmup_steps=10, final_rate=0.01),
        ],
        "initializers": [
            initializers.DeltaOrthogonal(1.5, seed=1),
            initializers.Dirac(seed=1),
            initializers.FanIn("uniform", seed=1),
            initializers.HeNormal(0.2, seed=1),
            initializers.HeUniform(0.2, seed=1),
            initializers.LSUV(seed=1),
            initializers.SmallNormal(0.1, seed=1),
            initializers.SmallUniform(0.1, seed=1),
            initializers.XavierNormal(seed=1),
            initializers.XavierUniform(seed=1),
        ],
    }


def numbers_of(kind, made):
    """What an object of `objects` gives: the same computation is made of the loaded one."""
    import numpy as np

    if kind == "schedules":
        return [float(made(step)) for step in (0, 1, 3, 7, 15, 25, 39)]
    if kind == "initializers":
        return np.asarray(made((3, 3, 4, 6))).reshape(-1)[::27].astype(float).tolist()
    student = np.array([[0.5, -1.0, 2.0], [1.0, 0.0, -1.0]], "float32")
    if "temperature" in made.get_config():  # the true classes, then the teacher's logits
        return [float(made(np.array([[0, 0, 1, 1, 0, 2], [1, 0, 0, 0, 1, 0]], "float32"), student))]
    return [float(made(np.array([2, 0]), student))]


def write_objects(folder):
    import keras

    found = [
        {"kind": kind, "object": keras.saving.serialize_keras_object(made), "numbers": numbers_of(kind, made)}
        for kind, all_made in objects().items()
        for made in all_made
    ]
    (folder / "objects.json").write_text(json.dumps(found, indent=1) + "\n")


def write_caches(folder):
    import keras
    from kerastricks.weights.cache import cached_weights

    import kerastricks

    os.environ["KERASTRICKS_CACHE"] = str(folder)
    crops = {"augment": "random_resized_crop(0.25)", "validation": 0.25, "test": 0.25, "image_size": 6}
    kerastricks.data.load("images", cache_dir=folder / "decoded", memory_bytes=0, **crops)
    model = keras.models.load_model("runs/finished/model.keras")
    data = kerastricks.data.load("images", validation=0.25, test=0.25)
    kerastricks.features.cached(model, [model.layers[-2].name], data, ["train", "test"])
    with cached_weights("tiny-0123", lambda path: tiny_network().save_weights(path)):
        pass


def tiny_network():
    import keras

    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, kernel_initializer=_seeded(1), name="tiny")])


def write_numbers(folder):
    """What the tests compare with: of models, of the run that was not interrupted, of the whole search."""
    import keras
    import numpy as np

    pixels = np.random.default_rng(7).integers(0, 256, (5, 8, 8, 3)).astype("float32")
    models = {
        "runs/finished/model.keras": FIXTURES,
        "runs/finished/members/01.keras": FIXTURES,
        "runs/ensemble/model.keras": FIXTURES,
        "layers/all_layers.keras": FIXTURES,
        "runs/whole/model.keras": PLACE,
    }
    found = {name: keras.models.load_model(root / name)(pixels, training=False) for name, root in models.items()}
    trials = [json.loads(line) for line in (PLACE / "whole_search" / "trials.jsonl").read_text().splitlines()]
    record = {
        "predictions": {name: np.asarray(value).astype(float).round(7).tolist() for name, value in found.items()},
        "log_loss": {
            name: json.loads((PLACE / "runs" / name / "summary.json").read_text())["log_loss"]
            for name in ("finished", "whole", "ensemble")
        },
        "batch_loss": np.fromfile(PLACE / "runs" / "whole" / "batch_loss.f32", "<f4").astype(float).tolist(),
        "tensorflow": version("tensorflow"),
        "trials": [{name: one[name] for name in ("trial", "status", "values", "score")} for one in trials],
    }
    (folder / "numbers.json").write_text(json.dumps(record, indent=1) + "\n")


def main():
    shutil.rmtree(PLACE, ignore_errors=True)
    shutil.rmtree(FIXTURES, ignore_errors=True)
    PLACE.mkdir()
    os.chdir(PLACE)
    write_images(PLACE / "images")
    (PLACE / "space.toml").write_text(SPACE)
    command(*FINISHED, "--name", "finished")
    command(*INTERRUPTED, "--name", "whole")
    stop = (str(STOP_AT_STEP), *INTERRUPTED, "--name", "interrupted")
    command(*stop, code=130, program=("-c", STOPPED))
    command("ensemble", "runs/finished", "--method", "mean", "--out", "runs", "--name", "ensemble")
    command(*TUNE, "--trials", "3", "--out", "whole_search")
    command(*TUNE, "--trials", "2", "--out", "search")
    write_caches(PLACE / "cache")
    ignore = shutil.ignore_patterns(*LEFT_OUT)
    for name in ("runs/finished", "runs/interrupted", "runs/ensemble", "search", "cache"):
        shutil.copytree(name, FIXTURES / name, ignore=ignore)
    shutil.copytree("images", FIXTURES / "images")
    write_layers(FIXTURES / "layers")
    write_objects(FIXTURES)
    write_numbers(FIXTURES)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    main()
