"""The model that is trained: device stage, then logits, with the true loss of each batch at hand."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from kerastricks.augment.augment_layer import Augment
from kerastricks.keras_graph import all_layers, with_probabilities
from kerastricks.layers.without_augmentation import without_augmentation
from kerastricks.training.device import DevicePixels


class TrainingModel(keras.Model):
    """Augments on the device, classifies, and keeps the loss of the last batch.

    Keras's `logs["loss"]` is the mean of the epoch so far; `batch_loss` is the batch's own.

    Training batches are (images, labels), or (indices, labels) with `pixels`. Where the device stage mixes labels they
    are ((images, labels), labels): loss and accuracy are those of the mixed labels, which `call` gives along with its
    outputs, so that no backend sees a value of another trace. Accuracy counts the class of most weight.

    Args:
        classifier: from pixels to logits (or probabilities).
        device_stage: for training images, or None.
        saved_model: what `save` and `save_weights` write, so that `ModelCheckpoint` writes the model one uses and
            not this one; `classifier` by default.
        pixels: the training images, where they are on the device; None where batches bring theirs.
        teacher: from the pixels that the classifier sees to log-probabilities, which `DistillationLoss` gets after the
            labels; or None.
        mixes_weights: whether the labels that the device stage mixes are multiplied by weights: the sum of a mixed
            label is then the weight of its loss.
    """

    def __init__(
        self,
        classifier: keras.Model,
        device_stage: Augment | None = None,
        saved_model: keras.Model | None = None,
        pixels: DevicePixels | None = None,
        teacher: keras.layers.Layer | None = None,
        mixes_weights: bool = False,
    ) -> None:
        super().__init__(name="training_model")
        self.classifier = classifier
        self._saved = [saved_model or classifier]  # in a list, so that Keras does not count its layers twice
        self.device_stage = device_stage
        self.pixels = pixels
        self.teacher = teacher
        self.mixes_weights = mixes_weights
        self.batch_loss = self.add_weight(name="batch_loss", shape=(), initializer="zeros", trainable=False)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if self.device_stage is not None:
            self.device_stage.build((input_shape, (None,)) if self.device_stage.mixes else input_shape)
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        images, labels = inputs if isinstance(inputs, tuple | list) else (inputs, None)
        if training and self.device_stage is not None:
            images, labels = self._augment(self.device_stage, images, labels)
        elif self.pixels is not None and len(images.shape) == 1:
            images = self.pixels.images(images)
        outputs = self.classifier(images, training=training)
        if not training:
            return outputs
        parts = {"labels": labels, "teacher": None if self.teacher is None else self.teacher(images)}
        known = {name: part for name, part in parts.items() if part is not None}
        return {"outputs": outputs, **known} if known else outputs

    def _augment(self, stage: Augment, images: Any, labels: Any) -> tuple[Any, Any]:
        if self.pixels is None or len(images.shape) != 1:
            if labels is None:
                return stage(images, training=True), None
            return stage((images, labels), training=True)
        plan = stage.plan(self.pixels.image_shape)
        source = self.pixels.store(images) if plan.takes_store else self.pixels.images(images)
        return stage.transform(source, labels, stage.draw(ops.shape(images)[0], plan), plan)

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Saves the float32 model that one uses."""
        with self._in_float32():
            self._saved[0].save(filepath, *args, **kwargs)

    @contextmanager
    def _in_float32(self) -> Iterator[None]:
        layers = [layer for layer in all_layers(self) if layer.dtype_policy.name.startswith("mixed_")]
        policies = [layer.dtype_policy for layer in layers]
        for layer in layers:
            layer.dtype_policy = "float32"
        try:
            yield
        finally:
            for layer, policy in zip(layers, policies, strict=True):
                layer.dtype_policy = policy

    def save_probabilities(self, filepath: Any) -> None:
        """Saves it for inference: with a softmax where it ends in logits, and without augmentation inside."""
        with self._in_float32():
            without_augmentation(with_probabilities(self._saved[0])).save(filepath)

    def save_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Saves the weights of that model."""
        self._saved[0].save_weights(filepath, *args, **kwargs)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        outputs, labels = _with_labels(y_pred, y)
        if self.mixes_weights and isinstance(y_pred, dict) and "labels" in y_pred:
            sample_weight = ops.sum(labels, axis=-1)
            labels = labels / ops.maximum(sample_weight, keras.config.epsilon())[:, None]
        if isinstance(y_pred, dict) and "teacher" in y_pred:
            labels = ops.concatenate([_distribution(labels, outputs.shape[-1]), y_pred["teacher"]], axis=-1)
        loss = super().compute_loss(x, labels, outputs, sample_weight, training)
        if training:
            self.batch_loss.assign(ops.stop_gradient(loss))
        return loss

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        outputs, labels = _with_labels(y_pred, y)
        if len(labels.shape) == 2 and labels.shape[-1] != 1:
            labels = ops.argmax(labels, axis=-1)
        return super().compute_metrics(x, labels, outputs, sample_weight)


def _with_labels(outputs: Any, labels: Any) -> tuple[Any, Any]:
    """Outputs and the labels that belong to them: those that `call` gave, if it did."""
    if not isinstance(outputs, dict):
        return outputs, labels
    return outputs["outputs"], outputs.get("labels", labels)


def _distribution(labels: Any, classes: int) -> Any:
    """(batch, classes) float32 of integers (batch,) or (batch, 1); mixed labels are that already."""
    if len(labels.shape) == 2 and labels.shape[-1] != 1:
        return ops.cast(labels, "float32")
    return ops.one_hot(ops.reshape(ops.cast(labels, "int32"), (-1,)), classes, dtype="float32")
