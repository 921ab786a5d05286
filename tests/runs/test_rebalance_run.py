"""Rebalancing a finished run: the folded head, the choice on validation, the run folder, and what is refused."""

import importlib
import json

import keras
import numpy as np
import pytest
from made_runs import SUMMARY, classifier, nearest_mean, without_export
from scipy.special import log_softmax, softmax

from kerastricks.cli import run as command
from kerastricks.errors import EnsembleError, RunFolderError, UnknownNameError, UsageError
from kerastricks.imbalance import adjust_logits, tau_normalize
from kerastricks.imbalance.post_hoc_choice import TriedRemedy
from kerastricks.keras_graph import last_dense
from kerastricks.metrics import Estimate, scores
from kerastricks.runs import RunRecord, Summary, rebalance
from kerastricks.runs.card import card
from kerastricks.runs.evaluation import evaluate
from kerastricks.runs.folder import RunFolder
from kerastricks.runs.rebalance_comparison import balanced_rows
from kerastricks.runs.rebalance_head import ClassifierHead, NewHead, check_offsets
from kerastricks.training import Config
from kerastricks.training.datasets import load_data

pytestmark = pytest.mark.tensorflow_only
module = importlib.import_module("kerastricks.runs.rebalance_run")
NOTHING = Estimate(0.0, 0.0, 0.0, 0.0)
SHARES = 0.6 ** np.arange(10)


def remedy(method, tau=None, offsets=None):
    return TriedRemedy(method, tau, None, offsets, 0.0, 0.0, NOTHING, np.zeros(1))


def imbalanced(data):
    """Digits of which each has 0.6 times as many training images as the one before."""
    labels = data.labels("train")
    kept = [np.flatnonzero(labels == k)[: max(1, int(120 * share))] for k, share in enumerate(SHARES)]
    return data.taken(np.sort(np.concatenate(kept)))


def write_biased_run(folder, images, **changes):
    """A finished run whose network has the prior of its training images in its bias, and more."""
    model = nearest_mean(images, 0)
    layer = model.get_layer("logits")
    kernel, bias = layer.get_weights()
    counts = np.array(images.class_counts()["train"])
    layer.set_weights([0.1 * kernel, 0.1 * bias + 1.5 * np.log(counts / counts.sum())])
    folder.mkdir(parents=True)
    run = RunFolder(folder)
    model.save(run.model)
    config = Config(data="digits", split_seed=0)
    run.write(run.config, {"config": config.as_dict(), "resolved": True, "data": images.describe()})
    given = {**SUMMARY, "class_names": list(images.class_names), "data": images.describe(), "training_seconds": 3.0}
    run.write(run.summary, {**given, **changes})
    return run


@pytest.fixture(scope="module")
def data():
    return imbalanced(load_data("digits", Config(data="digits", split_seed=0)))


@pytest.fixture(autouse=True)
def digits_are_imbalanced(monkeypatch, data):
    monkeypatch.setattr("kerastricks.runs.rebalance_comparison.load_data", lambda source, config, progress: data)


@pytest.fixture
def run(tmp_path, data):
    return write_biased_run(tmp_path / "biased", data)


@pytest.fixture
def unfinished(monkeypatch):
    return without_export(monkeypatch, module)


def quiet(line):
    pass


def test_images_are_read_as_they_are_whatever_the_training_sampled(run, unfinished, monkeypatch, data, tmp_path):
    record = json.loads(run.config.read_text())
    record["config"] |= {"imbalance": "downsample(ratio=2)", "bagging": True, "augment": "flip"}
    run.write(run.config, record)
    read = []
    where = "kerastricks.runs.rebalance_comparison.load_data"
    monkeypatch.setattr(where, lambda source, config, progress: read.append(config) or data)
    rebalance(run.path, method="logit_adjustment", out=tmp_path / "out", say=quiet)
    assert [(one.imbalance, one.bagging, one.augment) for one in read] == [("", False, "")]


def test_it_leaves_a_run_folder_like_train_and_the_run_as_it_was(run, tmp_path, data, capsys):
    before = {path.name: path.read_bytes() for path in run.path.iterdir()}
    assert command(["rebalance", str(run.path), "--method", "logit_adjustment", "--out", str(tmp_path / "out")]) == 0
    assert before == {path.name: path.read_bytes() for path in run.path.iterdir()}
    made = tmp_path / "out" / "biased-rebalanced-1"
    assert {"card.md", "report.html", "model.keras", "summary.json", "config.json", "1"} <= {
        path.name for path in made.iterdir()
    }
    record = RunRecord.open(made)
    report, summary = record.summary.rebalancing, record.summary
    assert (report.asked, report.method, report.metric) == ("logit_adjustment", "logit_adjustment", "balanced_accuracy")
    assert (report.run, summary.training_seconds) == (str(run.path.resolve()), 3.0)
    assert report.test_after.balanced_accuracy > report.test_before.balanced_accuracy + 0.1
    assert (summary.accuracy, summary.recall) == (report.test_after.accuracy, report.test_after.recall)
    assert summary.log_loss == pytest.approx(report.test_after.log_loss, rel=1e-4)
    assert report.test_before.accuracy == evaluate(run, "digits").accuracy
    config = json.loads((made / "config.json").read_text())
    assert config["rebalancing"]["run"] == str(run.path.resolve())
    text = card("made", summary, config["config"])
    assert "method **logit_adjustment**: as asked" in text
    assert "| 9 | 1 |" in text
    # Exactly the adjusted outputs, by the layers that were there.
    images = next(iter(data.test))[0].numpy()
    old, new = (keras.models.load_model(path / "model.keras") for path in (run.path, made))
    expected = adjust_logits(np.log(old.predict_on_batch(images)), list(report.training_images.values()), report.tau)
    np.testing.assert_allclose(new.predict_on_batch(images), softmax(expected, axis=1), atol=1e-5)
    assert [type(layer) for layer in new.layers] == [type(layer) for layer in old.layers]
    shown = capsys.readouterr().out
    assert f"balanced accuracy {report.test_before.balanced_accuracy:.2%} -> {summary.balanced_accuracy:.2%}" in shown
    assert "recall of the 2 largest class(es), half of the training images" in shown
    with pytest.raises(RunFolderError, match="is rebalanced already: give the run that it was made of"):
        rebalance(record, out=tmp_path / "out")


def test_every_method_is_compared_and_one_is_taken(run, tmp_path, unfinished):
    said = []
    found = rebalance(run.path, out=tmp_path / "out", say=said.append)
    report = found.report
    assert not found.unchanged
    methods = ["unchanged", "logit_adjustment", "tau_norm", "retrain", "thresholds"]
    assert [one.method for one in report.candidates] == methods
    assert max(one.cross_fitted for one in report.candidates) > report.candidates[0].cross_fitted + 0.1
    assert report.validation_after.balanced_accuracy == next(
        one.validation for one in report.candidates if one.method == report.method
    )
    record = {**SUMMARY, "rebalancing": report.to_json()}
    assert json.loads(json.dumps(Summary.from_json(record).to_json())) == json.loads(json.dumps(record))
    assert any(line.startswith(f"{report.method}") for line in said)


@pytest.mark.parametrize("method", ["retrain", "thresholds"])
def test_scores_of_the_report_are_those_of_the_model(run, tmp_path, data, unfinished, method):
    report = rebalance(run.path, method=method, metric="macro_f1", out=tmp_path / "out", say=quiet).report
    assert report.method in (method, "logit_adjustment")
    predicted = unfinished["model"].predict(data.test, verbose=0)
    found = scores(data.labels("test"), predicted, data.class_names)
    assert found["recall"] == report.test_after.recall
    assert found["log_loss"] == pytest.approx(report.test_after.log_loss, rel=1e-2)


def test_test_images_have_no_part_in_the_choice(run, tmp_path, data, unfinished, monkeypatch):
    spoiled = data.taken(np.arange(len(data.labels("test"))), "test")
    object.__setattr__(spoiled.splits["test"].examples, "labels", (data.labels("test") + 1) % 10)
    found = []
    for images in (data, spoiled):
        monkeypatch.setattr("kerastricks.runs.rebalance_comparison.load_data", lambda *given, images=images: images)
        found.append(rebalance(run.path, method="thresholds", out=tmp_path / "out", say=quiet).report)
    assert found[0].test_after != found[1].test_after
    assert found[0].candidates == found[1].candidates
    assert (found[0].method, found[0].offsets) == (found[1].method, found[1].offsets)


def test_where_nothing_gains_no_folder_is_written(run, tmp_path, data):
    model = keras.models.load_model(run.model)
    kernel, bias = model.get_layer("logits").get_weights()
    counts = np.array(data.class_counts()["train"])
    model.get_layer("logits").set_weights([kernel, bias - 3.5 * np.log(counts)])  # the rare classes are overestimated
    model.save(run.model)
    said = []
    found = rebalance(run.path, method="logit_adjustment", out=tmp_path / "out", say=said.append)
    assert found.unchanged
    assert found.run.path == run.path
    assert found.report.test_after == found.report.test_before
    assert list((tmp_path / "out").iterdir()) == []
    assert "gains no balanced accuracy on validation images that did not choose it" in said[-1]
    assert "no run folder is written" in said[-1]


def test_classes_with_few_validation_images_are_named(run, tmp_path, data, unfinished, monkeypatch):
    labels = data.labels("validation")
    kept = np.sort(np.concatenate([np.flatnonzero(labels != 9), np.flatnonzero(labels == 9)[:2]]))
    fewer = data.taken(kept, "validation")
    monkeypatch.setattr("kerastricks.runs.rebalance_comparison.load_data", lambda *given: fewer)
    said = []
    found = rebalance(run.path, method="logit_adjustment", out=tmp_path / "out", say=said.append)
    assert found.report.few_validation_images == {"9": 2}
    assert "fewer than 5 validation images: 9 (2): what they choose is uncertain" in said


def test_it_leaves_nothing_where_it_is_stopped(run, tmp_path, monkeypatch):
    def stop(*arguments, **reports):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "finish", stop)
    with pytest.raises(KeyboardInterrupt):
        rebalance(run.path, method="logit_adjustment", out=tmp_path / "out", say=quiet)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"ensemble": "members"}, EnsembleError, "is an ensemble, whose members' outputs are combined: rebalance"),
        ({"counts": [5] * 9 + [0]}, RunFolderError, "has no training image of class '9'.*train without it"),
        ({"counts": [5] * 10}, UsageError, "each class has 5 training images, and logit adjustment changes nothing"),
        ({"counts": None}, RunFolderError, "does not say how many training images each class has"),
        ({"fingerprint": "0"}, RunFolderError, "was trained on digits, fingerprint 0.*give --data"),
    ],
)
def test_runs_that_cannot_be_rebalanced_are_refused(tmp_path, data, changes, error, message):
    described = data.describe()
    if "counts" in changes:
        described["class_counts"] = changes["counts"] and {"train": changes["counts"]}
    described["fingerprint"] = changes.get("fingerprint", described["fingerprint"])
    run = write_biased_run(tmp_path / "run", data, data=described)
    record = RunRecord.open(run)
    if "ensemble" in changes:
        object.__setattr__(record.summary, "ensemble", object())
    with pytest.raises(error, match=message):
        rebalance(record, method="logit_adjustment", out=tmp_path / "out", say=quiet)


def test_unknown_methods_and_metrics_are_refused_before_anything_is_read(tmp_path):
    with pytest.raises(UnknownNameError, match="no method is called 'tau': did you mean auto, tau_norm"):
        rebalance(tmp_path / "nothing", method="tau")
    with pytest.raises(UnknownNameError, match="no metric is called 'f1': "):
        rebalance(tmp_path / "nothing", metric="f1")


FEATURES = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
KERNEL, BIAS = np.random.default_rng(1).normal(size=(4, 3)), np.array([0.5, -1.0, 0.0])


def heads():
    """Networks that are a head only: softmax after, inside, in a model inside, logits, without a bias."""
    layers = keras.layers
    yield [layers.Dense(3), layers.Softmax()]
    yield [layers.Dense(3, activation="softmax")]
    yield [keras.Sequential([keras.Input((4,)), layers.Dense(3)]), layers.Softmax()]
    yield [layers.Dense(3), layers.Activation("linear")]
    yield [layers.Dense(3, use_bias=False), layers.Softmax()]


@pytest.mark.parametrize("layers", heads(), ids=["after", "inside", "nested", "logits", "no bias"])
def test_folded_weights_give_exactly_the_adjusted_outputs(layers):
    model = keras.Sequential([keras.Input((4,)), *layers])
    dense = last_dense(model)
    bias = BIAS if dense.use_bias else np.zeros(3)
    dense.set_weights([KERNEL, bias] if dense.use_bias else [KERNEL])
    logits = FEATURES @ KERNEL + bias
    head = ClassifierHead.of(model, "net")
    offsets = -1.5 * np.log([0.7, 0.2, 0.1])
    for chosen, expected in (
        (remedy("logit_adjustment", 1.5, offsets), adjust_logits(logits, [70, 20, 10], 1.5)),
        (remedy("tau_norm", 0.8), FEATURES @ tau_normalize(KERNEL, 0.8)),
    ):
        made = NewHead.of(head, chosen).model(head)
        found = np.asarray(made(FEATURES))
        if layers[-1].__class__.__name__ == "Activation":
            found = softmax(found, axis=1)
        np.testing.assert_allclose(np.log(found), log_softmax(expected, axis=1), atol=1e-4)
        assert len(made.weights) == 2
        assert not any(weight is made.weights[0] for weight in model.weights)


def test_a_head_that_is_no_dense_layer_gets_its_offsets_after_the_logits():
    inputs = keras.Input((4,))
    x = keras.layers.Reshape((2, 2, 1))(inputs)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(3, 1)(x))
    model = keras.Model(inputs, keras.layers.Softmax()(x))
    head = ClassifierHead.of(model, "net")
    assert head.dense is None
    offsets = np.array([0.0, 1.0, -1.0])
    made = NewHead.of(head, remedy("thresholds", 0.5, offsets)).model(head)
    expected = log_softmax(np.log(np.asarray(model(FEATURES))) + offsets, axis=1)
    np.testing.assert_allclose(np.log(np.asarray(made(FEATURES))), expected, atol=1e-5)
    with pytest.raises(RunFolderError, match="its last layer gives probabilities"):
        check_offsets(
            ClassifierHead(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")]), "n", None)
        )


def test_outputs_that_are_not_finite_are_named(run, tmp_path):
    model = classifier(0)
    model.set_weights([weight * np.nan for weight in model.get_weights()])
    model.save(run.model)
    with pytest.raises(RunFolderError, match="gives outputs that are not finite"):
        rebalance(run.path, out=tmp_path / "out", say=quiet)


def test_rows_are_taken_from_large_classes_first():
    labels = np.repeat([0, 1, 2], [50, 20, 3])
    rows = balanced_rows(labels, 23)
    assert np.bincount(labels[rows]).tolist() == [10, 10, 3]
    assert len(balanced_rows(labels, 100)) == 73
    assert np.bincount(labels[balanced_rows(labels, 1)]).tolist() == [1, 1, 1]
