"""Layers for anybody's Keras model, written in `keras.ops`: one per file."""

from kerastricks.lazy import attach

__all__ = [
    "BatchedMembers",
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

__getattr__, __dir__, load_all = attach(
    __name__,
    {
        "BatchedMembers": "batched_members",
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
)
