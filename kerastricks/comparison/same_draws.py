"""The same random numbers for every arm."""

import zlib

import keras

# A weight and the initializer it starts from.
_KERNELS = (
    ("kernel", "kernel_initializer"),
    ("kernel", "depthwise_initializer"),
    ("depthwise_kernel", "depthwise_initializer"),
    ("pointwise_kernel", "pointwise_initializer"),
)


def same_draws(model: keras.Model, seed: int) -> None:
    """Gives each layer the random numbers of (seed, its name), in place.

    `keras.utils.set_random_seed` alone does not pair two arms: a layer that draws, such as RReLU, takes a seed when it
    is made, and every layer behind it starts from another one. Here kernels with equal names are drawn from equal
    seeds, so that two starts of one distribution differ by their scale alone, and so do the layers that draw while
    training. An initializer that was given a seed keeps it.

    Args:
        model: newly made.
        seed: in [0, 2^31).
    """
    for layer in model._flatten_layers(include_self=False, recursive=True):
        for kernel, initializer in _KERNELS:
            weight, start = getattr(layer, kernel, None), getattr(layer, initializer, None)
            if weight is None or not isinstance(start, keras.initializers.Initializer):
                continue
            config = start.get_config()
            if "seed" in config and config["seed"] is None:
                drawn = start.from_config({**config, "seed": _seed_of(f"{layer.name}/{kernel}", seed)})
                weight.assign(drawn(weight.shape, dtype=weight.dtype))
        generator = getattr(layer, "seed_generator", None)
        if generator is not None:
            generator.state.assign(keras.ops.cast([_seed_of(layer.name, seed), 0], generator.state.dtype))


def _seed_of(name: str, seed: int) -> int:
    return zlib.crc32(f"{seed}/{name}".encode()) & 0x7FFFFFFF
