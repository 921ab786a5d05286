"""Balanced accuracy and macro F1 as Keras metrics, in three running sums per class."""

from typing import Any

import keras
from keras import ops

from kerastricks.errors import ConfigError


class _ClassSums(keras.metrics.Metric):
    """Base of metrics of hits and misses per class: sums (3, class_count) of labels, hits and predictions."""

    def __init__(self, class_count: int, name: str, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        if isinstance(class_count, bool) or not isinstance(class_count, int) or class_count < 2:
            raise ConfigError(
                f"class_count must be 2 or more, the number of outputs. Received: class_count={class_count!r}"
            )
        self.class_count = class_count
        self.sums = self.add_variable((3, class_count), initializer="zeros", name="sums")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch to the sums.

        Args:
            y_true: integers (batch,) or (batch, 1), or a distribution over the classes, (batch, K), which counts as its
                largest class.
            y_pred: logits or probabilities (batch, K).
            sample_weight: (batch,) or (batch, 1) weights of the images; None for equal ones.
        """
        y_pred, y_true = ops.convert_to_tensor(y_pred), ops.convert_to_tensor(y_true)
        if y_pred.shape[-1] != self.class_count:
            raise ConfigError(
                f"class_count must be the number of outputs, {y_pred.shape[-1]}. Received: {self.class_count}"
            )
        if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == self.class_count:
            y_true = ops.argmax(y_true, axis=-1)
        labels = self._one_hot(ops.reshape(y_true, (-1,)))
        predicted = self._one_hot(ops.reshape(ops.argmax(y_pred, axis=-1), (-1,)))
        parts = [labels, labels * predicted, predicted]
        if sample_weight is not None:
            weights = ops.reshape(ops.cast(sample_weight, self.dtype), (-1, 1))
            parts = [part * weights for part in parts]
        self.sums.assign_add(ops.stack([ops.sum(part, axis=0) for part in parts]))

    def _one_hot(self, indices: Any) -> Any:
        return ops.one_hot(ops.cast(indices, "int32"), self.class_count, dtype=self.dtype)

    def _mean(self, of_class: Any) -> Any:
        """The mean over the classes with a label; 0 where there is none."""
        present = ops.cast(self.sums[0] > 0, self.dtype)
        return ops.sum(of_class * present) / ops.maximum(ops.sum(present), 1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "class_count": self.class_count}


@keras.saving.register_keras_serializable(package="kerastricks")
class BalancedAccuracy(_ClassSums):
    """Mean recall of the classes, so that a rare class counts as much as a frequent one.

    On unevenly filled classes accuracy is mostly that of the large ones, and a network that never names a rare class
    may look well. A class with few images makes it noisy: its standard error is that of the smallest class over the
    number of classes. A class without a label in the epoch does not count. Keeps three sums per class, and not a
    matrix.

    Args:
        class_count: K, 2 or more.
        name: in the logs.
        **kwargs: of `keras.metrics.Metric`: `dtype`.

    Call arguments:
        y_true: integers (batch,) or (batch, 1), or a distribution over the classes, (batch, K).
        y_pred: logits or probabilities (batch, K).
        sample_weight: (batch,) weights of the images, or None.

    Returns:
        A scalar in [0, 1]; 0 before the first label.

    Raises:
        ConfigError: for a number of classes below 2, or another one than there are outputs.

    Example:
        >>> import kerastricks, numpy
        >>> metric = kerastricks.metrics.BalancedAccuracy(2)
        >>> metric.update_state(numpy.array([0, 0, 0, 1]), numpy.array([[2.0, 1], [2, 1], [2, 1], [2, 1]]))
        >>> float(metric.result())
        0.5

    Reference:
        Brodersen et al.: The balanced accuracy and its posterior distribution, ICPR 2010; the mean over K classes in
        place of two.
    """

    def __init__(self, class_count: int, name: str = "balanced_accuracy", **kwargs: Any) -> None:
        super().__init__(class_count, name, **kwargs)

    def result(self) -> Any:
        labels, hits = self.sums[0], self.sums[1]
        return self._mean(ops.where(labels > 0, hits / ops.where(labels > 0, labels, 1.0), 0.0))


@keras.saving.register_keras_serializable(package="kerastricks")
class MacroF1(_ClassSums):
    """Mean over the classes of F1, 2 TP / (2 TP + FP + FN), the harmonic mean of precision and recall.

    Unlike balanced accuracy it falls when images of a large class are taken for a rare one. A class without a label in
    the epoch does not count, as in `kerastricks.metrics.scores`; Keras's `F1Score(average="macro")` counts it as 0, and
    wants one-hot labels.

    Args:
        class_count: K, 2 or more.
        name: in the logs.
        **kwargs: of `keras.metrics.Metric`: `dtype`.

    Call arguments:
        y_true: integers (batch,) or (batch, 1), or a distribution over the classes, (batch, K).
        y_pred: logits or probabilities (batch, K).
        sample_weight: (batch,) weights of the images, or None.

    Returns:
        A scalar in [0, 1]; 0 before the first label.

    Raises:
        ConfigError: for a number of classes below 2, or another one than there are outputs.

    Example:
        >>> import kerastricks, numpy
        >>> metric = kerastricks.metrics.MacroF1(2)
        >>> metric.update_state(numpy.array([0, 0, 1, 1]), numpy.array([[2.0, 1], [2, 1], [2, 1], [1, 2]]))
        >>> round(float(metric.result()), 4)
        0.7333

    Reference:
        Opitz, Burst: Macro F1 and Macro F1, arXiv 1911.03347: the mean of the classes' F1, and not the F1 of means.
    """

    def __init__(self, class_count: int, name: str = "macro_f1", **kwargs: Any) -> None:
        super().__init__(class_count, name, **kwargs)

    def result(self) -> Any:
        labels, hits, predicted = self.sums[0], self.sums[1], self.sums[2]
        total = labels + predicted
        return self._mean(ops.where(total > 0, 2 * hits / ops.where(total > 0, total, 1.0), 0.0))
