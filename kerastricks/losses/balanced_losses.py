"""Losses for imbalanced classes: focal, logit-adjusted (balanced softmax), LDAM, label-aware smoothing."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerastricks.losses.label_smoothing_crossentropy import LabelSmoothingCrossentropy


class _Crossentropy(LabelSmoothingCrossentropy):
    """Base: a cross-entropy of changed logits against changed targets, for integer labels and for mixed ones."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        classes = y_pred.shape[-1]
        logits = y_pred if self.from_logits else ops.log(ops.clip(y_pred, keras.config.epsilon(), 1.0))
        if len(y_true.shape) == 2 and y_true.shape[-1] != 1:
            labels = ops.cast(y_true, logits.dtype)
        else:
            labels = ops.one_hot(ops.reshape(ops.cast(y_true, "int32"), (-1,)), classes, dtype=logits.dtype)
        log_probabilities = ops.log_softmax(self.changed(logits, labels), axis=-1)
        return -ops.sum(self.targets(labels) * self.focused(log_probabilities), axis=-1)

    def changed(self, logits: Any, labels: Any) -> Any:
        """Logits (batch, K) of which the softmax is taken."""
        return logits

    def targets(self, labels: Any) -> Any:
        """Targets (batch, K) of labels (batch, K)."""
        return (1 - self.smoothing) * labels + self.smoothing / labels.shape[-1]

    def focused(self, log_probabilities: Any) -> Any:
        """The terms that are summed over the targets, (batch, K)."""
        return log_probabilities


@keras.saving.register_keras_serializable(package="kerastricks")
class FocalCrossentropy(_Crossentropy):
    """Focal loss, -(1 - p)^gamma log p: images that are classified well already count less.

    It was made for detectors, where nearly all boxes are background; for classes of unequal size it helps little by
    itself, and calibrates. It hurts with wrong labels, which are the images that it looks at. Against classes of
    unequal size take it with `class_weights(effective_number)`, the class-balanced focal loss.

    `keras.losses.CategoricalFocalCrossentropy` is the same for one-hot labels, with alpha = 1.

    Args:
        gamma: 0 or more; 0 is cross-entropy.
        smoothing: of the labels, in [0, 1).
        from_logits: whether predictions are logits or probabilities.
        **kwargs: of `keras.losses.Loss`: `reduction`, `name`, `dtype`.

    Call arguments:
        y_true: integers (batch,) or (batch, 1), or a distribution over the classes, (batch, K).
        y_pred: float (batch, K).

    Returns:
        A scalar, or (batch,) with `reduction=None`; in nats.

    Raises:
        ValueError: for `gamma` below 0, or `smoothing` outside [0, 1).

    Example:
        >>> import kerastricks, numpy
        >>> loss = kerastricks.losses.FocalCrossentropy(2.0)
        >>> round(float(loss(numpy.array([0]), numpy.zeros((1, 4), "float32"))), 4)
        0.7798

    Reference:
        Lin et al.: Focal Loss for Dense Object Detection, ICCV 2017, equation 4. Deviations: a softmax over classes
        instead of a sigmoid per box; no alpha, whose place `class_weights` takes; with mixed or smoothed labels each
        class of the target has its own factor.
    """

    def __init__(
        self,
        gamma: float = 2.0,
        smoothing: float = 0.0,
        from_logits: bool = True,
        name: str = "focal_crossentropy",
        **kwargs: Any,
    ) -> None:
        super().__init__(smoothing, from_logits, name=name, **kwargs)
        if not gamma >= 0:
            raise ValueError(f"gamma must be 0 or more. Received: gamma={gamma}")
        self.gamma = gamma

    def focused(self, log_probabilities: Any) -> Any:
        # 1 - p by expm1, so that it has digits where p is near 1; the gradient of 0^gamma stays finite above it.
        rest = ops.maximum(-ops.expm1(log_probabilities), keras.config.epsilon())
        return ops.power(rest, self.gamma) * log_probabilities if self.gamma else log_probabilities

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gamma": self.gamma}


class _Counted(_Crossentropy):
    """Base of losses that know how many training images each class has."""

    def __init__(self, class_counts: Sequence[int], smoothing: float, from_logits: bool, **kwargs: Any) -> None:
        super().__init__(smoothing, from_logits, **kwargs)
        self.class_counts = [int(count) for count in class_counts]
        if len(self.class_counts) < 2 or min(self.class_counts) < 1:
            raise ValueError(
                f"class_counts must be two or more numbers of images, 1 or more each. Received: {self.class_counts}"
            )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "class_counts": self.class_counts}


@keras.saving.register_keras_serializable(package="kerastricks")
class LogitAdjustedCrossentropy(_Counted):
    """Cross-entropy of logits plus tau log prior; with tau 1 it is balanced softmax.

    The network learns with its prior given, so that its own logits are those for classes that are equally frequent:
    predictions are balanced without a change. The first choice against classes of unequal size where balanced accuracy
    counts; it costs accuracy on data that are distributed as the training images are.

    Args:
        class_counts: training images of each class, K numbers of 1 or more.
        tau: strength, 0 or more; 0 is cross-entropy.
        smoothing: of the labels, in [0, 1): towards prior^tau, for which balanced logits are all alike.
        from_logits: whether predictions are logits or probabilities.
        **kwargs: of `keras.losses.Loss`: `reduction`, `name`, `dtype`.

    Call arguments:
        y_true: integers (batch,) or (batch, 1), or a distribution over the classes, (batch, K).
        y_pred: float (batch, K).

    Returns:
        A scalar, or (batch,) with `reduction=None`; in nats.

    Raises:
        ValueError: for a count below 1, `tau` below 0, or `smoothing` outside [0, 1).

    Example:
        >>> import kerastricks, numpy
        >>> loss = kerastricks.losses.LogitAdjustedCrossentropy([3, 1])
        >>> round(float(loss(numpy.array([1]), numpy.zeros((1, 2), "float32"))), 4)  # log 4
        1.3863

    Reference:
        Menon et al.: Long-tail learning via logit adjustment, ICLR 2021, equation 10; Ren et al.: Balanced
        Meta-Softmax, NeurIPS 2020, equation 3, is tau = 1. Deviation: the papers smooth no labels. Smoothed towards
        equal shares, the loss would ask for balanced logits that favour rare classes.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        tau: float = 1.0,
        smoothing: float = 0.0,
        from_logits: bool = True,
        name: str = "logit_adjusted_crossentropy",
        **kwargs: Any,
    ) -> None:
        super().__init__(class_counts, smoothing, from_logits, name=name, **kwargs)
        if not tau >= 0:
            raise ValueError(f"tau must be 0 or more. Received: tau={tau}")
        self.tau = tau
        counts = np.array(self.class_counts, "float64")
        shift = tau * np.log(counts / counts.sum())
        self._shift = shift.astype("float32")
        self._unknown = (np.exp(shift) / np.exp(shift).sum()).astype("float32")

    def changed(self, logits: Any, labels: Any) -> Any:
        return logits + ops.cast(self._shift, logits.dtype)

    def targets(self, labels: Any) -> Any:
        return (1 - self.smoothing) * labels + self.smoothing * ops.cast(self._unknown, labels.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "tau": self.tau}


@keras.saving.register_keras_serializable(package="kerastricks")
class LDAMLoss(_Counted):
    """Cross-entropy with a margin at the true class, the larger the rarer it is: proportional to n^(-1/4).

    It is made for a head of cosines, logits = scale * cos(features, weights of a class), which
    `kerastricks.models.create(..., head="cosine")` makes; on other logits the margin has no fixed size. Published with
    class weights that begin late: "ldam | class_weights(effective_number, start=0.8)".

    Args:
        class_counts: training images of each class, K numbers of 1 or more.
        max_margin: of the rarest class, as a cosine; above 0.
        scale: of the logits; above 0.
        smoothing: of the labels, in [0, 1).
        from_logits: whether predictions are logits or probabilities.
        **kwargs: of `keras.losses.Loss`: `reduction`, `name`, `dtype`.

    Call arguments:
        y_true: integers (batch,) or (batch, 1), or a distribution over the classes, (batch, K): of mixed labels, each
            class has its share of its margin.
        y_pred: float (batch, K).

    Returns:
        A scalar, or (batch,) with `reduction=None`; in nats.

    Raises:
        ValueError: for a count below 1, a margin or scale of 0 or less, or `smoothing` outside [0, 1).

    Example:
        >>> import kerastricks, numpy
        >>> loss = kerastricks.losses.LDAMLoss([16, 1], max_margin=0.5, scale=2.0)
        >>> round(float(loss(numpy.array([1]), numpy.zeros((1, 2), "float32"))), 4)  # log(1 + e)
        1.3133

    Reference:
        Cao et al.: Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss, NeurIPS 2019, equations 12
        and 13, margins scaled to the largest as in the authors' code.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        max_margin: float = 0.5,
        scale: float = 30.0,
        smoothing: float = 0.0,
        from_logits: bool = True,
        name: str = "ldam",
        **kwargs: Any,
    ) -> None:
        super().__init__(class_counts, smoothing, from_logits, name=name, **kwargs)
        if not (max_margin > 0 and scale > 0):
            raise ValueError(f"max_margin and scale must be above 0. Received: max_margin={max_margin}, scale={scale}")
        self.max_margin = max_margin
        self.scale = scale
        margins = np.array(self.class_counts, "float64") ** -0.25
        self._margins = (scale * max_margin * margins / margins.max()).astype("float32")

    def changed(self, logits: Any, labels: Any) -> Any:
        return logits - labels * ops.cast(self._margins, logits.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "max_margin": self.max_margin, "scale": self.scale}


@keras.saving.register_keras_serializable(package="kerastricks")
class LabelAwareSmoothing(_Counted):
    """Cross-entropy with more label smoothing for classes with more images, whose predictions are the surest.

    Meant for the second stage of decoupled training, when only the classifier is trained. By itself it calibrates more
    than it balances.

    Args:
        class_counts: training images of each class, K numbers of 1 or more.
        head: smoothing of the largest class, in [0, 1).
        tail: smoothing of the smallest class, in [0, head]; between them it grows as a quarter of a sine.
        from_logits: whether predictions are logits or probabilities.
        **kwargs: of `keras.losses.Loss`: `reduction`, `name`, `dtype`.

    Call arguments:
        y_true: integers (batch,) or (batch, 1), or a distribution over the classes, (batch, K).
        y_pred: float (batch, K).

    Returns:
        A scalar, or (batch,) with `reduction=None`; in nats.

    Raises:
        ValueError: for a count below 1, or not 0 <= tail <= head < 1.

    Example:
        >>> import kerastricks, numpy
        >>> loss = kerastricks.losses.LabelAwareSmoothing([90, 10], head=0.2, tail=0.0)
        >>> loss.smoothings.round(3).tolist()
        [0.2, 0.0]

    Reference:
        Zhong et al.: Improving Calibration for Long-Tailed Recognition (MiSLAS), CVPR 2021, equations 4 and 5, concave
        form: the true class has 1 - e, the others e / (K - 1) each.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        head: float = 0.3,
        tail: float = 0.0,
        from_logits: bool = True,
        name: str = "label_aware_smoothing",
        **kwargs: Any,
    ) -> None:
        super().__init__(class_counts, 0.0, from_logits, name=name, **kwargs)
        if not 0 <= tail <= head < 1:
            raise ValueError(f"must have 0 <= tail <= head < 1. Received: head={head}, tail={tail}")
        self.head = head
        self.tail = tail
        counts = np.array(self.class_counts, "float64")
        share = (counts - counts.min()) / max(counts.max() - counts.min(), 1)
        self.smoothings = tail + (head - tail) * np.sin(np.pi / 2 * share)

    def targets(self, labels: Any) -> Any:
        taken = labels * ops.cast(self.smoothings.astype("float32"), labels.dtype)
        others = (ops.sum(taken, axis=-1, keepdims=True) - taken) / (labels.shape[-1] - 1)
        return labels - taken + others

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "head": self.head, "tail": self.tail}
        del config["smoothing"]
        return config
