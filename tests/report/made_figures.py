"""Figures of runs that no training has made."""

import numpy as np

from kerastricks.charts.thumbnails import thumbnail
from kerastricks.doctor import Finding
from kerastricks.metrics import calibration_curve, scores
from kerastricks.report.figures import Picture, RunFigures


def made_finding(code="overfitting", **fields):
    known = {"evidence": "validation loss rises from epoch 4 on", "advice": "stop at epoch 4", "span": (4.0, 8.0)}
    return Finding(**{"code": code, "confidence": 0.8, **known, **fields})


def made_epochs(count=8, start=2.0):
    return [
        {
            "epoch": epoch,
            "step": 20 * epoch,
            "loss": start / epoch,
            "accuracy": 1 - 0.5 / epoch,
            "val_loss": 1.1 * start / epoch + 0.02 * epoch,
            "val_accuracy": 0.95 - 0.4 / epoch,
            "learning_rate": 0.1 * 0.5**epoch,
        }
        for epoch in range(1, count + 1)
    ]


def made_run(name="run", classes=4, seed=0, images=400, names=None, **fields):
    draw = np.random.default_rng(seed)
    names = [f"class {index}" for index in range(classes)] if names is None else names
    labels = draw.integers(0, classes, images)
    logits = draw.normal(0, 1, (images, classes)) + 2.5 * np.eye(classes)[labels]
    logits += np.eye(classes)[(labels + 2) % classes]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = scores(labels, probabilities, names)
    wanted = {
        "scores": {one: found[one] for one in ("accuracy", "balanced_accuracy", "log_loss", "images")}
        | {"parameters": 1234, "epochs": 8, "training_seconds": 61.5},
        "confusion_matrix": found["confusion_matrix"],
        "class_names": names,
        "recall": list(found["recall"].values()),
        "epochs": made_epochs(start=2.0 + seed),
        "batch_loss": draw.gamma(4, 0.25, 160).astype("float32"),
        "calibration": calibration_curve(probabilities, labels),
        "mistakes": (made_picture(names[0], names[1], heat=True), made_picture(names[1], names[0])),
        "doubtful": (made_picture(names[0], names[0]),),
        "config": {"epochs": 8, "learning_rate": 0.1, "seed": seed, "classes": None},
        "facts": {"data": "digits", "versions": "keras 3"},
    }
    return RunFigures(name=name, **{**wanted, **fields})


def made_picture(true, predicted, heat=False, file="a/1.png"):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3))
    shown = thumbnail(pixels, np.eye(4)) if heat else None
    return Picture(file, true, predicted, 0.9, 0.05, thumbnail(pixels), shown)
