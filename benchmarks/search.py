"""How soon a search finds what keras-tuner's random search finds: `kerastricks tune`, RandomSearch and Optuna's TPE.

    pip install '.[optuna]'
    python benchmarks/search.py cifar10.zip

All three search the same space for the same network on the same images, in turn, each in processes of its own, with the
clock running from its first process. Peers train as their documentation shows: arrays, `model.fit`, in one process; but
without XLA, with which they would take several times as long here.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

SPACE = """
[learning_rate]
min = 0.001
max = 1.0
sampling = "log"

[batch_size]
values = [32, 64, 128]

[weight_decay]
min = 0.0001
max = 0.1
sampling = "log"

[schedule]
values = ["linear(warmup=0.2)", "cosine(warmup=0.05)"]

["model.dropout"]
min = 0.0
max = 0.5

["model.activation"]
values = ["relu", "gelu"]
"""
WIDTHS = (16, 32)
MODEL = f"plain_cnn(widths={WIDTHS})"
PER_CLASS = {"train": 150, "validation": 80, "test": 20}
ROWS = ("RandomSearch", "Optuna TPE", "kerastricks tune")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path, help="cifar10.zip: train/CLASS/*.jpg")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("search_benchmark.jsonl"))
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        peer(arguments)
        return
    done = [json.loads(line) for line in arguments.out.read_text().splitlines()] if arguments.out.exists() else []
    with tempfile.TemporaryDirectory() as folder:
        images, space = Path(folder, "images"), Path(folder, "space.toml")
        subset(arguments.data, images)
        space.write_text(SPACE)
        for seed in range(arguments.seeds):
            for row in ROWS[seed % 3 :] + ROWS[: seed % 3]:
                if any(one["row"] == row and one["seed"] == seed for one in done):
                    continue
                result = {"row": row, "seed": seed, **measure(row, seed, images, space, arguments, Path(folder))}
                done.append(result)
                with open(arguments.out, "a", encoding="utf-8") as file:
                    file.write(json.dumps(result) + "\n")
                print(f"seed {seed}, {row}: {result['best']:.4f} in {result['seconds']:.0f} s", file=sys.stderr)
    show(done, arguments.seeds)


def subset(source: Path, target: Path) -> None:
    """The first images of each class, in the splits that all rows use."""
    with zipfile.ZipFile(source) as archive:
        names = sorted(name for name in archive.namelist() if name.startswith("train/") and name.endswith(".jpg"))
        of_class: dict[str, list[str]] = {}
        for name in names:
            of_class.setdefault(name.split("/")[1], []).append(name)
        for label, own in of_class.items():
            start = 0
            for split, count in PER_CLASS.items():
                folder = target / split / label
                folder.mkdir(parents=True)
                for name in own[start : start + count]:
                    (folder / Path(name).name).write_bytes(archive.read(name))
                start += count


def measure(row: str, seed: int, images: Path, space: Path, arguments: argparse.Namespace, folder: Path) -> dict:
    """Seconds from the start of the first process to each finished trial, with the best score by then."""
    log = folder / "trials.jsonl"
    log.unlink(missing_ok=True)
    common = ["--trials", str(arguments.trials), "--epochs", str(arguments.epochs)]
    started = time.monotonic()
    if row == "kerastricks tune":
        out = folder / "search"
        shutil.rmtree(out, ignore_errors=True)
        command = [sys.executable, "-m", "kerastricks", "tune", str(images), "--model", MODEL, "--space", str(space)]
        command += [*common, "--seed", str(seed), "--out", str(out), "--top", "0", "--set", "augment="]
        log = out / "trials.jsonl"
    else:
        command = [sys.executable, __file__, str(images), "--peer", f"{row}:{seed}:{log}", *common]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    best, seen, steps = 0.0, 0, []
    while process.poll() is None:
        time.sleep(0.1)
        records = log.read_text().splitlines() if log.exists() else []
        if len(records) > seen:
            seen = len(records)
            scores = [json.loads(line)["score"] for line in records if json.loads(line)["score"] is not None]
            best = max(scores, default=0.0)
            steps.append((round(time.monotonic() - started, 1), best))
    if process.returncode:
        raise RuntimeError(process.communicate()[1].decode())
    return {"seconds": round(time.monotonic() - started, 1), "best": best, "steps": steps, "trials": seen}


def peer(arguments: argparse.Namespace) -> None:
    """Plain keras-tuner, or Optuna, in this process."""
    row, seed, log = arguments.peer.split(":", 2)
    import keras

    import kerastricks

    data = kerastricks.data.load(arguments.data)
    train = data.splits["train"].examples
    validation = data.splits["validation"].examples
    x, y = train.images, train.labels
    held_out = validation.images, validation.labels

    def train_one(rate, batch_size, decay, schedule, dropout, activation, report=None):
        model = kerastricks.models.create(
            f"plain_cnn(widths={WIDTHS}, dropout={dropout!r}, activation={activation!r})",
            data.image_shape,
            len(data.class_names),
            mean=data.mean,
            std=data.std,
        )
        total = len(x) // batch_size * arguments.epochs
        model.compile(
            keras.optimizers.SGD(
                kerastricks.schedules.get(schedule, total, rate),
                momentum=0.9,
                nesterov=True,
                weight_decay=decay,
                global_clipnorm=5.0,
            ),
            kerastricks.losses.LabelSmoothingCrossentropy(0.1),
            metrics=["accuracy"],
            jit_compile=False,  # faster than Keras's default on a CPU: compiling takes longer than these trainings
        )
        history = model.fit(
            x,
            y,
            batch_size=batch_size,
            epochs=arguments.epochs,
            validation_data=held_out,
            verbose=0,
            callbacks=[report] if report else [],
        )
        score = history.history["val_accuracy"][-1]
        with open(log, "a", encoding="utf-8") as file:
            file.write(json.dumps({"score": score if score == score else None}) + "\n")
        return score

    schedules, activations = ["linear(warmup=0.2)", "cosine(warmup=0.05)"], ["relu", "gelu"]
    if row == "Optuna TPE":
        import optuna

        class Report(keras.callbacks.Callback):
            def __init__(self, trial):
                super().__init__()
                self.trial = trial

            def on_epoch_end(self, epoch, logs=None):
                self.trial.report(logs["val_accuracy"], epoch)
                if self.trial.should_prune():
                    raise optuna.TrialPruned

        def objective(trial):
            return train_one(
                trial.suggest_float("learning_rate", 1e-3, 1.0, log=True),
                trial.suggest_categorical("batch_size", [32, 64, 128]),
                trial.suggest_float("weight_decay", 1e-4, 1e-1, log=True),
                trial.suggest_categorical("schedule", schedules),
                trial.suggest_float("dropout", 0.0, 0.5),
                trial.suggest_categorical("activation", activations),
                Report(trial),
            )

        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=int(seed) + 1))
        study.optimize(objective, n_trials=arguments.trials)
        return
    import keras_tuner

    class Plain(keras_tuner.HyperModel):
        def build(self, hp):
            self.values = (
                hp.Float("learning_rate", 1e-3, 1.0, sampling="log"),
                hp.Choice("batch_size", [32, 64, 128]),
                hp.Float("weight_decay", 1e-4, 1e-1, sampling="log"),
                hp.Choice("schedule", schedules),
                hp.Float("dropout", 0.0, 0.5),
                hp.Choice("activation", activations),
            )
            return keras.Sequential([keras.Input((1,))])  # the model is made and trained in `fit`

        def fit(self, hp, model, *args, **kwargs):
            return {"val_accuracy": train_one(*self.values)}

    with tempfile.TemporaryDirectory() as folder:
        tuner = keras_tuner.RandomSearch(
            Plain(),
            objective=keras_tuner.Objective("val_accuracy", "max"),
            max_trials=arguments.trials,
            seed=int(seed) + 1,
            directory=folder,
        )
        tuner.search(verbose=0)


def show(done: list[dict], seeds: int) -> None:
    """A Markdown table of medians over the seeds."""
    by_key = {(one["row"], one["seed"]): one for one in done}
    print("\n| | best val_accuracy | seconds of all trials | seconds to RandomSearch's best | share of its time |")
    print("|---|---|---|---|---|")
    for row in ROWS:
        own = [by_key[row, seed] for seed in range(seeds)]
        reached, shares = [], []
        for seed, one in enumerate(own):
            reference = by_key["RandomSearch", seed]
            found = [seconds for seconds, best in one["steps"] if best >= reference["best"]]
            reached.append(found[0] if found else float("inf"))
            shares.append(found[0] / reference["seconds"] if found else float("inf"))
        best = [one["best"] for one in own]
        print(
            f"| {row} | {statistics.median(best):.4f} ({min(best):.4f} - {max(best):.4f}) "
            f"| {statistics.median(one['seconds'] for one in own):.0f} "
            f"| {statistics.median(reached):.0f} ({', '.join(f'{value:.0f}' for value in reached)}) "
            f"| {statistics.median(shares):.2f} |"
        )


if __name__ == "__main__":
    main()
