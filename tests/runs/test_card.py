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
