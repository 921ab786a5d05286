"""EfficientNet-Lite against the original: sizes, starts, and with its weights the same logits."""

import functools

import keras
import numpy as np
import pytest
from original_efficientnet_lite import OriginalEfficientNetLite
from photographs import PHOTOGRAPHS, photographs

from kerastricks.errors import UsageError
from kerastricks.models import create
from kerastricks.models.catalog import CATALOG
from kerastricks.weights import PRETRAINED, read_torch_file
from kerastricks.weights.files import installed

NAMES = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """Converted weights go to a folder of the test's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERASTRICKS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def pretrained(name):
    known = PRETRAINED[f"{name}.imagenet"]
    if installed(known) is None:
        pytest.skip(f"{known.package} is not installed")
    return known


@functools.cache
def trained(name):
    """One of each for all tests: making it takes seconds."""
    side = PRETRAINED[f"{name}.imagenet"].image_size
    return create(name, (side, side, 3), 1000, weights="imagenet")


def logits(model, images):
    whole = keras.Model(model.inputs[0], model.get_layer("logits").output)
    return keras.ops.convert_to_numpy(whole(images, training=False))


def picture(side):
    """Waves of all three colours, different in each place."""
    rows, columns, channels = np.indices((side, side, 3))
    waves = np.sin(rows / (9 + 4 * channels)) + np.cos(columns / (7 + 3 * channels)) + np.sin((rows * columns) / 999)
    return (127.5 + 42 * waves).astype("float32")[None]


# Of every 125th class for `picture`, from the PyTorch package efficientnet-lite-pytorch 0.1.0.
RECORDED = {
    "efficientnet_lite0": (1.69482, -0.52727, 0.35705, -0.95356, -2.12458, -1.8006, 2.9998, -0.7667),
    "efficientnet_lite1": (0.49233, 0.64801, -0.66984, -1.29885, -0.70991, -1.62713, 3.94907, -2.10452),
    "efficientnet_lite2": (-0.23725, 0.55291, 0.31079, -1.10787, -1.29564, -2.40996, 1.50333, -0.84271),
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(one, marks=[pytest.mark.slow(every_backend=True)] * (keras.backend.backend() == "jax"))
        for one in NAMES
    ],
)  # compiling takes JAX a minute
def test_logits_are_those_that_the_original_gave(name):
    known = pretrained(name)
    np.testing.assert_allclose(logits(trained(name), picture(known.image_size))[0, ::125], RECORDED[name], atol=1e-4)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="torch is imported before TensorFlow there alone")
@pytest.mark.parametrize("name", NAMES)
def test_logits_are_the_original_networks(name):
    import torch

    known = pretrained(name)
    side = known.image_size
    original = OriginalEfficientNetLite(**{"width": 1.0, "depth": 1.0, **CATALOG[name].config}, image_size=side).eval()
    arrays = {key: torch.from_numpy(array.copy()) for key, array in read_torch_file(installed(known)).items()}
    original.load_state_dict(arrays)
    noise = np.random.default_rng(0).uniform(0, 255, (2, side, side, 3)).astype("float32")
    images = np.concatenate([noise, picture(side), photographs(side, known.crop_fraction)])
    with torch.no_grad():
        expected = original(torch.from_numpy(((images - known.mean) / known.std).transpose(0, 3, 1, 2).copy()).cpu())
    np.testing.assert_allclose(logits(trained(name), images), expected.numpy(), atol=1e-4)


@pytest.mark.tensorflow_only
def test_photographs_are_recognised_and_other_statistics_cost_it():
    known = pretrained("efficientnet_lite0")
    model = trained("efficientnet_lite0")
    images = photographs(known.image_size, known.crop_fraction)
    labels = [photograph.label for photograph in PHOTOGRAPHS]

    def right(mean, std):
        """The probabilities of the right classes, where the network is given pixels as these would make them."""
        pixels = (images - np.array(mean)) / np.array(std) * known.std + known.mean
        probabilities = keras.ops.convert_to_numpy(model(pixels.astype("float32"), training=False))
        return probabilities[np.arange(len(labels)), labels], probabilities

    found, probabilities = right(known.mean, known.std)
    # Recorded with PyTorch; another JPEG decoder differs in the third digit.
    np.testing.assert_allclose(found, [photograph.probability for photograph in PHOTOGRAPHS], atol=0.02)
    ranks = (probabilities > found[:, None]).sum(axis=1)
    assert ranks.tolist()[:2] == [0, 0]
    assert ranks[2] <= 2
    for mean, std in ((0, 1), (0, 255), (127, 64), ((123.7, 116.3, 103.5), (58.4, 57.1, 57.4))):
        wrong, _ = right(mean, std)
        assert np.log(wrong).mean() < np.log(found).mean() - 0.2, (mean, std)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("name", NAMES)
def test_the_last_maps_are_a_32nd_of_the_image_rounded_up(name):
    for height, width in ((224, 224), (97, 33), (32, 65)):
        model = create(f"{name}(width=0.1, depth=0.1)", (height, width, 3), 4)
        maps = model.get_layer("head_activation").output.shape
        assert maps[1:] == (-(-height // 32), -(-width // 32), 1280)


@pytest.mark.tensorflow_only
def test_scaling_leaves_stem_and_head_and_rounds_to_eights():
    model = create("efficientnet_lite2", (64, 64, 3), 4)
    filters = [model.get_layer(f"stage{stage}_block1_project_conv").filters for stage in range(1, 8)]
    assert filters == [16, 24, 48, 88, 120, 208, 352]  # 17.6, 26.4, 44, 88, 123.2, 211.2, 352
    depthwise = [layer.name for layer in model.layers if layer.name.endswith("_depthwise")]
    blocks = [sum(name.startswith(f"stage{stage}_") for name in depthwise) for stage in range(1, 8)]
    assert blocks == [1, 3, 3, 4, 4, 5, 1]
    assert model.get_layer("stem_conv").filters == 32
    assert model.get_layer("head_conv").filters == 1280


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("initializer", ["auto", "he_normal"])
def test_a_depthwise_kernel_starts_with_its_own_fan(initializer):
    model = create("efficientnet_lite0", (32, 32, 3), 4, activation="relu", initializer=initializer)
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.DepthwiseConv2D)]
    for layer in layers[5:]:
        kernel = keras.ops.convert_to_numpy(layer.kernel).astype("float64")
        # n draws of a normal have a variance within 5 of its standard deviations, sqrt(2 / n).
        assert kernel.var() == pytest.approx(2 / layer.kernel_size[0] ** 2, rel=5 * np.sqrt(2 / kernel.size))


@pytest.mark.tensorflow_only
def test_stochastic_depth_grows_over_the_blocks_that_have_a_shortcut():
    model = create("efficientnet_lite0(stochastic_depth=0.32)", (32, 32, 3), 4)
    rates = {layer.name: layer.drop_rate for layer in model.layers if layer.name.endswith("_stochastic_depth")}
    numbers = {"stage2_block2": 3, "stage3_block2": 5, "stage4_block2": 7, "stage4_block3": 8, "stage5_block2": 10}
    numbers |= {"stage5_block3": 11, "stage6_block2": 13, "stage6_block3": 14, "stage6_block4": 15}
    assert rates == {f"{name}_stochastic_depth": pytest.approx(0.02 * number) for name, number in numbers.items()}


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("option", ["width=0", "depth=-1.0", "width=float", "stochastic_depth=1.0", "dropout=1"])
def test_options_that_make_no_network(option):
    with pytest.raises(UsageError) as caught:
        create(f"efficientnet_lite0({option})", (32, 32, 3), 4)
    assert "\n" not in str(caught.value)
