import importlib
import json

import keras
import numpy as np
import pytest
from made_runs import classifier, nearest_mean, without_export, write_run, write_run_with_a_layer_of_its_recipe

from kerastricks.ensemble import EnsembleSettings, Member, build_ensemble, convex_weights, greedy_selection
from kerastricks.errors import EnsembleError, RunFolderError
from kerastricks.progress import silent
from kerastricks.runs.ensemble_data import member_predictions
from kerastricks.runs.ensemble_run import make_ensemble
from kerastricks.runs.evaluation import evaluate
from kerastricks.serving.served_model import ServedModel
from kerastricks.training import Config
from kerastricks.training.datasets import load_data

pytestmark = pytest.mark.tensorflow_only
module = importlib.import_module("kerastricks.runs.ensemble_run")


@pytest.fixture(autouse=True)
def timed_once(monkeypatch):
    """What a model costs has tests of its own: its rounds are half of an ensemble of networks as small as these."""
    monkeypatch.setattr("kerastricks.ensemble.cost._ROUNDS", 1)
    monkeypatch.setattr("kerastricks.ensemble.cost._ONCE_S", 0.0)


@pytest.fixture(scope="module")
def data():
    return load_data("digits", Config(data="digits", split_seed=0))


@pytest.fixture
def runs(tmp_path, data):
    """Three linear networks that err on different digits."""
    return [write_run(tmp_path / f"r{seed}", nearest_mean(data, seed, noise=0.6), data, seed).path for seed in range(3)]


@pytest.fixture
def unfinished(monkeypatch):
    monkeypatch.setattr("kerastricks.runs.members.check_export", lambda *given: None)
    return without_export(monkeypatch, module)


@pytest.mark.reports
def test_it_leaves_a_run_folder_like_train(runs, tmp_path, data):
    said = []
    record = make_ensemble(runs, EnsembleSettings("mean"), out=tmp_path / "out", say=said.append)
    run = record.folder
    assert run.path.name == "ensemble-mean-digits-1"
    report = record.summary.ensemble
    test = report.combined.test
    assert test.log_loss == pytest.approx(record.summary.log_loss, rel=1e-4)
    assert test.log_loss < min(member.test.log_loss for member in report.members)
    assert record.summary.training_seconds == 9.0
    assert {"card.md", "report.html", "ensemble.png", "model.keras", "summary.json", "config.json", "1"} <= {
        path.name for path in run.path.iterdir()
    }
    assert "method **mean**" in run.card.read_text()
    page = (run.path / "report.html").read_text()
    assert "mean of 3 members" in page
    assert "Without Grad-CAM" in page
    assert 'id="curves"' not in page
    model = keras.models.load_model(run.model)
    images = next(iter(data.test))[0].numpy()
    members = [keras.models.load_model(path / "model.keras").predict_on_batch(images) for path in runs]
    np.testing.assert_allclose(model.predict_on_batch(images), np.mean(members, axis=0), atol=1e-6)
    assert evaluate(run, "digits").accuracy == pytest.approx(record.summary.accuracy)
    assert ServedModel(run.path).class_names == data.class_names


# What geometric, vote and greedy make is held by test_a_named_method_does_what_its_name_says.
@pytest.mark.parametrize(
    "method",
    [
        *("auto", "weighted", "stack", "greedy_soup", "fuse"),
        *(pytest.param(method, marks=pytest.mark.slow) for method in ("geometric", "vote", "greedy")),
    ],
)
def test_every_method_makes_one_model_of_the_same_input(runs, tmp_path, data, unfinished, method):
    record = make_ensemble(runs, EnsembleSettings(method), out=tmp_path / "out", say=lambda line: None)
    report, model = record.summary.ensemble, unfinished["model"]
    assert report.asked == method
    assert model.input_shape == (None, 8, 8, 1)
    images, labels = next(iter(data.test))
    found = model.predict_on_batch(images.numpy())
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-4)
    assert (found.argmax(1) == labels.numpy()).mean() > 0.7
    json.dumps(record.summary.to_json())
    if method not in ("auto", "greedy_soup"):
        assert report.method.startswith(method)


def as_named(method, members, validation, labels):
    """What a method says of members' probabilities (M, N, K), in NumPy, without a temperature."""
    if method == "mean":
        return members.mean(axis=0)
    if method == "geometric":
        product = np.prod(members, axis=0) ** (1 / len(members))
        return product / product.sum(axis=1, keepdims=True)
    if method == "vote":
        votes = np.eye(members.shape[2])[members.argmax(axis=2)].mean(axis=0)
        share = 1 / (len(members) + 1)  # of the mean, which breaks ties
        return (votes + share * members.mean(axis=0)) / (1 + share)
    fit = {"weighted": convex_weights, "greedy": greedy_selection}[method]
    return np.einsum("m,mnk->nk", fit(np.log(validation), labels), members)


def test_a_named_method_does_what_its_name_says(data):
    """These members are far too unsure, as those that were trained with label smoothing: a temperature would help."""
    models = [nearest_mean(data, seed, noise=0.6) for seed in range(3)]
    for model in models:
        model.get_layer("logits").set_weights([0.2 * weight for weight in model.get_layer("logits").get_weights()])

    def said(split):
        images = np.concatenate([batch.numpy() for batch, _ in getattr(data, split)])
        return images, np.stack([model.predict_on_batch(images) for model in models]).astype("float64")

    (images, members), (_, validation) = said("test"), said("validation")
    labels, names = data.labels("validation"), [f"r{seed}" for seed in range(3)]
    ready = [Member(model, name) for model, name in zip(models, names, strict=True)]
    given = member_predictions(ready, data, names, np.log(validation), labels, silent)
    right = np.arange(len(images)), data.labels("test")
    for method in ("mean", "geometric", "vote", "weighted", "greedy"):
        made = build_ensemble(given, EnsembleSettings(method))
        assert [candidate.method for candidate in made.candidates] == ["best", method]
        plain = made.model.predict_on_batch(images)
        np.testing.assert_allclose(plain, as_named(method, members, validation, labels), atol=1e-6)
        scaled = build_ensemble(given, EnsembleSettings(method, temperatures=True)).model.predict_on_batch(images)
        assert np.log(scaled[right]).mean() > np.log(plain[right]).mean() + 0.05


def test_a_soup_is_the_mean_of_the_weights(runs, tmp_path, unfinished):
    make_ensemble(runs, EnsembleSettings("soup"), out=tmp_path / "out", say=lambda line: None)
    members = [keras.models.load_model(path / "model.keras").get_weights() for path in runs]
    for found, *weights in zip(unfinished["model"].get_weights(), *members, strict=True):
        np.testing.assert_allclose(found, np.mean(weights, axis=0), atol=1e-6)


@pytest.mark.parametrize("labels", [[3, 8], [4, 4, 4, 4]], ids=["two images", "one class"])
def test_a_named_method_is_not_refused_for_images_that_are_too_few_to_judge_it(data, labels):
    members = [Member(nearest_mean(data, seed), f"r{seed}") for seed in range(2)]
    rows = np.random.default_rng(0).normal(size=(2, len(labels), 10))
    given = member_predictions(members, data, ["r0", "r1"], rows, np.array(labels), silent)
    for method in ("mean", "geometric", "vote", "weighted", "greedy"):
        made = build_ensemble(given, EnsembleSettings(method))
        assert made.reason == f"{method} was asked for; the validation images are too few to judge it."
        assert made.candidates == ()
    for method in ("stack", "auto"):  # these cannot do without folds
        with pytest.raises(EnsembleError, match="labels must be four or more"):
            build_ensemble(given, EnsembleSettings(method))


@pytest.mark.parametrize("method", ["auto", "stack"])
def test_temperatures_of_what_has_its_own_are_refused(method):
    with pytest.raises(EnsembleError, match=f"temperatures must be False for method='{method}'"):
        EnsembleSettings(method, temperatures=True)


def test_what_is_fitted_is_fitted_without_test_images(runs, tmp_path, unfinished, monkeypatch):
    """Test labels that are all wrong change what is measured, and nothing that is made."""
    found = []

    def spoiled(source, config, progress):
        images = load_data(source, config, progress)
        examples = images.splits["test"].examples
        object.__setattr__(examples, "labels", (examples.labels + 1) % 10)
        return images

    for wrong in (False, True):
        if wrong:
            monkeypatch.setattr("kerastricks.runs.ensemble_data.load_data", spoiled)
        record = make_ensemble(runs, EnsembleSettings("weighted"), out=tmp_path / "out", say=lambda line: None)
        found.append(record.summary.ensemble)
    assert found[0].combined.test != found[1].combined.test
    assert [member.weight for member in found[0].members] == [member.weight for member in found[1].members]


def test_members_of_other_orders_are_aligned_by_name(runs, tmp_path, data, unfinished):
    """The second run has its classes in reverse; without the alignment the mean would be noise."""
    reverse = keras.models.load_model(runs[1] / "model.keras")
    kernel, bias = reverse.get_layer("logits").get_weights()
    reverse.get_layer("logits").set_weights([kernel[:, ::-1], bias[::-1]])
    reverse.save(runs[1] / "model.keras")
    of_run = json.loads((runs[1] / "summary.json").read_text())
    of_run["class_names"] = of_run["class_names"][::-1]
    (runs[1] / "summary.json").write_text(json.dumps(of_run))
    record = make_ensemble(runs, EnsembleSettings("mean"), out=tmp_path / "out", say=lambda line: None)
    accuracies = [member.test.accuracy for member in record.summary.ensemble.members]
    assert min(accuracies) > 0.7
    with pytest.raises(EnsembleError, match="same classes in the same order"):
        make_ensemble(runs, EnsembleSettings("soup"), out=tmp_path / "out", say=lambda line: None)


def test_a_soup_of_unlike_runs_names_them(runs, tmp_path, data, unfinished):
    other = write_run(tmp_path / "normed", classifier(9, norm=True), data)
    with pytest.raises(EnsembleError, match=r"of r0 has shape .* of normed"):
        make_ensemble([runs[0], other.path], EnsembleSettings("soup"), out=tmp_path / "out", say=lambda line: None)


def test_labels_of_the_data_are_put_into_the_members_order(runs, tmp_path, data, unfinished):
    """All members have the classes in reverse, and the data has not: labels as they are would be wrong."""
    for path in runs:
        model = keras.models.load_model(path / "model.keras")
        kernel, bias = model.get_layer("logits").get_weights()
        model.get_layer("logits").set_weights([kernel[:, ::-1], bias[::-1]])
        model.save(path / "model.keras")
        record = json.loads((path / "summary.json").read_text())
        (path / "summary.json").write_text(json.dumps({**record, "class_names": record["class_names"][::-1]}))
    record = make_ensemble(runs, EnsembleSettings("weighted"), out=tmp_path / "out", say=lambda line: None)
    report = record.summary.ensemble
    assert report.combined.test.accuracy > 0.7
    assert min(member.validation.accuracy for member in report.members) > 0.7


def test_features_are_taken_of_members_with_other_classes(runs, tmp_path, data, unfinished):
    """Of two classes, of none of the data's, and one that knows them all: it alone has scores."""
    few, strange = (
        write_run(tmp_path / name, classifier(seed, classes=len(classes)), data)
        for seed, (name, classes) in enumerate({"few": ["3", "8"], "strange": ["cat", "dog", "cow"]}.items())
    )
    for run, classes in ((few, ["3", "8"]), (strange, ["cat", "dog", "cow"])):
        record = json.loads(run.summary.read_text())
        run.summary.write_text(json.dumps({**record, "class_names": classes}))
    paths = [runs[0], few.path, strange.path]
    record = make_ensemble(paths, EnsembleSettings("fuse"), out=tmp_path / "out", say=lambda line: None)
    report = record.summary.ensemble
    assert [member.test is not None for member in report.members] == [True, False, False]
    assert report.best_member == "r0"
    assert report.disagreement is None
    assert report.combined.test.accuracy > 0.7
    assert (record.path / "ensemble.png").is_file()
    record = make_ensemble(
        paths[1:], EnsembleSettings("fuse"), data="digits", out=tmp_path / "out", say=lambda line: None
    )
    assert record.summary.ensemble.gain_over_best is None
    assert record.summary.ensemble.combined.test.accuracy > 0.7
    with pytest.raises(EnsembleError, match="one member at least must know all"):
        make_ensemble(paths, EnsembleSettings("fuse", late=True), out=tmp_path / "out", say=lambda line: None)


def test_a_member_for_any_size_is_refused_with_the_way_out(tmp_path):
    paths = []
    for seed in range(2):
        inputs = keras.Input((None, None, 1))
        outputs = keras.layers.Dense(10)(keras.layers.GlobalAveragePooling2D()(inputs))
        paths.append(tmp_path / f"net{seed}.keras")
        keras.Model(inputs, outputs).save(paths[-1])
    with pytest.raises(EnsembleError, match=r"net0.keras: takes images of any size.*keras.Input\(\(224, 224, 1\)\)"):
        make_ensemble(paths, EnsembleSettings(), data="digits", out=tmp_path / "out", say=lambda line: None)


def test_validation_images_alone_decide(runs, tmp_path, unfinished, data):
    """Of a file it is not known what it was trained on: training images may not decide."""
    files = [path / "model.keras" for path in runs]
    for path in runs:
        (path / "summary.json").unlink()
    record = make_ensemble(files, EnsembleSettings("mean"), data="digits", out=tmp_path / "out", say=lambda line: None)
    chosen = record.summary.ensemble.chosen_on
    assert chosen.images == len(data.labels("validation"))
    assert len(record.summary.ensemble.unknown) == len(runs)


def test_outputs_that_are_no_numbers_are_named(runs, tmp_path, unfinished):
    model = keras.models.load_model(runs[0] / "model.keras")
    model.set_weights([weight * np.nan for weight in model.get_weights()])
    model.save(runs[0] / "model.keras")
    with pytest.raises(EnsembleError, match="no numbers"):
        make_ensemble(runs, EnsembleSettings("mean"), out=tmp_path / "out", say=lambda line: None)


def test_nothing_is_left_where_it_fails_or_is_stopped(runs, tmp_path, monkeypatch):
    def stop(*arguments, **reports):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "finish", stop)
    with pytest.raises(KeyboardInterrupt):
        make_ensemble(runs, EnsembleSettings("mean"), out=tmp_path / "out", say=lambda line: None)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_taken_name_is_refused_before_anything_is_read(tmp_path):
    (tmp_path / "out" / "mine").mkdir(parents=True)
    (tmp_path / "out" / "mine" / "notes.txt").write_text("mine")  # an empty folder would be taken over
    with pytest.raises(RunFolderError, match="exists already"):
        make_ensemble([tmp_path / "nothing"], EnsembleSettings(), out=tmp_path / "out", name="mine")


def test_a_file_needs_data_and_as_many_classes(tmp_path, data):
    paths = []
    for seed in range(2):
        paths.append(tmp_path / f"net{seed}.keras")
        classifier(seed).save(paths[-1])
    with pytest.raises(EnsembleError, match="--data is missing"):
        make_ensemble(paths, EnsembleSettings(), out=tmp_path / "out", say=lambda line: None)
    classifier(2, classes=4).save(paths[1])
    with pytest.raises(EnsembleError, match="tells 4 classes apart and does not name them"):
        make_ensemble(paths, EnsembleSettings(), data="digits", out=tmp_path / "out", say=lambda line: None)


def test_what_the_export_needs_is_tried_before_the_predictions(runs, tmp_path, monkeypatch):
    def refused(members, images, settings, out):
        assert len(members) == len(runs)
        assert out.is_dir()
        raise RunFolderError("no room")

    monkeypatch.setattr(module, "check_combination", refused)
    monkeypatch.setattr(module, "predict_split", lambda *given: pytest.fail("predictions before the check"))
    with pytest.raises(RunFolderError, match="no room"):
        make_ensemble(runs, EnsembleSettings("mean"), out=tmp_path / "out", say=lambda line: None)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_place_that_cannot_be_written_to_is_refused_before_anything_is_read(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(RunFolderError, match="is a file, no folder"):
        make_ensemble([tmp_path / "nothing"], EnsembleSettings(), out=tmp_path / "out")


@pytest.mark.slow
def test_runs_with_layers_of_their_recipes_become_one_model(tmp_path, data):
    paths = [write_run_with_a_layer_of_its_recipe(tmp_path / f"r{seed}", seed).path for seed in range(2)]
    made = make_ensemble(paths, EnsembleSettings("mean"), out=tmp_path / "out", say=lambda line: None)
    keras.saving.get_custom_objects().pop("made>Scaled")
    assert sorted(path.name for path in made.folder.path.glob("*.py")) == ["recipe.py"]
    assert evaluate(made, "digits").accuracy == pytest.approx(made.summary.accuracy)
    keras.saving.get_custom_objects().pop("made>Scaled")
