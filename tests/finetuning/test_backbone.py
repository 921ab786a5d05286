import keras
import numpy as np
import pytest

import kerastricks
from kerastricks.errors import ConfigError, RunFolderError, UnknownNameError
from kerastricks.finetuning.backbone import open_backbone, without_head
from kerastricks.finetuning.network import build_network, head_layers

PIXELS = np.random.default_rng(0).uniform(0, 255, (3, 16, 16, 3)).astype("float32")


def outputs(model, pixels):
    return keras.ops.convert_to_numpy(model(pixels, training=False))


@pytest.fixture
def classifier():
    return kerastricks.models.create("plain_cnn(widths=(4, 6), dropout=0.1)", (16, 16, 3), 5)


@pytest.mark.tensorflow_only
def test_the_head_is_taken_off_with_its_dropout(classifier):
    features = without_head(classifier)
    assert features.output_shape == (None, 6)
    assert features.layers[-1].name == "pool"


@pytest.mark.tensorflow_only
def test_a_model_without_a_dense_end_is_all_backbone():
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(5, 3, name="conv")(inputs))
    assert without_head(model).output_shape == (None, 5)


@pytest.mark.tensorflow_only
def test_a_given_model_is_copied(classifier):
    backbone = open_backbone(classifier)
    before = outputs(backbone.model, PIXELS)
    classifier.set_weights([0 * weight for weight in classifier.get_weights()])
    np.testing.assert_array_equal(outputs(backbone.model, PIXELS), before)


@pytest.mark.tensorflow_only
def test_a_file_and_a_run_folder_are_backbones(classifier, tmp_path):
    (tmp_path / "run").mkdir()
    classifier.save(tmp_path / "run" / "model.keras")
    expected = outputs(without_head(classifier), PIXELS)
    for path in (tmp_path / "run", tmp_path / "run" / "model.keras"):
        backbone = open_backbone(path)
        np.testing.assert_allclose(outputs(backbone.model, PIXELS), expected, rtol=1e-5, atol=1e-6)
    assert open_backbone(tmp_path / "run").name == "run"


def test_another_image_size_keeps_the_weights(classifier):
    backbone = open_backbone(classifier, image_size=24)
    assert backbone.image_shape == (24, 24, 3)
    for mine, given in zip(backbone.model.get_weights(), without_head(classifier).get_weights(), strict=True):
        np.testing.assert_array_equal(mine, given)


@pytest.mark.tensorflow_only
def test_a_size_that_the_weights_do_not_fit_is_refused():
    model = kerastricks.models.create("mlp", (8, 8, 1), 3)
    with pytest.raises(ConfigError, match=r"made for images of \(8, 8, 1\), cannot be used for \(12, 12, 1\)"):
        open_backbone(model, image_size=12)


@pytest.mark.tensorflow_only
def test_what_is_no_backbone_is_named(tmp_path):
    with pytest.raises(ConfigError, match="the zoo has no weights for it"):
        open_backbone("resnet_20")
    with pytest.raises(UnknownNameError, match="efficientnet_lite0"):
        open_backbone("efficientnet_lite")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunFolderError, match=r"no model\.keras inside"):
        open_backbone(tmp_path / "empty")
    (tmp_path / "broken.keras").write_bytes(b"PK nothing")
    with pytest.raises(RunFolderError, match=r"broken\.keras: is damaged"):
        open_backbone(tmp_path / "broken.keras")


def test_a_network_starts_from_the_backbones_features(classifier):
    backbone = open_backbone(classifier)
    network = build_network(backbone, (16, 16, 3), 7, head=(9, 8), dropout=0.3)
    assert network.output_shape == (None, 7)
    assert [layer.name for layer in network.layers if "head" in layer.name] == [
        "head1_dropout",
        "head1",
        "head2_dropout",
        "head2",
        "head_dropout",
    ]
    features = keras.Model(network.inputs[0], network.get_layer("pool").output)
    np.testing.assert_allclose(outputs(features, PIXELS), outputs(backbone.model, PIXELS), rtol=1e-5, atol=1e-6)


def test_grey_and_small_images_are_adapted_inside(classifier):
    backbone = open_backbone(classifier)
    network = build_network(backbone, (16, 16, 1), 3)
    features = keras.Model(network.inputs[0], network.get_layer("pool").output)
    grey = PIXELS[..., :1]
    expected = outputs(backbone.model, np.repeat(grey, 3, axis=-1))
    np.testing.assert_allclose(outputs(features, grey), expected, rtol=1e-5, atol=1e-6)
    assert outputs(build_network(backbone, (8, 8, 3), 3), PIXELS[:, :8, :8]).shape == (3, 3)


def test_colour_becomes_luma_for_a_grey_backbone():
    backbone = open_backbone(kerastricks.models.create("plain_cnn(widths=(4,))", (8, 8, 1), 3))
    network = build_network(backbone, (8, 8, 3), 2)
    features = keras.Model(network.inputs[0], network.get_layer("pool").output)
    colour = PIXELS[:, :8, :8]
    luma = colour @ np.array([[0.299], [0.587], [0.114]], "float32")
    np.testing.assert_allclose(outputs(features, colour), outputs(backbone.model, luma), rtol=1e-3, atol=1e-3)


def test_a_cut_network_gives_the_mean_of_an_earlier_level(classifier):
    backbone = open_backbone(classifier)
    network = build_network(backbone, (16, 16, 3), 3, end=backbone.layers[1])
    maps = keras.Model(backbone.model.inputs[0], backbone.model.get_layer(backbone.layers[1]).output)
    features = keras.Model(network.inputs[0], network.get_layer("features").output)
    expected = outputs(maps, PIXELS).mean(axis=(1, 2))
    np.testing.assert_allclose(outputs(features, PIXELS), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.tensorflow_only
def test_without_pretraining_the_weights_are_others(classifier):
    backbone = open_backbone(classifier)
    one, other = (build_network(backbone, (16, 16, 3), 3, pretrained=False) for _ in range(2))
    kernels = [np.array(model.get_layer("stage1_conv1").get_weights()[0]) for model in (one, other, backbone.model)]
    assert not np.allclose(kernels[0], kernels[1])
    assert not np.allclose(kernels[0], kernels[2])


@pytest.mark.tensorflow_only
def test_an_application_is_a_backbone(tmp_path):
    base = keras.applications.MobileNet(weights=None, include_top=False, alpha=0.25, input_shape=(32, 32, 3))
    base.save_weights(tmp_path / "mobilenet.weights.h5")
    backbone = open_backbone(
        "applications/MobileNet(alpha=0.25)", image_size=32, weights=str(tmp_path / "mobilenet.weights.h5")
    )
    assert len(backbone.levels) > 3
    network = build_network(backbone, (32, 32, 3), 4)
    pixels = np.random.default_rng(1).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    features = keras.Model(network.inputs[0], network.get_layer(backbone.top).output)
    np.testing.assert_allclose(outputs(features, pixels), outputs(backbone.model, pixels), rtol=1e-4, atol=1e-5)


@pytest.mark.tensorflow_only
def test_levels_end_at_layers_and_not_at_operations():
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="conv1")(inputs)
    x = keras.layers.Conv2D(4, 3, padding="same", name="conv2")(x) + x
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="conv3")(x)
    backbone = open_backbone(keras.Model(inputs, x))
    assert [level.end for level in backbone.levels] == ["conv1", "features"]


@pytest.mark.tensorflow_only
def test_a_network_with_head_and_adapters_is_a_backbone_again(classifier):
    first = build_network(open_backbone(classifier), (8, 8, 1), 3, head=(5,), dropout=0.1)
    backbone = open_backbone(first)
    assert backbone.model.output_shape == (None, 5)
    second = build_network(backbone, (12, 12, 3), 4, head=(6,))
    assert [layer.units for layer in head_layers(second, backbone)] == [6, 4]
    assert outputs(second, np.zeros((2, 12, 12, 3), "float32")).shape == (2, 4)


@pytest.mark.tensorflow_only
def test_a_model_inside_a_model_is_laid_open(classifier):
    base = without_head(classifier)
    transfer = keras.Sequential([keras.Input((16, 16, 3)), base, keras.layers.Dense(3, activation="softmax")])
    backbone = open_backbone(transfer)
    assert "stage1_conv1" in {layer.name for layer in backbone.model.layers}
    assert len(backbone.levels) == len(open_backbone(classifier).levels)
    np.testing.assert_allclose(outputs(backbone.model, PIXELS), outputs(base, PIXELS), rtol=1e-5, atol=1e-6)


@pytest.mark.tensorflow_only
def test_a_shared_layer_is_one_line():
    inputs = keras.Input((8, 8, 3))
    shared = keras.layers.Conv2D(3, 3, padding="same", name="twice")
    with pytest.raises(ConfigError, match="'twice' more than once"):
        open_backbone(keras.Model(inputs, shared(shared(inputs))))
