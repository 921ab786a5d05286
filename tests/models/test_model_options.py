"""The options of the zoo: what a spec sets in a model, and what it is told when it is wrong."""

import keras
import numpy as np
import pytest

from kerastricks.activations import gain
from kerastricks.errors import UsageError
from kerastricks.models import create

FAMILIES = (
    "airbench(widths=(8,))",
    "mlp(depth=2, width=8)",
    "nin",
    "plain_30(width=0.03, dense=(8,))",
    "plain_cnn(widths=(8,))",
    "resnet_18(width=8)",
    "resnet_20(depth=8, width=8)",
    "vgg_11(width=4, dense=(8,))",
    "wide_resnet_16_8(depth=10, width=1)",
)


def kernels(model):
    """Of the layers that the options make, without the frozen whitening one."""
    return [layer for layer in model.layers if hasattr(layer, "kernel") and layer.trainable]


@pytest.mark.parametrize("name", FAMILIES)
def test_activation_initializer_and_regularizer_reach_every_layer(name):
    options = {"activation": "prelu", "initializer": "he_normal(0.25)", "regularizer": "l2(0.01) | max_norm(3)"}
    model = create(name, (8, 8, 3), 4, **options)
    assert sum(isinstance(layer, keras.layers.PReLU) for layer in model.layers) >= 2
    assert not any(isinstance(layer, keras.layers.ReLU | keras.layers.Activation) for layer in model.layers)
    for layer in kernels(model):
        if layer.name != "logits":
            assert layer.kernel_initializer.negative_slope == 0.25
        assert layer.kernel_regularizer.get_config() == {"l2": pytest.approx(0.005)}
        axes = [0] if isinstance(layer, keras.layers.Dense) else [0, 1, 2]
        assert layer.kernel_constraint.get_config() == {"max_value": 3.0, "axis": axes}
    assert len(model.losses) == len(kernels(model))


@pytest.mark.parametrize("activation", ["relu", "tanh", "leaky_relu(0.5)", "rrelu"])
def test_auto_has_the_variance_of_the_activations_gain(activation):
    model = create("nin", (8, 8, 3), 4, activation=activation)
    kernel = keras.ops.convert_to_numpy(model.get_layer("block2_conv1").kernel).astype("float64")
    expected = gain(activation) ** 2 / (5 * 5 * 96)
    # The variance of a sample of n truncated normals varies by less than sqrt(2 / n): bounds of 5 of that.
    assert kernel.var() == pytest.approx(expected, rel=5 * np.sqrt(2 / kernel.size))


@pytest.mark.parametrize("initializer", ["auto", "he_normal", "lsuv"])
@pytest.mark.tensorflow_only
def test_layers_of_one_shape_start_differently_and_a_seed_repeats_them(initializer):
    models = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        models.append(create("resnet_20(width=4)", (8, 8, 3), 4, initializer=initializer))
    for one, other in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    found = [layer.get_weights()[0].tobytes() for layer in kernels(models[0])]
    assert len(set(found)) == len(found)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("name", ["mlp", "nin", "plain_cnn", "resnet_20"])
@pytest.mark.parametrize("dropout", ["1.0", "-0.1", "'x'", "None"])
def test_dropout_is_a_rate_below_one(name, dropout):
    with pytest.raises(UsageError, match=rf"{name}.*dropout must be a number in \[0, 1\). Received"):
        create(f"{name}(dropout={dropout})", (8, 8, 3), 4)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nin(activation='rellu')", "did you mean relu"),
        ("nin(initializer='he_norml')", "did you mean he_normal"),
        ("nin(regularizer='maxnorm(3)')", "did you mean max_norm"),
        ("nin(activaton='relu')", "unexpected keyword argument 'activaton'"),
        ("nin(activation='softmax')", "elementwise"),
        ("nin(activation='prelu(\"a\")')", "initial_slope must be a finite number"),
        ("nin(activation='prelu(shared_axes=(0,))')", "shared_axes must be 1 or more"),
        ("nin(activation='prelu(shared_axes=(9,))')", "shared_axes must be below 4"),
        ("mlp(activation='prelu(shared_axes=(1, 2))')", "shared_axes must be below 2"),
        ("nin(initializer='he_normal(1e200)')", "he_normal"),
    ],
)
def test_a_mistake_in_an_option_is_one_line(spec, message):
    with pytest.raises(UsageError, match=message) as caught:
        create(spec, (8, 8, 3), 4)
    assert "\n" not in str(caught.value)
