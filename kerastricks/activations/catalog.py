"""Registry of the activations with the defaults of their papers; imports no Keras."""

from kerastricks.registry import Registry

# Each entry makes a layer from the arguments of a spec and `name`; one with an argument `shared_axes` is told which
# axes an image or a vector shares. All other names are those of keras.activations.
ACTIVATIONS = Registry(
    "activation",
    {
        "leaky_relu": "kerastricks.layers.leaky_relu:LeakyReLU",
        "prelu": "kerastricks.layers.prelu:PReLU",
        "rrelu": "kerastricks.layers.rrelu:RReLU",
    },
)
