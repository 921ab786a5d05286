"""Networks with one deliberate fault each, and healthy ones that look like them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import numpy as np

import kerastricks

layers = keras.layers


def conv(filters=4, kernel_size=3, **options):
    given = {"padding": "same", "activation": "relu", "kernel_initializer": "he_normal", **options}
    return layers.Conv2D(filters, kernel_size, **given)


def dense(units=16, activation="relu", **options):
    return layers.Dense(units, activation, **{"kernel_initializer": "he_normal", **options})


def net(*stack, side=8, dtype="float32", scaling=True, loss=None, head=("softmax", 3)):
    """A healthy classifier around the layers that are given."""
    first = [layers.Rescaling(1 / 127.5, offset=-1)] if scaling else []
    last = [layers.GlobalAveragePooling2D(), layers.Dense(head[1], head[0], name="head")]
    model = keras.Sequential([keras.Input((side, side, 3), dtype=dtype), *first, *stack, *last], name="net")
    if loss is not None:
        model.compile("sgd", loss)
    return model


def vectors(*stack, inputs=16):
    return keras.Sequential([keras.Input((inputs,)), *stack, layers.Dense(3, "softmax", name="head")], name="net")


def equal_units():
    model = net(conv(name="a"))
    kernel = np.array(model.get_layer("a").kernel)
    kernel[..., 1] = kernel[..., 0]
    model.get_layer("a").kernel.assign(kernel)
    return model


def not_a_number():
    model = net(conv(name="a"))
    kernel = np.array(model.get_layer("a").kernel)
    kernel[0, 0, 0, :2] = np.nan
    model.get_layer("a").kernel.assign(kernel)
    return model


def trained(*stack):
    """With a bias that has moved."""
    model = net(*stack)
    model.get_layer("head").bias.assign([0.1, -0.1, 0.0])
    return model


def plain(depth, **options):
    return vectors(*(dense(name=f"d{number}", **options) for number in range(depth)))


def saturating(activation, depth):
    stack = (dense(activation=activation, kernel_initializer="glorot_normal", name=f"d{n}") for n in range(depth))
    return vectors(*stack)


def flattened(*stack):
    first = (keras.Input((8, 8, 3)), layers.Rescaling(1 / 127.5, offset=-1), conv())
    return keras.Sequential([*first, *stack, layers.Dense(3, "softmax", name="head")], name="net")


def softmax_over_rows(rows, columns):
    """Probabilities of `rows` classes at each of `columns` places."""
    stack = [layers.Dense(rows * columns), layers.Reshape((rows, columns)), layers.Softmax(axis=1, name="softmax")]
    model = keras.Sequential([keras.Input((16,)), *stack], name="net")
    model.compile("sgd", CATEGORICAL(axis=1))
    return model


def quantized():
    model = vectors(dense(), dense())
    for layer in model.layers:  # the model's own method warns of its input
        layer.quantize("int8")
    return model


def with_a_branch(kernel_initializer):
    """A residual branch that ends in a convolution with this initializer."""
    inputs = keras.Input((8, 8, 4))
    x = layers.Rescaling(1 / 255)(inputs)
    branch = conv(activation=None, kernel_initializer=kernel_initializer)(conv()(x))
    x = layers.GlobalAveragePooling2D()(layers.Add()([x, branch]))
    return keras.Model(inputs, layers.Dense(3, "softmax")(x))


def seen_twice():
    """A convolution of which batch normalization sees one copy and another convolution the other."""
    inputs = keras.Input((8, 8, 4))
    x = conv(activation=None)(layers.Rescaling(1 / 255)(inputs))
    normalized = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling2D()(layers.Concatenate()([normalized, conv()(x)]))
    return keras.Model(inputs, layers.Dense(3, "softmax")(x))


class OwnCategoricalCrossentropy(keras.losses.Loss):
    """On logits, of which its configuration says nothing."""

    def call(self, y_true, y_pred):
        return keras.ops.categorical_crossentropy(y_true, y_pred, from_logits=True)


def weight_normalized(*stack):
    return [kerastricks.layers.WeightNormalization(layer, name=f"w{n}") for n, layer in enumerate(stack)]


def sigmoids(depth):
    return [dense(activation="sigmoid", kernel_initializer="glorot_normal") for _ in range(depth)]


BINARY, CATEGORICAL, SPARSE, FOCAL = (
    keras.losses.BinaryCrossentropy,
    keras.losses.CategoricalCrossentropy,
    keras.losses.SparseCategoricalCrossentropy,
    keras.losses.CategoricalFocalCrossentropy,
)
SMALL = keras.initializers.RandomNormal(stddev=0.001)
UNIT = keras.initializers.RandomNormal(stddev=3.0)
WILD = keras.initializers.RandomNormal(stddev=30.0)
FOUR_HE = keras.initializers.VarianceScaling(4**2 * 2, "fan_in", "untruncated_normal")


class Fault(NamedTuple):
    """A network and its one finding."""

    code: str
    severity: str
    source: str
    build: Callable[[], keras.Model]
    names: Sequence[str] = ("a",)


FAULTS = [
    Fault("zero_kernel", "error", "symmetry", lambda: net(conv(kernel_initializer="zeros", name="a"), conv())),
    Fault("constant_kernel", "error", "symmetry", lambda: net(conv(kernel_initializer="ones", name="a"), conv())),
    Fault("equal_units", "warning", "symmetry", equal_units),
    Fault("kernel_scale", "warning", "he", lambda: net(conv(kernel_initializer=SMALL, name="a"))),
    Fault("kernel_scale", "warning", "he", lambda: net(conv(kernel_initializer=UNIT, name="a"))),
    Fault(
        "kernel_scale",
        "warning",
        "glorot",
        lambda: vectors(dense(activation="tanh", kernel_initializer=UNIT, name="a")),
    ),
    Fault("kernel_scale", "warning", "he", lambda: vectors(dense(kernel_initializer=WILD, name="a"), inputs=1)),
    Fault("non_finite_weights", "error", "clipping", not_a_number),
    Fault("regularized_bias", "warning", "bag_of_tricks", lambda: net(conv(bias_regularizer="l2", name="a"))),
    Fault(
        "regularized_scale",
        "warning",
        "bag_of_tricks",
        lambda: net(layers.BatchNormalization(gamma_regularizer="l2", name="a")),
    ),
    Fault(
        "regularized_scale",
        "warning",
        "prelu",
        lambda: net(conv(activation=None), layers.PReLU("ones", "l1", name="a")),
    ),
    Fault(
        "normalization_not_adapted", "warning", "backprop", lambda: net(layers.Normalization(name="a"), scaling=False)
    ),
    Fault("normalization_not_adapted", "note", "backprop", lambda: net(layers.Normalization(name="a"), conv())),
    Fault("layer_not_fitted", "error", "backprop", lambda: net(kerastricks.layers.Centering(name="a"), scaling=False)),
    Fault(
        "batch_norm_not_updated",
        "warning",
        "moving_statistics",
        lambda: trained(conv(use_bias=False, activation=None), layers.BatchNormalization(name="a"), layers.ReLU()),
    ),
    Fault(
        "kernel_waits_for_data",
        "note",
        "whitening",
        lambda: net(conv(24, 3, kernel_initializer=kerastricks.initializers.PatchWhitening(), name="a")),
    ),
    Fault("saturating_chain", "warning", "glorot", lambda: saturating("sigmoid", 3), ["d0", "d1", "d2"]),
    Fault(
        "saturating_chain",
        "warning",
        "glorot",
        lambda: saturating(layers.Activation("sigmoid"), 3),
        ["d0", "d1", "d2"],
    ),
    Fault(
        "saturating_chain", "warning", "glorot", lambda: saturating("tanh", 6), [f"d{number}" for number in range(6)]
    ),
    Fault(
        "saturating_chain", "warning", "glorot", lambda: vectors(*weight_normalized(*sigmoids(3))), ["w0", "w1", "w2"]
    ),
    Fault(
        "missing_normalization",
        "note",
        "batch_norm",
        lambda: plain(9),
        [*(f"d{number}" for number in range(9)), "head"],
    ),
    Fault(
        "missing_normalization",
        "warning",
        "batch_norm",
        lambda: plain(40, kernel_initializer="glorot_normal"),
        [*(f"d{number}" for number in range(40)), "head"],
    ),
    Fault(
        "missing_normalization",
        "warning",
        "batch_norm",
        lambda: plain(11, kernel_initializer=FOUR_HE),
        [*(f"d{number}" for number in range(11)), "head"],
    ),
    Fault("dropout_rate", "warning", "dropout", lambda: net(conv(), layers.Dropout(0.8, name="a"))),
    Fault("dropout_rate", "warning", "dropout", lambda: net(conv(), layers.Dropout(0.9, name="a"))),
    Fault(
        "dropouts_in_a_row",
        "warning",
        "dropout",
        lambda: net(
            conv(), layers.Dropout(0.5, name="a"), layers.MaxPooling2D(), layers.SpatialDropout2D(0.5, name="b")
        ),
        ["a", "b"],
    ),
    Fault(
        "dropouts_in_a_row",
        "warning",
        "dropout",
        lambda: flattened(layers.Dropout(0.5, name="a"), layers.Flatten(), layers.Dropout(0.5, name="b")),
        ["a", "b"],
    ),
    Fault(
        "dropout_before_batch_norm",
        "warning",
        "variance_shift",
        lambda: net(conv(), layers.Dropout(0.5, noise_shape=(None, 1, 1, 4), name="a"), layers.BatchNormalization()),
    ),
    Fault(
        "dropout_before_batch_norm",
        "warning",
        "variance_shift",
        lambda: net(conv(), layers.Dropout(0.5, name="a"), layers.BatchNormalization()),
    ),
    Fault("mixing_layer", "warning", "mixup", lambda: net(layers.MixUp(name="a"), conv())),
    Fault("augmentation_layer", "note", "augmentation", lambda: net(layers.RandomFlip(name="a"), conv())),
    Fault("input_not_scaled", "note", "backprop", lambda: net(conv(name="a"), scaling=False)),
    Fault("input_not_scaled", "note", "backprop", lambda: net(layers.Dropout(0.2), conv(name="a"), scaling=False)),
    Fault("input_not_scaled", "warning", "backprop", lambda: net(conv(name="a"), scaling=False, dtype="uint8")),
    Fault(
        "bias_before_batch_norm",
        "note",
        "batch_norm",
        lambda: net(conv(activation=None, name="a"), layers.BatchNormalization(), layers.ReLU()),
    ),
    Fault("uneven_size", "note", "notes", lambda: net(conv(), layers.MaxPooling2D(name="a"), side=9)),
    Fault("even_kernel", "note", "even_kernels", lambda: net(conv(kernel_size=2, name="a"))),
    Fault("kernel_larger_than_input", "note", "vgg", lambda: net(conv(kernel_size=5, name="a"), side=2)),
    Fault("softmax_of_one_unit", "error", "softmax", lambda: net(conv(), head=("softmax", 1)), ["head"]),
    Fault("softmax_of_one_unit", "error", "softmax", lambda: softmax_over_rows(1, 3), ["softmax"]),
    Fault("loss_expects_logits", "error", "softmax", lambda: net(conv(), loss=FOCAL(from_logits=True)), ["head"]),
    Fault(
        "loss_expects_probabilities", "error", "softmax", lambda: net(conv(), loss=FOCAL(), head=(None, 3)), ["head"]
    ),
    Fault("loss_expects_logits", "error", "softmax", lambda: net(conv(), loss=SPARSE(from_logits=True)), ["head"]),
    Fault(
        "loss_expects_logits",
        "error",
        "softmax",
        lambda: net(conv(), loss=BINARY(from_logits=True), head=("sigmoid", 1)),
        ["head"],
    ),
    Fault(
        "loss_expects_probabilities", "error", "softmax", lambda: net(conv(), loss=SPARSE(), head=(None, 3)), ["head"]
    ),
    Fault(
        "softmax_with_binary_crossentropy",
        "warning",
        "softmax",
        lambda: net(conv(), loss="binary_crossentropy"),
        ["head"],
    ),
    Fault(
        "sigmoid_with_categorical_crossentropy",
        "warning",
        "softmax",
        lambda: net(conv(), loss=CATEGORICAL(), head=("sigmoid", 3)),
        ["head"],
    ),
    Fault(
        "categorical_loss_of_one_unit",
        "error",
        "softmax",
        lambda: net(conv(), loss="categorical_crossentropy", head=("sigmoid", 1)),
        ["head"],
    ),
]

HEALTHY = {
    "dropout after batch norm": lambda: net(conv(), layers.BatchNormalization(), layers.Dropout(0.5), conv()),
    "dropout before a kernel": lambda: net(conv(), layers.Dropout(0.5), conv(activation=None, use_bias=False)),
    "stochastic depth": lambda: net(
        conv(), layers.Dropout(0.9, noise_shape=(None, 1, 1, 1)), layers.BatchNormalization()
    ),
    "two sigmoid layers": lambda: saturating("sigmoid", 2),
    "five tanh layers": lambda: saturating("tanh", 5),
    "selu": lambda: plain(12, activation="selu", kernel_initializer="lecun_normal"),
    "scale before batch norm": lambda: net(
        conv(activation=None, use_bias=False, kernel_initializer=UNIT), layers.BatchNormalization(), layers.ReLU()
    ),
    "frozen constant kernel": lambda: net(conv(kernel_initializer="ones", trainable=False)),
    "depthwise mean": lambda: net(layers.DepthwiseConv2D(3, padding="same", depthwise_initializer="ones"), conv()),
    "given mean and variance": lambda: net(layers.Normalization(mean=0.0, variance=1.0), conv(), scaling=False),
    "batch norm scales the input": lambda: net(layers.BatchNormalization(), conv(), scaling=False),
    "penalty of strength 0": lambda: net(conv(bias_regularizer=keras.regularizers.L2(0.0), kernel_regularizer="l2")),
    "matching losses": lambda: net(conv(), loss=SPARSE(from_logits=True), head=(None, 3)),
    "two classes": lambda: net(conv(), loss="binary_crossentropy", head=("sigmoid", 1)),
    "regression": lambda: net(conv(), loss="mse", head=(None, 1)),
    "focal loss of probabilities": lambda: net(conv(), loss=FOCAL()),
    "focal loss of logits": lambda: net(conv(), loss=FOCAL(from_logits=True), head=(None, 3)),
    "a loss that does not tell": lambda: net(conv(), loss=OwnCategoricalCrossentropy(), head=(None, 3)),
    "softmax over the classes, of one place": lambda: softmax_over_rows(3, 1),
    "four weights": lambda: vectors(dense(2, kernel_initializer=WILD), inputs=2),
    "quantized": quantized,
    "constant kernel of one unit": lambda: net(conv(1, kernel_initializer="ones")),
    "transposed, of one unit": lambda: net(conv(), layers.Conv2DTranspose(1, 2, 2, kernel_initializer="ones")),
    "small residual branch": lambda: with_a_branch(SMALL),
    "eight layers": lambda: net(*(conv() for _ in range(4)), layers.MaxPooling2D(), *(conv() for _ in range(3))),
    "three units of four dropped": lambda: net(conv(), layers.Dropout(0.75)),
    "sigmoids with batch norm between": lambda: vectors(
        *(layer for sigmoid in sigmoids(3) for layer in (sigmoid, layers.BatchNormalization()))
    ),
    "dropout and batch norm of the input": lambda: net(layers.Dropout(0.2), layers.BatchNormalization(), conv()),
    "bias that another layer sees": seen_twice,
    "scale before layer norm": lambda: net(conv(kernel_initializer=UNIT, activation=None), layers.LayerNormalization()),
    "scale before group norm": lambda: net(
        conv(kernel_initializer=UNIT, activation=None), layers.GroupNormalization(2)
    ),
    "dilated kernel": lambda: net(conv(dilation_rate=4), side=4),
    "3x3 on 2x2 maps": lambda: net(conv(), side=2),
}
