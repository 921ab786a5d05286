"""The SavedModel: three signatures, the same pixels as training, no augmentation inside."""

import io
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps
from tensorflow.core.protobuf import saved_model_pb2

import kerastricks
from kerastricks.errors import ExportError, RunFolderError
from kerastricks.serving import ServedModel, export_saved_model, verify_export
from kerastricks.serving.warmup import serialized_example

NAMES = ["cat", "dog", "owl"]
SHAPE = (16, 12, 3)


def picture(seed=0, size=(40, 30)):
    """Smooth, so that JPEG changes little."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 5, 3)).astype("uint8")
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turned(orientation):
    return encoded(picture(), "JPEG", quality=95, exif=exif_block(orientation))


def exif_block(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


FILES = {
    "jpeg": encoded(picture(), "JPEG", quality=95),
    "png": encoded(picture()),
    "grey": encoded(picture().convert("L"), "JPEG", quality=95),
    "cmyk": encoded(picture().convert("CMYK"), "JPEG", quality=95),
    "rgba": encoded(picture().convert("RGBA")),
    **{f"exif {number}": turned(number) for number in (3, 6, 8)},
    **{f"{kind.lower()} exif": encoded(picture(), kind, exif=exif_block(3), lossless=True) for kind in ("PNG", "WEBP")},
    "animated webp": encoded(picture(), "WEBP", save_all=True, append_images=[picture(1)], lossless=True),
    "palette bmp": encoded(picture().convert("P"), "BMP"),
    "mpo": encoded(picture(), "MPO", save_all=True, append_images=[picture(1)]),
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    keras.utils.set_random_seed(0)
    model = kerastricks.models.create("resnet_20(width=4)", SHAPE, 3, mean=[120.0] * 3, std=[60.0] * 3)
    model.save(folder / "model.keras")
    return model, folder, export_saved_model(folder / "model.keras", NAMES, folder)


@pytest.fixture(scope="module")
def signatures(exported):
    """Loaded once: loading is most of a call."""
    loaded = tf.saved_model.load(str(exported[2]))
    yield loaded.signatures
    del loaded  # its variables live as long as it does


def test_both_signatures_of_predict_give_probabilities_label_and_classes(exported, signatures):
    model, _, _ = exported
    images = np.random.default_rng(0).integers(0, 256, (3, *SHAPE)).astype("uint8")
    expected = model.predict_on_batch(images)
    as_bytes = tf.constant([encoded(Image.fromarray(image)) for image in images])
    for found in (
        signatures["serving_default"](bytes=as_bytes),
        signatures["tensor"](images=tf.constant(images, tf.float32)),
    ):
        assert set(found) == {"probabilities", "label", "classes"}
        np.testing.assert_allclose(found["probabilities"], expected, atol=1e-4)
        assert [label.decode() for label in found["label"].numpy()] == [NAMES[i] for i in expected.argmax(axis=1)]
        assert found["classes"].numpy().tolist() == [[name.encode() for name in NAMES]] * 3


def test_bytes_are_seen_as_training_sees_them(exported, signatures, tmp_path):
    model, _, _ = exported
    for split in ("train", "validation", "test"):
        for label in ("cat", "dog"):
            folder = tmp_path / "images" / split / label
            folder.mkdir(parents=True)
            for index, contents in enumerate(FILES.values()):
                (folder / f"{index:02}.img").write_bytes(contents)
    # Without sizes of their own the images of `load` go through the same centre box.
    readable = kerastricks.data.load(tmp_path / "images", image_size=12, batch_size=2 * len(FILES))
    assert readable.image_shape == (12, 12, 3)
    ((squares, labels),) = readable.test
    decoded = [kerastricks.data.decode_image(contents) for contents in FILES.values()]
    for label in (0, 1):
        for kind, image, square in zip(FILES, decoded, squares.numpy()[labels.numpy() == label], strict=True):
            again = kerastricks.data.fit_image(image, 12, 12, 3).numpy()
            np.testing.assert_array_equal(square, again, err_msg=kind)
    own = np.stack([kerastricks.data.fit_image(image, *SHAPE[:2], 3).numpy() for image in decoded])
    found = signatures["serving_default"](bytes=tf.constant(list(FILES.values())))["probabilities"].numpy()
    for kind, served, expected in zip(FILES, found, model.predict_on_batch(own), strict=True):
        np.testing.assert_allclose(served, expected, atol=1e-4, err_msg=kind)


@pytest.mark.tensorflow_only
def test_bytes_are_cut_and_resized_as_the_run_did(exported, tmp_path):
    model, folder, _ = exported
    fitting = kerastricks.data.Fitting(crop_fraction=0.6, interpolation="bicubic")
    path = export_saved_model(folder / "model.keras", NAMES, tmp_path, fitting=fitting)
    signature = tf.saved_model.load(str(path)).signatures["serving_default"]
    contents = [FILES["png"], encoded(picture(3, (SHAPE[1], SHAPE[0])))]
    pixels = [
        kerastricks.data.fit_image(kerastricks.data.decode_image(one), *SHAPE, fitting).numpy() for one in contents
    ]
    found = signature(bytes=tf.constant(contents))["probabilities"]
    np.testing.assert_allclose(found, model.predict_on_batch(np.stack(pixels)), atol=1e-5)

    images = np.random.default_rng(1).integers(0, 256, (2, *SHAPE)).astype("uint8")
    probabilities = model.predict_on_batch(images)
    verify_export(folder / "model.keras", path, images, probabilities, fitting)
    with pytest.raises(ExportError, match=r"differs from the trained model.*signature serving_default"):
        verify_export(folder / "model.keras", path, images, probabilities)


@pytest.mark.tensorflow_only
def test_rotated_photographs_are_served_upright(signatures):
    rotated, straight = [], []
    for orientation in (3, 6, 8):
        contents = turned(orientation)
        upright = kerastricks.data.decode_image(contents).numpy()
        expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(contents))), int)
        assert np.abs(upright - expected).mean() < 2, orientation  # two JPEG decoders
        rotated.append(contents)
        straight.append(encoded(Image.fromarray(upright)))
    found = signatures["serving_default"](bytes=tf.constant(rotated + straight))["probabilities"].numpy()
    np.testing.assert_allclose(found[:3], found[3:], atol=1e-5)


@pytest.mark.tensorflow_only
def test_exports_are_numbered_and_nothing_is_overwritten(exported):
    _, folder, first = exported
    second = export_saved_model(folder / "model.keras", NAMES, folder)
    assert int(second.name) == int(first.name) + 1
    assert not list(folder.glob(".tmp-*"))


def test_classify_takes_examples_as_tensorflow_serving_sends_them(exported, signatures):
    model, _, path = exported
    images = np.random.default_rng(2).integers(0, 256, (2, *SHAPE)).astype("uint8")
    examples = tf.constant([serialized_example(encoded(Image.fromarray(image))) for image in images])
    found = signatures["classify"](inputs=examples)
    assert set(found) == {"classes", "scores"}
    assert found["classes"].numpy().tolist() == [[name.encode() for name in NAMES]] * 2
    np.testing.assert_allclose(found["scores"], model.predict_on_batch(images), atol=1e-4)
    (graph,) = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes()).meta_graphs
    methods = {name: one.method_name for name, one in graph.signature_def.items() if not name.startswith("__")}
    predict = "tensorflow/serving/predict"
    assert methods == {
        "serving_default": predict,
        "tensor": predict,
        "classify": "tensorflow/serving/classify",
        "decode": predict,
    }


@pytest.mark.tensorflow_only
def test_decode_gives_the_pixels_that_the_model_takes(exported):
    model, _, path = exported
    loaded = tf.saved_model.load(str(path))
    decode = loaded.signatures["decode"]
    pixels = decode(bytes=tf.constant([FILES["jpeg"], FILES["exif 6"], FILES["rgba"]]))["images"]
    assert pixels.dtype == tf.uint8
    assert pixels.shape == (3, *SHAPE)
    served = loaded.signatures["serving_default"](bytes=tf.constant([FILES["jpeg"], FILES["exif 6"], FILES["rgba"]]))
    np.testing.assert_allclose(served["probabilities"], model.predict_on_batch(pixels.numpy()), atol=1e-4)
    with pytest.raises(tf.errors.InvalidArgumentError, match="not an image"):
        decode(bytes=tf.constant([b"no image"]))


@pytest.mark.tensorflow_only
def test_warm_up_requests_are_those_of_tensorflow_serving(exported, signatures):
    logs = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    path = exported[2] / "assets.extra" / "tf_serving_warmup_requests"
    found = [logs.PredictionLog.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(path))]
    assert [one.WhichOneof("log_type") for one in found] == ["predict_log", "predict_log", "classify_log"]
    names = []
    for one in found[:2]:
        request = one.predict_log.request
        names.append(request.model_spec.signature_name)
        inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
        assert signatures[names[-1]](**inputs)["probabilities"].shape == (1, 3)
    request = found[2].classify_log.request
    names.append(request.model_spec.signature_name)
    examples = [example.SerializeToString() for example in request.input.example_list.examples]
    assert signatures[names[-1]](inputs=tf.constant(examples))["scores"].shape == (1, 3)
    assert names == ["serving_default", "tensor", "classify"]


@pytest.mark.fresh_processes
@pytest.mark.tensorflow_only
def test_a_changed_saved_model_pb_is_loaded_without_warnings(exported):
    code = "import sys, tensorflow as tf; print(*tf.saved_model.load(sys.argv[1]).signatures)"
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0"}
    command = [sys.executable, "-c", code, str(exported[2])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == ["classify", "decode", "serving_default", "tensor"]
    assert "fingerprint" not in done.stderr.lower()
    assert not [line for line in done.stderr.splitlines() if line.startswith("WARNING") and "absl" not in line]


def all_ops(folder):
    """Kinds of operations anywhere in a SavedModel: in its graph and in all functions of its library."""
    saved_model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    graphs = [graph.graph_def for graph in saved_model.meta_graphs]
    nodes = [graph.node for graph in graphs]
    nodes += [function.node_def for graph in graphs for function in graph.library.function]
    return {node.op for some in nodes for node in some}


def test_the_export_holds_no_random_op(exported):
    kinds = all_ops(exported[2])
    assert "DecodePng" in kinds  # inside of several functions
    assert not any("Random" in kind or "Multinomial" in kind for kind in kinds)


def test_augmentation_in_the_model_is_left_out_of_the_export(tmp_path):
    inputs = keras.Input((8, 8, 3))
    x = kerastricks.layers.FancyPCA(0.1)(keras.layers.RandomRotation(0.1)(inputs))
    x = keras.layers.Dense(3, "softmax")(keras.layers.Flatten()(x))
    keras.Model(inputs, x).save(tmp_path / "model.keras")
    path = export_saved_model(tmp_path / "model.keras", NAMES, tmp_path)
    variables = [shape for _, shape in tf.train.list_variables(str(path / "variables" / "variables"))]
    assert sorted(shape for shape in variables if shape) == [[3], [3], [192, 3]]  # classes, bias, kernel; no seeds
    assert not any("Random" in kind for kind in all_ops(path))


@pytest.mark.slow  # every run is verified so; tests/cli/test_cli.py has one
@pytest.mark.fresh_processes
def test_verification_compares_in_a_fresh_process(exported):
    model, folder, path = exported
    images = np.random.default_rng(1).integers(0, 256, (2, *SHAPE)).astype("uint8")
    verify_export(folder / "model.keras", path, images, model.predict_on_batch(images))
    assert not list(folder.glob(".tmp-*"))


@pytest.mark.tensorflow_only
def test_verification_finds_another_models_probabilities(exported):
    model, folder, path = exported
    images = np.random.default_rng(1).integers(0, 256, (2, *SHAPE)).astype("uint8")
    with pytest.raises(ExportError, match=r"differs from the trained model.*signature tensor"):
        verify_export(folder / "model.keras", path, images, model.predict_on_batch(images) + 0.01)
    assert not list(folder.glob(".tmp-*"))


@pytest.mark.tensorflow_only
def test_served_model_names_what_it_cannot_use(exported, tmp_path):
    _, folder, path = exported
    good, text, cut = tmp_path / "good.jpg", tmp_path / "text.jpg", tmp_path / "cut.jpg"
    good.write_bytes(FILES["jpeg"])
    text.write_text("no image")
    cut.write_bytes(FILES["jpeg"][:-60])
    found = {p.file.name: p for p in ServedModel(folder).predict([good, text, cut, tmp_path / "missing.jpg"])}
    assert found["good.jpg"].label in NAMES
    assert found["good.jpg"].probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert found["text.jpg"].error == "not an image"
    assert found["cut.jpg"].error.startswith("truncated or damaged (")
    assert "No such file" in found["missing.jpg"].error
    assert ServedModel(path).class_names == tuple(NAMES)


@pytest.mark.tensorflow_only
def test_no_file_stops_a_serving_process(signatures):
    """Without anything of kerastricks around it: the graph looks at the bytes by itself."""
    signature = signatures["serving_default"]
    animation = FILES["animated webp"]
    large = encoded(Image.new("L", (12_000, 9_000)))  # more than 100,000,000 pixels of 0, in 100 kB
    still = animation[:20] + bytes([animation[20] & ~2]) + animation[21:]
    for contents in (b"", b"\xe0", b"RIFF", animation[:20], animation[:21], animation[:99], still, large):
        with pytest.raises(tf.errors.InvalidArgumentError):
            signature(bytes=tf.constant([contents]))
    first, alone = signature(bytes=tf.constant([animation, FILES["png"]]))["probabilities"].numpy()
    np.testing.assert_allclose(first, alone, atol=1e-5)  # the animation's first frame is that picture


@pytest.mark.tensorflow_only
def test_a_folder_without_a_savedmodel_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="no SavedModel inside"):
        ServedModel(tmp_path)
