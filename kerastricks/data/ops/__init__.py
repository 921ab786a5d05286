"""The ops of an augmentation spec: file, name in a spec and class are the same word.

An index op moves whole batches of uint8 images about: `op(images, seed)` with `seed` an int tensor of shape
[2]. A colour op is a Keras layer to be (`op.layer(statistics)`) with a way to draw its randomness from a seed;
it runs at the end of the host stage or on the device. Same draws, same result.
"""

from kerastricks.registry import Registry

OPS = Registry(
    "op",
    {
        "fancy_pca": "kerastricks.data.ops.fancy_pca:FancyPCAOp",
        "flip": "kerastricks.data.ops.flip:Flip",
        "pad_crop": "kerastricks.data.ops.pad_crop:PadCrop",
        "random_resized_crop": "kerastricks.data.ops.random_resized_crop:RandomResizedCrop",
    },
)
