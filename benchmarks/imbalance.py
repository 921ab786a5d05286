"""Remedies for imbalanced classes beside plain cross-entropy, on long-tailed subsets of balanced data.

    python benchmarks/imbalance.py --data cifar10.zip --ratios 10 50 100 --json figures.jsonl
    python benchmarks/imbalance.py --data cifar10.zip --throughput

Each remedy trains the same network on the same images with the same initial weights; seeds change the subset, the
weights and the order. Test images are the same number in each class: four tenths of the test split; another tenth is
for validation, which only the row that chooses tau reads. `post-hoc` rows are the plain network, changed after its
training. Ratio 0 takes the training images as they are. Figures already in the file are not measured again.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import keras
import numpy as np

import kerastricks
from kerastricks.data.sources.source import Arrays, PixelStore, Source
from kerastricks.imbalance import adjust_logits, class_score, tau_normalize
from kerastricks.metrics import paired_difference
from kerastricks.training import Config, fit

PLAIN = "cross-entropy"
CROP = "for_rare(random_resized_crop(0.5))"
# Row: remedies, and ops after those of all rows.
ROWS = {
    PLAIN: ("", ""),
    "class weights, inverse": ("class_weights(inverse)", ""),
    "class weights, square root": ("class_weights(square_root)", ""),
    "class weights, effective number": ("class_weights(effective_number)", ""),
    "deferred weights (DRW)": ("class_weights(effective_number, start=0.8)", ""),
    "focal": ("focal", ""),
    "focal + effective number": ("focal | class_weights(effective_number)", ""),
    "up-sampling": ("upsample", ""),
    "up-sampling + crops of rare": ("upsample", CROP),
    "up-sampling + RandAugment of rare": ("upsample", "for_rare(randaugment(2, 9))"),
    "down-sampling, ratio 5": ("downsample(ratio=5)", ""),
    "square-root sampling": ("square_root_sampling", ""),
    "progressive sampling": ("progressive_sampling", ""),
    "class-aware batches": ("class_aware_batches", ""),
    "deferred sampling (DRS)": ("class_aware_batches(start=0.8)", ""),
    "balanced softmax": ("balanced_softmax", ""),
    "LDAM": ("ldam", ""),
    "LDAM + DRW": ("ldam | class_weights(effective_number, start=0.8)", ""),
    "label-aware smoothing": ("label_aware_smoothing", ""),
    "auto": ("auto", ""),
}
ADJUSTED, NORMALIZED = "post-hoc: logit adjustment", "post-hoc: tau-normalisation"


def images_of(source: str, image_size: int | None) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], tuple[str, ...]]:
    """Pixels and labels of the splits."""
    data = kerastricks.data.load(source, image_size=image_size, validation=0.01)
    found = {name: (data.splits[name].examples, data.labels(name)) for name in data.splits}
    return {name: (np.asarray(examples.images), labels) for name, (examples, labels) in found.items()}, data.class_names


def long_tailed(labels: np.ndarray, ratio: float, most: int, seed: int) -> np.ndarray:
    """Indices of the exponential subset: most * ratio^(-i / (K - 1)) images of class i; all for ratio 0."""
    generator = np.random.default_rng(seed)
    if not ratio:
        return np.arange(len(labels))
    classes = int(labels.max()) + 1
    counts = [int(most * ratio ** (-label / (classes - 1))) for label in range(classes)]
    parts = [generator.permutation(np.flatnonzero(labels == label))[:count] for label, count in enumerate(counts)]
    return np.sort(np.concatenate(parts))


def source_of(pixels, names, ratio: float, most: int, seed: int) -> Source:
    def arrays(images, labels, chosen):
        return Arrays(PixelStore.holding(images[chosen]), labels[chosen].astype("int32"))

    images, labels = pixels["train"]
    if ratio:  # all there are: validation is taken from the test split
        images, labels = (np.concatenate(both) for both in zip(pixels["train"], pixels["validation"], strict=True))
    train = arrays(images, labels, long_tailed(labels, ratio, most, seed))
    if ratio:
        images, labels = pixels["test"]
        order = np.random.default_rng(0).permutation(len(labels))
        cut = len(labels) // 10
        validation, test = (arrays(images, labels, part) for part in (order[:cut], order[cut : 5 * cut]))
    else:
        validation, test = (arrays(*pixels[name], slice(None)) for name in ("validation", "test"))
    return Source("benchmark", names, {"train": train, "validation": validation, "test": test})


def scores(name: str, log_probabilities: np.ndarray, labels: np.ndarray, counts: np.ndarray, seconds: float) -> dict:
    predicted, classes = log_probabilities.argmax(axis=1), len(counts)
    recall = np.array([(predicted[labels == label] == label).mean() for label in range(classes)])
    order = np.argsort(-counts, kind="stable")
    third = max(classes // 3, 1)
    return {
        "row": name,
        "balanced": class_score("balanced_accuracy", labels, predicted, classes),
        "macro_f1": class_score("macro_f1", labels, predicted, classes),
        "accuracy": float((predicted == labels).mean()),
        "largest": float(recall[order[:third]].mean()),
        "smallest": float(recall[order[-third:]].mean()),
        "seconds": round(seconds, 2),
    }


def measure(name: str, source: Source, arguments, seed: int) -> list[dict]:
    """The scores of a row; of the plain one with those of its post-hoc remedies."""
    imbalance, more = ROWS[name]
    augment = " | ".join(part for part in (arguments.augment, more) if part)
    data = kerastricks.data.load(source, augment=augment, batch_size=arguments.batch_size, seed=seed)
    config = Config(epochs=arguments.epochs, imbalance=imbalance, seed=seed, early_stopping_epochs=None)
    config = config.replace(label_smoothing=arguments.label_smoothing)
    if imbalance == "auto":
        from kerastricks.training.resolved_config import resolve

        config = resolve(config, data)
    keras.utils.set_random_seed(seed)
    scale = 30.0 if "ldam" in config.imbalance else None
    made = (data.image_shape, len(data.class_names))
    model = kerastricks.models.create(arguments.model, *made, mean=data.mean, std=data.std, cosine_scale=scale)
    kerastricks.initializers.start_from_data(model, data.sample())
    started = time.perf_counter()
    fit(model, data, config, progress_line=False)
    seconds = time.perf_counter() - started
    counts = np.array(data.class_counts()["train"])
    test, labels = np.log(model.predict(data.test, verbose=0) + 1e-30), data.labels("test")
    found = [scores(name, test, labels, counts, seconds)]
    if name != PLAIN:
        return found
    found.append(scores(ADJUSTED, adjust_logits(test, counts), labels, counts, seconds))
    head = model.get_layer("logits")
    kernel, bias = (weight.copy() for weight in head.get_weights())
    best, validation = (-1.0, None), data.labels("validation")
    for tau in np.arange(0, 1.51, 0.25):
        head.set_weights([tau_normalize(kernel, tau).astype("float32"), 0 * bias])
        guess = model.predict(data.validation, verbose=0).argmax(axis=1)
        score = class_score("balanced_accuracy", validation, guess, len(counts))
        if score > best[0]:
            best = (score, head.get_weights())
    head.set_weights(best[1])
    normalized = np.log(model.predict(data.test, verbose=0) + 1e-30)
    return [*found, scores(NORMALIZED, normalized, labels, counts, seconds)]


def show(figures: list[dict], ratio: float) -> None:
    chosen = [one for one in figures if one["ratio"] == ratio]
    plain = {one["seed"]: one for one in chosen if one["row"] == PLAIN}
    print(
        f"\nratio {ratio:g}: balanced accuracy on test, mean ± standard deviation over seeds, paired differences (95 %)"
    )
    print(f"{'':36}{'seeds':>6}{'balanced':>16}{'difference':>26}{'largest':>9}{'smallest':>9}{'time':>7}")
    for name in (PLAIN, ADJUSTED, NORMALIZED, *list(ROWS)[1:]):
        mine = {one["seed"]: one for one in chosen if one["row"] == name}
        seeds = sorted(set(mine) & set(plain))
        if not seeds:
            continue
        values = [100 * mine[seed]["balanced"] for seed in seeds]
        base = [100 * plain[seed]["balanced"] for seed in seeds]
        spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
        difference = ""
        if name != PLAIN:
            pair = paired_difference(base, values)
            bounds = f" ({pair.low:+.2f} to {pair.high:+.2f})" if pair.low is not None else ""
            difference = f"{pair.mean:+.2f}{bounds}"
        parts = (100 * statistics.mean(mine[seed][part] for seed in seeds) for part in ("largest", "smallest"))
        times = statistics.median(mine[seed]["seconds"] / plain[seed]["seconds"] for seed in seeds)
        print(
            f"{name:36}{len(seeds):6}{statistics.mean(values):9.2f}{spread:7}{difference:>26}"
            + "".join(f"{part:9.1f}" for part in parts)
            + f"{times:7.2f}"
        )


def show_throughput(source: Source, arguments) -> None:
    """Images a second of training batches, samplers in turn with the plain order; medians of seven."""
    data = kerastricks.data.load(source, augment=arguments.augment, batch_size=arguments.batch_size, stages="host")
    specs = ("", "upsample", "progressive_sampling", "class_aware_batches", "class_aware_batches(start=0.5)")
    made = {spec: iter(data.balanced(spec, 10).train_from(0)) for spec in specs}
    rates: dict[str, list[float]] = {spec: [] for spec in specs}
    for turn in range(8):
        for spec, batches in made.items():
            started = time.perf_counter()
            for _ in range(300):
                next(batches)
            if turn:  # the first one traces
                rates[spec].append(300 * arguments.batch_size / (time.perf_counter() - started))
    for spec, found in rates.items():
        ratio = statistics.median(one / plain for one, plain in zip(found, rates[""], strict=True))
        print(f"{spec or 'plain order':36}{statistics.median(found):12,.0f} images/s{ratio:8.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="with a balanced training split, or any for --ratios 0")
    parser.add_argument("--ratios", type=float, nargs="+", default=[100.0])
    parser.add_argument("--most", type=int, default=5000, help="images of the largest class")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=[name for name in ROWS if name != "auto"])
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--model", default="plain_cnn(widths=(32, 64, 128))")
    parser.add_argument("--augment", default="flip | pad_crop(2)")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--label-smoothing", type=float, default=Config().label_smoothing)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--json", type=Path, help="a line for each figure; what it has is not repeated")
    parser.add_argument("--throughput", action="store_true", help="of the samplers, instead of trainings")
    arguments = parser.parse_args()
    if arguments.throughput:
        return show_throughput(
            source_of(*images_of(arguments.data, arguments.image_size), 100, arguments.most, 0), arguments
        )
    if arguments.json is None:
        parser.error("--json is missing: where the figures go")
    figures = [json.loads(line) for line in arguments.json.read_text().splitlines()] if arguments.json.exists() else []
    pixels, names = images_of(arguments.data, arguments.image_size)
    for seed in range(arguments.seeds):
        for ratio in arguments.ratios:
            source = source_of(pixels, names, ratio, arguments.most, seed)
            for name in arguments.rows:
                if any((one["row"], one["ratio"], one["seed"]) == (name, ratio, seed) for one in figures):
                    continue
                for one in measure(name, source, arguments, seed):
                    figures.append({"ratio": ratio, "seed": seed, **one})
                    with arguments.json.open("a") as file:
                        file.write(json.dumps(figures[-1]) + "\n")
                keras.backend.clear_session()
    for ratio in arguments.ratios:
        show(figures, ratio)


if __name__ == "__main__":
    main()
