"""Weights of images: third part of training batches, mixed as labels are, and what they do to the loss."""

import keras
import numpy as np
import pytest
from conftest import write_image

import kerastricks
from kerastricks.data.sources.source import Arrays, PixelStore, Source
from kerastricks.errors import DataError, Interrupted
from kerastricks.finetuning.measurement import measure_layer
from kerastricks.finetuning.network import fit_head
from kerastricks.probes import linear_probe
from kerastricks.training import Config, Distillation, checkpoint, fit

pytestmark = pytest.mark.tensorflow_only

CONFIG = Config(epochs=1, learning_rate=0.05, precision="float32", jit=False, early_stopping_epochs=None)
STILL = CONFIG.replace(learning_rate=1e-12, weight_decay=0.0)
WEIGHTS = np.random.default_rng(5).choice([0.0, 0.5, 1.0, 3.0], 48)


def source(weights=WEIGHTS, labels=None, classes=3):
    """48 training images; the first pixel is the number of the image."""
    generator = np.random.default_rng(0)
    labels = np.arange(48) % classes if labels is None else labels
    images = generator.integers(0, 256, (48, 6, 6, 1)).astype("uint8")
    images[:, 0, 0, 0] = np.arange(48)
    few = Arrays(PixelStore.holding(images[:classes]), np.arange(classes, dtype="int32"))
    train = Arrays(PixelStore.holding(images), labels.astype("int32"), weights=weights)
    return Source("made", tuple(f"c{n:02}" for n in range(classes)), {"train": train, "validation": few, "test": few})


def load(weights=WEIGHTS, augment="", stages="host", labels=None, classes=3):
    return kerastricks.data.load(
        source(weights, labels, classes), augment=augment, batch_size=16, seed=1, stages=stages
    )


def still_model():
    """Without dropout and batch statistics: what training computes can be computed by hand."""
    keras.utils.set_random_seed(7)
    inputs = keras.Input((6, 6, 1))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 64)(inputs))
    return keras.Model(inputs, keras.layers.Dense(3)(x))


def trained(data, config=CONFIG, **options):
    model = still_model()
    fit(model, data, config, progress_line=False, **options)
    return [np.asarray(weight) for weight in model.get_weights()]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def numbers(batch):
    return [part.numpy() for part in batch]


def test_training_batches_have_weights_of_mean_one_and_evaluation_has_none():
    data = load()
    found = {}
    for images, _, weights in map(numbers, data.train):
        assert weights.dtype == np.float32
        found |= dict(zip(images[:, 0, 0, 0].tolist(), weights.tolist(), strict=True))
    np.testing.assert_allclose([found[n] for n in range(48)], WEIGHTS / WEIGHTS.mean(), rtol=1e-6)
    assert all(len(batch) == 2 for split in (data.validation, data.test) for batch in split)
    assert all(len(batch) == 2 for batch in load(None).train)


@pytest.mark.parametrize("augment", ["mixup(1.0)", "cutmix(1.0)", "mixup(1.0) | cutmix(1.0)"])
def test_weights_are_mixed_as_the_labels_are(augment):
    """With a class for each image, an unweighted mixed label is the share that each image has."""
    weights = np.random.default_rng(2).uniform(0.001, 3.0, 48)
    scaled = weights / weights.mean()
    plain, weighted = (load(these, augment, classes=48).train_from(0).take(4) for these in (None, weights))
    for (images, shares), (others, labels, mixed) in zip(map(numbers, plain), map(numbers, weighted), strict=True):
        np.testing.assert_array_equal(images, others)
        assert (np.sort(shares, axis=1)[:, -2] > 0.01).any()  # something was mixed
        np.testing.assert_allclose(mixed, shares @ scaled, rtol=1e-4)
        np.testing.assert_allclose(labels, shares * scaled / mixed[:, None], atol=1e-4)


@pytest.mark.parametrize("stages", ["host", "device"])
def test_the_loss_is_the_weighted_mean_over_the_batch(tmp_path, stages):
    data = load(augment="mixup(1.0)" if stages == "device" else "", stages=stages)
    model = still_model()
    fit(model, data, STILL, run_folder=tmp_path, progress_line=False)
    losses = np.fromfile(tmp_path / "batch_loss.f32", "float32")
    if stages == "device":  # its draws are a layer's own: what is known is that the loss is finite and weighted
        assert np.isfinite(losses).all()
        return
    for (images, labels, weights), loss in zip(map(numbers, data.train_from(0)), losses, strict=False):
        logits = model.predict(images, verbose=0).astype("float64")
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        smooth = STILL.label_smoothing
        each = -(1 - smooth) * log_p[np.arange(16), labels] - smooth * log_p.mean(axis=1)
        np.testing.assert_allclose(loss, (weights * each).sum() / 16, rtol=1e-5)


@pytest.mark.parametrize(
    ("stages", "augment"), [("host", ""), ("host", "flip | mixup(1.0)"), ("device", "flip | cutmix(1.0)")]
)
def test_the_label_of_an_image_of_weight_0_does_not_matter(augment, stages):
    labels = np.arange(48) % 3
    other = np.where(WEIGHTS == 0, (labels + 1) % 3, labels)
    first, second = (trained(load(augment=augment, stages=stages, labels=these)) for these in (labels, other))
    assert same(first, second)
    different = np.where(WEIGHTS == 3, (labels + 1) % 3, labels)
    assert not same(first, trained(load(augment=augment, stages=stages, labels=different)))


def test_equal_weights_are_no_weights():
    assert same(trained(load(np.full(48, 2.0))), trained(load(None)))


def test_a_resumed_training_ends_in_the_same_weights(tmp_path):
    class Stop(keras.callbacks.Callback):
        is_saved = False

        def on_train_batch_end(self, batch, logs=None):
            import os
            import signal

            os.kill(os.getpid(), signal.SIGTERM)

    expected = trained(load(augment="flip | mixup(0.5)"))
    with pytest.raises(Interrupted):
        trained(load(augment="flip | mixup(0.5)"), run_folder=tmp_path, callbacks=[Stop()])
    assert checkpoint.read_position(tmp_path / checkpoint.FILE_NAME).step == 1
    assert same(trained(load(augment="flip | mixup(0.5)"), run_folder=tmp_path), expected)


def test_batches_from_a_step_on_are_those_of_the_epoch():
    data = load(augment="flip | cutmix(1.0)")
    whole, later = ([numbers(b) for b in data.train_from(step).take(6 - step)] for step in (0, 4))
    assert all(same(one, other) for one, other in zip(whole[4:], later, strict=True))


def test_a_student_learns_by_weights_too():
    teacher = still_model()
    labels = np.arange(48) % 3
    other = np.where(WEIGHTS == 0, (labels + 1) % 3, labels)
    first, second, plain = (
        trained(load(weights, labels=these), distillation=Distillation(teacher, 2.0, 0.5))
        for weights, these in ((WEIGHTS, labels), (WEIGHTS, other), (None, labels))
    )
    assert same(first, second)
    assert not same(first, plain)


def test_weights_go_through_folds_and_subsets():
    data = load()
    chosen = np.arange(0, 48, 2)
    np.testing.assert_array_equal(data.taken(chosen).splits["train"].examples.weights, WEIGHTS[chosen])
    bag = data.bagged().splits["train"]
    assert len(bag.examples.weights) == 48
    assert float(np.mean(bag.weights)) == pytest.approx(1, rel=1e-5)


def test_weights_that_teach_nothing_are_refused():
    with pytest.raises(DataError, match=r"^made: class 'c00' has only training images of weight 0"):
        load(np.where(np.arange(48) % 3 == 0, 0.0, 1.0))
    data = load(np.r_[np.zeros(24), np.ones(24)])
    with pytest.raises(DataError, match="all 0"):
        next(iter(data.taken(np.arange(12)).train))


@pytest.mark.slow
def test_probes_and_heads_of_a_fine_tuning_learn_by_the_weights():
    generator = np.random.default_rng(0)
    labels = np.arange(120) % 2
    features = np.eye(2)[labels] + generator.normal(0, 0.1, (120, 2))
    wrong = np.where(np.arange(120) < 70, 1 - labels, labels)
    weights = np.where(np.arange(120) < 70, 0.0, 3.0)
    measured = measure_layer("top", features, wrong, features, labels, 2, sample_weight=weights)
    assert measured.probe.accuracy.value == 1
    assert measure_layer("top", features, wrong, features, labels, 2).probe.accuracy.value < 0.5
    equal = [linear_probe(features, labels, features, labels, 2, sample_weight=w) for w in (None, np.full(120, 2.0))]
    np.testing.assert_array_equal(equal[0].kernel, equal[1].kernel)
    layers = [keras.layers.Dense(2)]
    keras.Sequential([keras.Input((2,)), *layers])
    fit = fit_head(layers, features, wrong, features, labels, learning_rate=0.1, sample_weight=weights)
    assert fit[1] == 1


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """A table of files with groups and weights, and the folder beside it."""
    root = tmp_path_factory.mktemp("manifest")
    rows = ["file,label,split,group,weight"]
    for number in range(24):
        label = ("cat", "dog")[number % 2]
        write_image(root / "images" / label / f"{number:02}.jpg", (10 * number, 80, 90), (12, 10), number)
        rows.append(f"images/{label}/{number:02}.jpg,{label},train,p{number // 4},{number % 3}")
    (root / "list.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.mark.parametrize("memory_bytes", [1 << 30, 0], ids=["in memory", "streamed"])
def test_a_table_gives_the_batches_of_the_folder_with_weights(manifest, memory_bytes):
    options = {"memory_bytes": memory_bytes, "batch_size": 4, "augment": "random_resized_crop | flip", "image_size": 8}
    table = kerastricks.data.load(manifest / "list.csv", **options)
    folder = kerastricks.data.load(manifest / "images", group=r"(\d+)\.jpg", **options)
    assert table.splits["train"].examples.groups is not None
    assert table.fingerprint != folder.fingerprint
    for images, labels, weights in map(numbers, table.train):
        assert images.shape[1:] == (8, 8, 3)
        assert len(labels) == len(weights) == 4
    known = dict(zip(table.files("train"), table.splits["train"].examples.weights, strict=True))
    assert known == {name: float(int(name[-6:-4]) % 3) for name in known}


@pytest.mark.parametrize(
    ("column", "cell", "words"),
    [
        (4, "-1", r"line 3: weight '-1' must be"),
        (4, "nan", r"line 3: weight 'nan' must be"),
        (4, "inf", r"line 3: weight 'inf' must be"),
        (4, "heavy", r"line 3: weight 'heavy' must be"),
        (4, "", r"line 3: weight '' must be"),
        (3, "", r"line 3: the group is empty"),
        (2, "test", r"group 'p0' is in test \(images/dog/01.jpg\) and in train"),
        (2, "lost", r"line 3: split 'lost' is none"),
    ],
)
def test_cells_that_cannot_be_used_are_one_line(manifest, column, cell, words):
    rows = (manifest / "list.csv").read_text().splitlines()
    cells = rows[2].split(",")
    cells[column] = cell
    path = manifest / "bad.csv"
    path.write_text("\n".join([*rows[:2], ",".join(cells), *rows[3:]]) + "\n")
    with pytest.raises(DataError, match=words) as error:
        kerastricks.data.load(path)
    assert "\n" not in str(error.value)


def test_two_columns_of_one_kind_are_refused(manifest):
    path = manifest / "twice.csv"
    for header in ("file,label,split,subset", "file,label,weight,sample_weight", "file,label,group,Group"):
        path.write_text(f"{header}\nimages/cat/00.jpg,cat,1,1\n")
        with pytest.raises(DataError, match=r"line 1: columns of a (split|weight|group): .* one is needed"):
            kerastricks.data.load(path)


def test_weights_are_not_needed_where_nothing_is_trained(manifest):
    rows = (manifest / "list.csv").read_text().splitlines()
    last = [f"{row.rsplit(',', 2)[0].replace('train', 'test')},q," for row in rows[-2:]]
    path = manifest / "some.csv"
    path.write_text("\n".join([*rows[:-2], *last]) + "\n")
    data = kerastricks.data.load(path, batch_size=4)
    assert data.splits["test"].size == 2
