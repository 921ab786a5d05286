"""Layers for anybody's Keras model, written in `keras.ops`: one per file."""

from kerastricks.lazy import attach

__all__ = ["FancyPCA", "PadShortcut"]

__getattr__, __dir__, load_all = attach(__name__, {"FancyPCA": "fancy_pca", "PadShortcut": "pad_shortcut"})
