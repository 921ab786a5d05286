"""fit(distillation=...): the student learns from the teacher, and the teacher stays what and where it is."""

import keras
import numpy as np
import pytest
from conftest import tensorflow_case

import kerastricks
from kerastricks.errors import ConfigError
from kerastricks.models import create
from kerastricks.training import Config, Distillation, checkpoint, fit, resumable

STEPS = 6  # per epoch
CONFIG = Config(epochs=2, learning_rate=0.05, precision="float32", jit=False, label_smoothing=0.0)


def load(augment="flip | pad_crop(1)", stages="host"):
    generator = np.random.default_rng(0)
    labels = np.arange(96) % 3
    images = np.clip(generator.normal(110, 40, (96, 8, 8, 3)) + 30 * labels[:, None, None, None], 0, 255)
    return kerastricks.data.load(
        (images.astype("uint8"), labels), augment=augment, batch_size=12, seed=1, stages=stages
    )


def new_model(width=4, seed=7):
    keras.utils.set_random_seed(seed)
    return create(f"plain_cnn(widths=({width},), dropout=0.3)", (8, 8, 3), 3)


def linear(seed, probabilities=True):
    """No dropout, no batch normalisation: what it says of a batch can be computed beside it."""
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((8, 8, 3)), *layers, *([keras.layers.Softmax()] if probabilities else [])])


def weights(model):
    return [np.array(keras.ops.convert_to_numpy(weight)) for weight in model.weights]


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def log_softmax(values):
    values = values - values.max(axis=1, keepdims=True)
    return values - np.log(np.exp(values).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("teaches", ["probabilities", "logits", "operation"])
def test_the_loss_of_the_first_batch_is_the_papers_on_the_same_images(teaches, tmp_path):
    """Without augmentation, so that the batch is known: the data set gives it to both."""
    data, student = load(augment=""), linear(1)
    teacher = linear(2, probabilities=teaches == "probabilities")
    if teaches == "operation":  # an ensemble ends in no layer that says what it gives
        teacher = keras.Model(teacher.inputs[0], keras.ops.softmax(teacher.outputs[0], axis=-1) * 1.0)
    images, labels = next(iter(data.train_from(0)))
    images, labels = images.numpy(), labels.numpy()
    said = [
        keras.ops.convert_to_numpy(model.predict_on_batch(images)).astype("float64") for model in (student, teacher)
    ]
    log_q = np.log(said[0])
    log_p = said[1] if teaches == "logits" else np.log(said[1])
    p, q = log_softmax(log_p / 4), log_softmax(log_q / 4)
    divergence = (np.exp(p) * (p - q)).sum(axis=1).mean()
    cross_entropy = -log_q[np.arange(12), labels].mean()
    fit(student, data, CONFIG, distillation=Distillation(teacher), run_folder=tmp_path, progress_line=False)
    losses = np.fromfile(tmp_path / "batch_loss.f32", "<f4")
    assert losses[0] == pytest.approx(0.9 * 16 * divergence + 0.1 * cross_entropy, rel=1e-4)


def test_a_student_learns_what_its_teacher_says_and_not_the_labels():
    """The teacher's classes are turned round: with no weight on the labels the student follows it."""
    teacher = linear(3)
    kernel = np.zeros((192, 3), "float32")
    kernel[:, 0], kernel[:, 2] = -0.3, 0.3  # bright images are of class 2, as the labels have it
    turned = kernel[:, ::-1] / 2
    teacher.layers[2].set_weights([turned, -turned.mean(axis=0) * 192 * 0.55])
    student, data = linear(4), load(augment="")
    config = Config(epochs=20, learning_rate=0.02, precision="float32", jit=False, weight_decay=0.0)
    fit(student, data, config, distillation=Distillation(teacher, 2.0, 0.0), progress_line=False)
    images = data.sample().astype("float32")
    said = [keras.ops.convert_to_numpy(model.predict_on_batch(images)).argmax(axis=1) for model in (student, teacher)]
    assert np.mean(said[0] == said[1]) > 0.85
    assert set(said[1]) >= {0, 2}  # and it says not always the same


@pytest.mark.parametrize(
    ("augment", "stages", "precision"),
    [
        ("flip", "host", "mixed_bfloat16"),
        tensorflow_case("flip", "host", "float32"),
        ("flip | mixup(0.2)", "device", "float32"),
        pytest.param("flip | mixup(0.2)", "device", "mixed_bfloat16", marks=pytest.mark.slow),
        pytest.param("flip", "device", "float32", marks=pytest.mark.slow),
        pytest.param("flip", "device", "mixed_bfloat16", marks=pytest.mark.slow),
    ],
)
def test_the_teacher_stays_as_it_is_and_is_no_part_of_the_student(augment, stages, precision, tmp_path):
    teacher, student = new_model(8, seed=1), new_model()
    teacher.layers[-2].trainable = False
    before, flags = weights(teacher), [layer.trainable for layer in teacher.layers]
    count = len(student.weights)
    config = Config(epochs=2, learning_rate=0.05, precision=precision, jit=False)
    fit(student, load(augment, stages), config, distillation=Distillation(teacher), run_folder=tmp_path,
        progress_line=False)  # fmt: skip
    assert same(before, weights(teacher))
    assert [layer.trainable for layer in teacher.layers] == flags
    assert {layer.dtype_policy.name for layer in (*teacher.layers, *student.layers)} == {"float32"}
    assert len(student.weights) == count
    alone = tmp_path / "alone"
    alone.mkdir()
    fit(new_model(), load(augment, stages), config, run_folder=alone, progress_line=False)
    files = [np.load(folder / checkpoint.FILE_NAME).files for folder in (tmp_path, alone)]
    assert files[0] == files[1]


def test_a_resumed_distillation_ends_in_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(resumable, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    monkeypatch.setattr(resumable, "_SHARE_OF_TIME", 0)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    distillation = Distillation(new_model(8, seed=1))
    undisturbed, resumed = new_model(), new_model()
    fit(undisturbed, load(), CONFIG, distillation=distillation, run_folder=whole, progress_line=False)
    done = []

    def crash(batch, logs=None):
        done.append(batch)
        if len(done) == STEPS + 3:
            raise RuntimeError("crash")

    callback = keras.callbacks.LambdaCallback(on_train_batch_begin=crash)
    callback.is_saved = False
    with pytest.raises(RuntimeError, match="crash"):
        fit(new_model(), load(), CONFIG, distillation=distillation, callbacks=[callback], run_folder=broken,
            progress_line=False)  # fmt: skip
    fit(resumed, load(), CONFIG, distillation=distillation, run_folder=broken, progress_line=False)
    assert same(weights(undisturbed), weights(resumed))


@pytest.mark.tensorflow_only
def test_a_teacher_that_does_not_fit_is_refused():
    def taught_by(teacher):
        fit(new_model(), load(), CONFIG, distillation=Distillation(teacher), progress_line=False)

    with pytest.raises(ConfigError, match=r"teacher takes images of shape \(16, 16, 3\), the data has \(8, 8, 3\)"):
        taught_by(create("plain_cnn(widths=(4,))", (16, 16, 3), 3))
    with pytest.raises(ConfigError, match="the data has 3 classes"):
        taught_by(create("plain_cnn(widths=(4,))", (8, 8, 3), 4))
    logits = linear(1, probabilities=False)
    neither = keras.Model(logits.inputs[0], keras.layers.ReLU()(logits.outputs[0]))
    with pytest.raises(ConfigError, match="must end in a softmax, or be linear for logits"):
        taught_by(neither)
    for arguments, message in (
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"hard_weight": 2.0}, r"hard_weight must be in \[0, 1\]"),
    ):
        with pytest.raises(ConfigError, match=message):
            Distillation(logits, **arguments)
    with pytest.raises(ConfigError, match=r"teacher must be a keras.Model. Received: str"):
        Distillation("saved_models/best")
