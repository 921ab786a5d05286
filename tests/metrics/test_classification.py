"""Scores against their definitions in NumPy."""

import json

import numpy as np
import pytest
from sklearn import metrics

from kerastricks.metrics.classification import confusion_matrix, images_by_class, scores
from kerastricks.runs import Summary
from kerastricks.runs.card import card

pytestmark = pytest.mark.tensorflow_only


def test_scores_are_those_of_the_definitions():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 200)
    probabilities = generator.dirichlet([1, 1, 1], 200).astype("float32")
    found = scores(labels, probabilities, ["a", "b", "c"])
    predicted = probabilities.argmax(axis=1)
    recall = [np.mean(predicted[labels == k] == k) for k in range(3)]
    assert found["accuracy"] == pytest.approx(np.mean(predicted == labels))
    assert found["balanced_accuracy"] == pytest.approx(np.mean(recall))
    assert found["log_loss"] == pytest.approx(-np.mean(np.log(probabilities[np.arange(200), labels])), rel=1e-5)
    assert list(found["recall"].values()) == pytest.approx(recall)
    assert np.array(found["confusion_matrix"])[1, 2] == np.sum((labels == 1) & (predicted == 2))


def test_a_class_without_images_does_not_count():
    found = scores(np.array([0, 0, 1]), np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.1, 0.9, 0]]), ["a", "b", "c"])
    assert found["recall"] == {"a": 0.5, "b": 1.0, "c": None}
    assert found["balanced_accuracy"] == 0.75
    assert found["macro_f1"] == pytest.approx((2 / 3 + 2 / 3) / 2)  # of a and b; c is left out


def test_a_prediction_of_a_class_without_images_is_still_a_mistake():
    found = scores(np.array([0, 0, 1]), np.array([[0.9, 0.1, 0], [0, 0, 1.0], [0.1, 0.9, 0]]), ["a", "b", "c"])
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)


@pytest.mark.parametrize("classes", [2, 100, 101, 250])
def test_scores_and_the_confusion_matrix_are_those_of_scikit_learn(classes):
    generator = np.random.default_rng(classes)
    labels = generator.integers(0, classes, 500)
    probabilities = generator.dirichlet(np.full(classes, 0.2), 500).astype("float32")
    probabilities[0] = np.eye(classes, dtype="float32")[(labels[0] + 1) % classes]  # impossible: clipped
    found = json.loads(json.dumps(scores(labels, probabilities, [f"c{number}" for number in range(classes)])))
    exact = probabilities.astype("float64")
    exact /= exact.sum(axis=1, keepdims=True)
    assert found["log_loss"] == pytest.approx(metrics.log_loss(labels, exact, labels=range(classes)), rel=1e-12)
    expected = metrics.confusion_matrix(labels, probabilities.argmax(axis=1), labels=range(classes))
    np.testing.assert_array_equal(confusion_matrix(found), expected)
    assert images_by_class(found) == expected.sum(axis=1).tolist()
    f1 = metrics.f1_score(labels, probabilities.argmax(axis=1), labels=np.unique(labels), average="macro")
    assert found["macro_f1"] == pytest.approx(f1, rel=1e-12)
    assert isinstance(found["confusion_matrix"], list) == (classes <= 100)


def test_a_summary_grows_with_the_classes_and_not_with_their_square():
    def size(classes):
        labels = np.arange(2000) % classes
        predicted = np.eye(classes, dtype="float32")[(labels * 7 + 1) % classes]
        found = scores(labels, predicted, [str(number) for number in range(classes)])
        return len(json.dumps(found, indent=2))

    assert size(2000) < 250_000
    assert size(2000) < 3 * size(1000)


def test_the_card_of_a_run_is_equal_for_both_forms_of_the_matrix():
    matrix = [[1, 2], [0, 4]]
    sparse = {"shape": [2, 2], "rows": [0, 0, 1], "columns": [0, 1, 1], "counts": [1, 2, 4]}
    summary = {
        "model": "m", "parameters": 1, "class_names": ["a", "b"], "training_seconds": 1, "device": "CPU", "images": 7,
        "data": {"image_shape": [8, 8, 3], "images": {"train": 9}, "name": "d", "skipped": 0, "fingerprint": "f"},
        "accuracy": 5 / 7, "balanced_accuracy": 2 / 3, "log_loss": 1.0, "epochs": 1, "versions": {},
        "recall": {"a": 1 / 3, "b": 1.0}, "confusion_matrix": matrix, "saved_model": "1",
    }  # fmt: skip
    shown = card("run", Summary.from_json(summary), {"seed": 0})
    assert "macro F1" not in shown  # an early version did not write it
    counted = {**summary, "macro_f1": 0.6, "shots": {"many": 1.0, "medium": None, "few": 1 / 3}}
    counted["data"] = {**summary["data"], "class_counts": {"train": [8, 800]}}
    assert Summary.from_json(counted).to_json() == counted
    longer = card("run", Summary.from_json(counted), {"seed": 0})
    assert "macro F1 60.00%" in longer
    assert "many-shot 100.00% (1 class of over 100 training images), few-shot 33.33% (1 class of below 20" in longer
    assert "| a | 8 | 3 | 33.3% |\n| b | 800 | 4 | 100.0% |" in longer
    assert "| a | 3 | 33.3% |\n| b | 4 | 100.0% |" in shown
    assert card("run", Summary.from_json({**summary, "confusion_matrix": sparse}), {"seed": 0}) == shown
    np.testing.assert_array_equal(confusion_matrix({"confusion_matrix": sparse}), matrix)
