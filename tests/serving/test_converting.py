"""ONNX and LiteRT files: the probabilities of the model, any batch, names of classes, and no augmentation inside."""

import json

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter

import kerastricks
from kerastricks.errors import ConfigError, ExportError, MissingExtraError
from kerastricks.serving import export_litert, export_onnx
from kerastricks.serving.comparison import compare_export, open_export
from kerastricks.serving.converting import whole_range

pytestmark = pytest.mark.tensorflow_only

NAMES = ["cat", "two words", "owl\nat night"]
SHAPE = (8, 6, 3)


def augmented(seed=0, shape=SHAPE):
    """A small network with layers inside that draw in training."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input(shape)
    x = keras.layers.RandomRotation(0.1)(inputs)
    x = keras.layers.RandomContrast(0.2)(keras.layers.RandomFlip()(x))
    x = keras.layers.Rescaling(1 / 127.5, -1)(x)
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, use_bias=False)(x))
    x = keras.layers.GaussianNoise(0.1)(keras.layers.Dropout(0.5)(keras.layers.ReLU()(x)))
    x = keras.layers.Dense(3, kernel_initializer="random_normal")(keras.layers.Flatten()(x))
    return keras.Model(inputs, keras.layers.Softmax()(x))


def pixels(count, seed=0, shape=SHAPE):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape)).astype("uint8")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("portable")
    model = augmented()
    model.save(folder / "model.keras")
    return model, folder


@pytest.fixture(scope="module")
def files(saved, warm_process):
    """One export of each kind."""
    _, folder = saved
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kerastricks.serving.export.run_with_tensorflow", in_a_fork(warm_process))
        kinds = {"onnx": export_onnx(folder / "model.keras", NAMES, folder / "onnx")}
        for quantize in (None, "dynamic", "int8"):
            calibration = pixels(40, seed=1) if quantize == "int8" else None
            kinds[f"litert {quantize}"] = export_litert(
                folder / "model.keras", NAMES, folder / "litert", quantize, calibration
            )
    return kinds


def in_a_fork(warm_process):
    def run(module, arguments):
        code, errors = warm_process().run(module, arguments)
        if code:
            raise ExportError(errors)

    return run


def test_files_are_numbered_and_nothing_else_is_left(saved, files):
    _, folder = saved
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert found == [
        *(f"litert/{number}/{name}" for number in (1, 2, 3) for name in ("labels.txt", "model.tflite")),
        "model.keras",
        "onnx/1/model.onnx",
    ]
    assert files["litert int8"] == folder / "litert" / "3" / "model.tflite"


@pytest.mark.parametrize("kind", ["onnx", "litert None"])
def test_probabilities_are_the_models_for_any_batch(saved, files, kind):
    model, _ = saved
    predict, _ = open_export(files[kind])
    for count in (1, 5, 2):
        found = predict(pixels(count, seed=count))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, model.predict_on_batch(pixels(count, seed=count)), atol=1e-5)


@pytest.mark.parametrize("kind", ["litert dynamic", "litert int8"])
def test_quantised_files_are_smaller_in_their_weights_and_near(saved, files, kind):
    model, _ = saved
    predict, _ = open_export(files[kind])
    found, expected = predict(pixels(64, seed=3)), model.predict_on_batch(pixels(64, seed=3))
    assert 0 < np.abs(found - expected).max() < 0.1
    assert np.mean(found.argmax(axis=1) == expected.argmax(axis=1)) > 0.9


def test_integer_files_take_the_pixels_themselves(files):
    interpreter = Interpreter(model_path=str(files["litert int8"]))
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert source["dtype"] is np.uint8
    assert source["quantization"] == (1.0, 0)
    assert target["dtype"] is np.float32
    _, float_tensors = open_export(files["litert int8"])
    assert float_tensors == 0
    _, of_float32 = open_export(files["litert None"])
    assert of_float32 > 0


def test_names_of_classes_are_with_the_files(files):
    session = onnxruntime.InferenceSession(str(files["onnx"]), providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map["class_names"]) == NAMES
    assert session.get_inputs()[0].shape == ["batch", *SHAPE]
    lines = (files["litert None"].parent / "labels.txt").read_text().splitlines()
    assert lines == ["cat", "two words", "owl at night"]


def test_signature_of_litert_keeps_the_names_of_input_and_output(files):
    for kind in ("litert None", "litert int8"):
        interpreter = Interpreter(model_path=str(files[kind]))
        assert interpreter.get_signature_list() == {
            "serving_default": {"inputs": ["images"], "outputs": ["probabilities"]}
        }


def onnx_ops(graph):
    """Kinds of operations of a graph, and of those inside of its branches and loops."""
    for node in graph.node:
        yield node.op_type
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from onnx_ops(inner)


def test_no_file_holds_an_operation_that_draws(files):
    kinds = set(onnx_ops(onnx.load(files["onnx"]).graph))
    assert {"Conv", "Softmax"} <= kinds
    for kind, path in files.items():
        if kind != "onnx":
            found = {one["op_name"] for one in Interpreter(model_path=str(path))._get_ops_details()}
            assert {"CONV_2D", "SOFTMAX"} <= found
            kinds |= found
    drawing = ("random", "multinomial", "bernoulli", "stateful", "flex", "custom")
    assert not [kind for kind in kinds if any(word in kind.lower() for word in drawing)]


def test_an_operation_that_draws_is_seen_inside_of_a_branch():
    number = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    draws = onnx.helper.make_graph([onnx.helper.make_node("RandomUniform", [], ["y"], shape=[1])], "b", [], [number])
    branch = onnx.helper.make_node("If", ["condition"], ["y"], then_branch=draws, else_branch=draws)
    condition = onnx.helper.make_tensor_value_info("condition", onnx.TensorProto.BOOL, [])
    graph = onnx.helper.make_graph([branch], "a", [condition], [number])
    assert set(onnx_ops(graph)) == {"If", "RandomUniform"}


def test_ensembles_of_grey_images_are_exported_as_single_models_are(tmp_path):
    shape = (8, 6, 1)
    model = kerastricks.ensemble.combine([augmented(seed, shape) for seed in (0, 1)], "geometric")
    model.save(tmp_path / "model.keras")
    images = pixels(70, shape=shape)
    for path in (
        export_onnx(tmp_path / "model.keras", NAMES, tmp_path / "onnx"),
        export_litert(tmp_path / "model.keras", NAMES, tmp_path / "litert", "int8", images[:40]),
    ):
        found = compare_export(tmp_path / "model.keras", path, images)
        assert found.export.shape == (70, 3)
        assert found.largest_difference < (1e-5 if path.suffix == ".onnx" else 0.1)
        assert found.label_agreement > 0.9
        assert found.export_ms > 0
        assert found.keras_ms > 0
        np.testing.assert_allclose(found.keras, model.predict_on_batch(images), atol=1e-5)


def test_an_export_that_is_refused_leaves_nothing(saved, tmp_path):
    def refuse(file):
        assert file.name == "model.onnx"
        raise ExportError("wrong")

    with pytest.raises(ExportError, match="wrong"):
        export_onnx(saved[1] / "model.keras", NAMES, tmp_path / "onnx", refuse)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_converted_is_one_line(tmp_path):
    with pytest.raises(ExportError, match=r"converting failed in a fresh process: .*no such file") as caught:
        export_onnx(tmp_path / "missing.keras", NAMES, tmp_path / "onnx")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "onnx").exists()


def test_quantisation_and_calibration_go_together(saved, tmp_path):
    path = saved[1] / "model.keras"
    with pytest.raises(ConfigError, match="quantize must be one of dynamic, int8"):
        export_litert(path, NAMES, tmp_path, "int4")
    with pytest.raises(ConfigError, match="calibration images belong to quantize='int8'"):
        export_litert(path, NAMES, tmp_path, "int8")
    with pytest.raises(ConfigError, match="calibration images belong to quantize='int8'"):
        export_litert(path, NAMES, tmp_path, "dynamic", pixels(2))


def test_a_missing_package_names_the_extra(saved, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"tf2onnx is not installed: pip install 'kerastricks\[export\]'"):
        export_onnx(saved[1] / "model.keras", NAMES, tmp_path)
    with pytest.raises(MissingExtraError, match="ai-edge-litert is not installed"):
        export_litert(saved[1] / "model.keras", NAMES, tmp_path)


def test_calibration_of_dark_images_has_the_range_of_pixels():
    found = whole_range(np.full((3, 4, 4, 1), 7, "uint8"))
    assert found.shape == (3, 1, 4, 4, 1)
    assert (found[0].min(), found[0].max()) == (0.0, 255.0)
    assert (found[1:] == 7).all()
