"""Layers for any Keras model, written in `keras.ops`: a public layer per module."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = [
    "Centering",
    "ChannelBias",
    "CombineMembers",
    "FancyPCA",
    "LeakyReLU",
    "Maxout",
    "PCAWhitening",
    "PReLU",
    "PadShortcut",
    "RReLU",
    "RandomCrop",
    "RandomHSV",
    "RandomResizedCrop",
    "RangeScaling",
    "SpatialPyramidPooling",
    "StochasticDepth",
    "WeightNormalization",
    "ZCAWhitening",
    "recompute_batch_norm",
]

if TYPE_CHECKING:
    from kerastricks.layers.batch_norm_statistics import recompute_batch_norm
    from kerastricks.layers.centering import Centering
    from kerastricks.layers.channel_bias import ChannelBias
    from kerastricks.layers.combine_members import CombineMembers
    from kerastricks.layers.fancy_pca import FancyPCA
    from kerastricks.layers.leaky_relu import LeakyReLU
    from kerastricks.layers.maxout import Maxout
    from kerastricks.layers.pad_shortcut import PadShortcut
    from kerastricks.layers.pca_whitening import PCAWhitening
    from kerastricks.layers.prelu import PReLU
    from kerastricks.layers.random_crop import RandomCrop
    from kerastricks.layers.random_hsv import RandomHSV
    from kerastricks.layers.random_resized_crop import RandomResizedCrop
    from kerastricks.layers.range_scaling import RangeScaling
    from kerastricks.layers.rrelu import RReLU
    from kerastricks.layers.spatial_pyramid_pooling import SpatialPyramidPooling
    from kerastricks.layers.stochastic_depth import StochasticDepth
    from kerastricks.layers.weight_normalization import WeightNormalization
    from kerastricks.layers.zca_whitening import ZCAWhitening
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {
            "Centering": "centering",
            "ChannelBias": "channel_bias",
            "CombineMembers": "combine_members",
            "FancyPCA": "fancy_pca",
            "LeakyReLU": "leaky_relu",
            "Maxout": "maxout",
            "PCAWhitening": "pca_whitening",
            "PReLU": "prelu",
            "PadShortcut": "pad_shortcut",
            "RReLU": "rrelu",
            "RandomCrop": "random_crop",
            "RandomHSV": "random_hsv",
            "RandomResizedCrop": "random_resized_crop",
            "RangeScaling": "range_scaling",
            "SpatialPyramidPooling": "spatial_pyramid_pooling",
            "StochasticDepth": "stochastic_depth",
            "WeightNormalization": "weight_normalization",
            "ZCAWhitening": "zca_whitening",
            "recompute_batch_norm": "batch_norm_statistics",
        },
        former={"BatchedMembers": "was removed, it was no faster: use kerastricks.ensemble.combine"},
    )
