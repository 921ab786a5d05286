"""The card of a run: names of any characters do not break its tables."""

import pytest

from kerastricks.runs import Summary
from kerastricks.runs.card import card

pytestmark = pytest.mark.tensorflow_only


def test_names_are_shown_as_they_are():
    classes = ["a|b", "two\nlines", "bills_$5_$", "<b>*x*", "caf\u00e9", "\udcff"]
    summary = Summary.from_json({
        "accuracy": 0.5, "balanced_accuracy": 0.5, "log_loss": 1.0, "images": 6, "parameters": 10, "epochs": 1,
        "recall": dict.fromkeys(classes, 0.5), "confusion_matrix": [[1] * 6] * 6, "class_names": classes,
        "data": {
            "name": "d|$", "image_shape": (8, 8, 3), "images": {"train": 5}, "skipped": 0, "fingerprint": "0",
        },
        "training_seconds": 1.0, "device": "CPU", "model": "net", "versions": {}, "saved_model": "1",
    })  # fmt: skip
    text = card("bills_$5_$ [x]", summary, {"seed": 0, "augment": "flip | pad_crop(4)"})
    text.encode()
    assert text.splitlines()[0] == r"# bills\_\$5\_\$ \[x\]"
    rows = text[text.index("| class |") :].split("\n\n")[0].splitlines()
    assert len(rows) == 2 + len(classes)
    assert rows[2].startswith(r"| a\|b |")
    assert rows[3].startswith("| two lines |")
    assert r"| `augment` | `flip \| pad_crop(4)` |" in text


def test_a_fine_tuning_in_two_parts_says_its_classes_and_balanced_accuracies():
    stage = {
        "name": "rare classes", "epochs": 2, "seconds": 1.0, "parameters": 9, "validation_accuracy": 0.5,
        "best_epoch": 1, "validation_balanced_accuracy": 0.625,
    }  # fmt: skip
    plan = {
        "plan": "two_stage", "given": True, "table": "last", "data": "much", "domain": "similar", "reasons": [],
        "would_change": [],
    }  # fmt: skip
    level = {
        "layer": "pool", "features": 4, "probe_accuracy": [0.5, 0.4, 0.6], "probe_log_loss": 1.0,
        "centroid_accuracy": [0.5, 0.4, 0.6], "logme": None,
    }  # fmt: skip
    measurement = {
        "images_per_class": {"a": 9, "b": 2}, "images_used": {"train": 11}, "levels": [level], "pixels": level,
        "error_share": 0.1, "log_loss_share": 0.1, "seconds": 1.0,
    }  # fmt: skip
    finetuning = {
        "backbone": "net", "weights": "random", "plan": plan, "measurement": measurement, "stages": [stage],
        "kept": "two_stage", "validation_accuracy": 0.5, "linear_probe_validation_accuracy": 0.5,
        "fell_back_to_linear_probe": False, "compared": {}, "budget_seconds": None, "tried": [], "verdicts": {},
        "seconds": 2.0, "validation_balanced_accuracy": 0.625, "linear_probe_validation_balanced_accuracy": 0.25,
        "parts": {"well_filled": ["a|1"], "rare": ["b"]},
    }  # fmt: skip
    summary = Summary.from_json({
        "accuracy": 0.5, "balanced_accuracy": 0.5, "log_loss": 1.0, "images": 6, "parameters": 10, "epochs": 1,
        "recall": {"a|1": 0.5, "b": 0.5}, "confusion_matrix": [[1, 2], [2, 1]], "class_names": ["a|1", "b"],
        "data": {"name": "d", "image_shape": (8, 8, 3), "images": {"train": 5}, "skipped": 0, "fingerprint": "0"},
        "training_seconds": 1.0, "device": "CPU", "model": "net", "versions": {}, "saved_model": "1",
        "finetuning": finetuning,
    })  # fmt: skip
    assert summary.to_json()["finetuning"] == finetuning
    text = card("run", summary, {"seed": 0})
    assert "| rare classes | 9 | 2 | 1 | 50.0% | 62.5% |" in text
    assert "compared by balanced accuracy: 62.5% was kept, the linear probe has 25.0%." in text
    assert r"Well-filled classes: a\|1." in text
    assert "Rare classes: b." in text
