"""Batch normalisation by TensorFlow's fused kernel while training.

Keras casts to float32 and computes moments, difference, product and sum one by one; the fused kernel reads bfloat16,
keeps statistics in float32 and makes one pass. Training a CIFAR network on a CPU is one and a half to two times as
fast (docs/speed.md). The layers stay Keras's own: the kernel is lent to them for the length of a training, so that
what is saved has no custom object.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from kerastricks.keras_graph import all_layers


@contextmanager
def fused_batch_norm(model: keras.Model) -> Iterator[None]:
    """Lets the batch normalisations of `model` that can use the fused kernel use it; no-op on other backends."""
    layers = []
    if keras.backend.backend() == "tensorflow":
        layers = [
            layer
            for layer in all_layers(model, include_self=False)
            if type(layer) is keras.layers.BatchNormalization and _is_fusable(layer)
        ]
    for layer in layers:
        layer.call = _fused_call(layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.call


def _is_fusable(layer: keras.layers.BatchNormalization) -> bool:
    """Over the channels of (batch, height, width, channels), and without what the kernel does not have."""
    return (
        layer.built
        and len(layer.input_spec.axes or {}) == 1
        and layer.input_spec.ndim == 4
        and layer.axis in (-1, 3)
        and not getattr(layer, "renorm", False)
        and not layer.synchronized
        and layer.compute_dtype in ("float32", "bfloat16", "float16")
    )


def _fused_call(layer: keras.layers.BatchNormalization) -> Callable[..., Any]:
    import tensorflow as tf

    original = type(layer).call

    def call(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if mask is not None:
            return original(layer, inputs, training=training, mask=mask)
        channels = inputs.shape[-1]
        scale = tf.convert_to_tensor(layer.gamma) if layer.scale else tf.ones([channels])
        offset = tf.convert_to_tensor(layer.beta) if layer.center else tf.zeros([channels])
        learning = bool(training) and layer.trainable
        if not learning:
            # Between the convolution and the kernel: TensorFlow 2.21 fuses the two with a tanh after them on a CPU,
            # and then finds that it has no such kernel.
            inputs = tf.ensure_shape(inputs, inputs.shape)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=scale,
            offset=offset,
            mean=tf.zeros([0]) if learning else tf.convert_to_tensor(layer.moving_mean),
            variance=tf.zeros([0]) if learning else tf.convert_to_tensor(layer.moving_variance),
            epsilon=layer.epsilon,
            is_training=learning,
        )
        if learning:
            # The kernel gives the unbiased variance; Keras averages the biased one.
            count = tf.cast(tf.size(inputs) // channels, "float32")
            variance *= (count - 1.0) / count
            rest = 1.0 - layer.momentum
            layer.moving_mean.assign(layer.moving_mean * layer.momentum + mean * rest)
            layer.moving_variance.assign(layer.moving_variance * layer.momentum + variance * rest)
        return outputs

    return call
