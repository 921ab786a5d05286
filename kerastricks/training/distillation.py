"""Knowledge distillation: a trained classifier gives soft labels to the training of another one."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from kerastricks.data.image_data import ImageData
from kerastricks.errors import ConfigError, UsageError
from kerastricks.keras_graph import all_layers, precision, split_head
from kerastricks.training.fused_batch_norm import fused_batch_norm

_SMALLEST = 1e-30  # at a temperature a probability of 1e-7 still counts: it is no rounding error


@dataclass(frozen=True, eq=False)
class Distillation:
    """A teacher for `fit`, and how much it counts.

    The teacher sees each training batch as the student does, augmented alike, in inference mode and in the student's
    precision. It stays as it is: none of it is trained, saved with the student, or part of a checkpoint. An ensemble
    makes a better teacher than any of its members, also where it is too slow to serve.

    Args:
        teacher: a functional or Sequential classifier of the same images and the same classes, in the same order;
            logits or probabilities.
        temperature: of both softmaxes, above 0. High ones make the teacher's small probabilities count.
        hard_weight: of the labels' own cross-entropy, in [0, 1]; the teacher has the rest.

    Raises:
        ConfigError: for a value outside its range, or a teacher that is no Keras model.

    Example:
        >>> import kerastricks
        >>> teacher = kerastricks.models.create("plain_cnn(widths=(4,))", (8, 8, 1), 2)
        >>> kerastricks.training.Distillation(teacher, temperature=2.0).hard_weight
        0.1

    Reference:
        Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, arXiv 1503.02531; the same augmented batch
        for both: Beyer et al., Knowledge distillation: A good teacher is patient and consistent, arXiv 2106.05237.
    """

    teacher: keras.Model
    temperature: float = 4.0
    hard_weight: float = 0.1

    def __post_init__(self) -> None:
        if not isinstance(self.teacher, keras.Model):
            raise ConfigError(f"teacher must be a keras.Model. Received: {type(self.teacher).__name__}")
        if not 0 < self.temperature < math.inf:
            raise ConfigError(f"temperature must be above 0 and finite. Received: temperature={self.temperature}")
        if not 0 <= self.hard_weight <= 1:
            raise ConfigError(f"hard_weight must be in [0, 1]. Received: hard_weight={self.hard_weight}")


class Teacher(keras.layers.Layer):
    """Computes log-probabilities, or logits, of images in inference mode, without a gradient.

    Its variables are arguments of a compiled step like all others, but no weights: neither `get_weights` nor a
    checkpoint has them.

    Args:
        model: from pixels to logits or probabilities.
        from_logits: which of them.

    Call arguments:
        images: what `model` takes.

    Returns:
        (batch, classes) float32.
    """

    def __init__(self, model: keras.Model, from_logits: bool) -> None:
        super().__init__(name="teacher", trainable=False, dtype="float32", autocast=False)
        self.model = model
        self.from_logits = from_logits
        self.built = True

    @classmethod
    def of(cls, model: keras.Model, data: ImageData) -> "Teacher":
        """Wraps a classifier for a student of `data`.

        Raises:
            ConfigError: for other images or classes, or outputs that are neither logits nor probabilities.
        """
        shape, expected = tuple(model.inputs[0].shape[1:]), data.image_shape
        if len(shape) != 3 or any(s not in (None, e) for s, e in zip(shape, expected, strict=True)):
            raise ConfigError(f"teacher takes images of shape {shape}, the data has {expected}: load them in that size")
        classes = len(data.class_names)
        if len(model.outputs) != 1 or model.outputs[0].shape[-1] != classes:
            raise ConfigError(f"teacher has outputs {model.output_shape}, the data has {classes} classes")
        try:
            return cls(*split_head(model))
        except UsageError:
            # An ensemble ends in a layer that combines, others in an operation: the values tell.
            with data.one_error():
                images = next(iter(data.validation))[0][:8].numpy()
            rows = np.asarray(ops.convert_to_numpy(model.predict_on_batch(images)), "float64")
            if (rows < 0).any() or np.abs(rows.sum(axis=-1) - 1).max() > 1e-2:
                raise ConfigError(
                    f"teacher {model.name!r} must end in a softmax, or be linear for logits: its outputs are neither"
                ) from None
            return cls(model, False)

    def call(self, images: Any) -> Any:
        outputs = ops.cast(self.model(images, training=False), "float32")
        return ops.stop_gradient(outputs if self.from_logits else ops.log(ops.maximum(outputs, _SMALLEST)))

    @contextmanager
    def at_work(self, policy: str) -> Iterator[None]:
        """Freezes the model, and lets it compute in another precision, within the context."""
        layers = all_layers(self.model)
        learned = [layer.trainable for layer in layers]
        self.model.trainable = False
        try:
            with precision(self.model, policy), fused_batch_norm(self.model):
                yield
        finally:
            for layer, trainable in zip(layers, learned, strict=True):
                layer.trainable = trainable

    @property
    def weights(self) -> list[Any]:
        """None: they are another model's."""
        return []
