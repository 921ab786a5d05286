"""Distillation loss: a student learns from a teacher's predictions and from the labels."""

from typing import Any

import keras
from keras import ops

from kerastricks.losses.label_smoothing_crossentropy import LabelSmoothingCrossentropy


@keras.saving.register_keras_serializable(package="kerastricks")
class DistillationLoss(keras.losses.Loss):
    """(1 - h) T^2 KL(teacher || student), both at temperature T, plus h times the cross-entropy against the labels.

    A teacher's probabilities of the wrong classes say more about an image than its label does: a small network learns
    from an ensemble most of what that knows, and costs what a small network costs. A temperature makes the small
    probabilities count; T^2 keeps the size of the gradient. It hurts where the teacher is wrong on the training images,
    and helps little where student and teacher are equally large. Without a teacher, as in validation, it is the
    cross-entropy.

    Args:
        temperature: T, above 0; 1 for the teacher's probabilities as they are.
        hard_weight: h, in [0, 1].
        smoothing: of the labels' cross-entropy, in [0, 1).
        from_logits: whether predictions are logits or probabilities.
        **kwargs: of `keras.losses.Loss`: `reduction`, `name`, `dtype`.

    Call arguments:
        y_true: (batch, 2 K): a distribution over the classes (the label one-hot, or mixed), then the teacher's
            log-probabilities or logits. Or only labels, integers (batch,) or (batch, 1), or (batch, K).
        y_pred: float (batch, K).

    Returns:
        A scalar, or (batch,) with `reduction=None`; in nats. No gradient goes to the teacher.

    Raises:
        ValueError: for an argument outside its range.

    Example:
        >>> import kerastricks, numpy
        >>> loss = kerastricks.losses.DistillationLoss(temperature=2.0, hard_weight=0.0)
        >>> label, teacher = numpy.array([[1.0, 0.0]]), numpy.array([[3.0, -1.0]])
        >>> round(float(loss(numpy.concatenate([label, teacher], axis=1), teacher)), 4)
        0.0

    Reference:
        Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, arXiv 1503.02531, section 2. Deviation: the
        divergence and not the cross-entropy of the soft targets; they differ by the teacher's entropy, which has no
        gradient, and so the loss of a perfect student is 0.
    """

    def __init__(
        self,
        temperature: float = 4.0,
        hard_weight: float = 0.1,
        smoothing: float = 0.0,
        from_logits: bool = True,
        name: str = "distillation_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        if not temperature > 0:
            raise ValueError(f"temperature must be above 0. Received: temperature={temperature}")
        if not 0 <= hard_weight <= 1:
            raise ValueError(f"hard_weight must be in [0, 1]. Received: hard_weight={hard_weight}")
        self.temperature = temperature
        self.hard_weight = hard_weight
        self.hard = LabelSmoothingCrossentropy(smoothing, from_logits, reduction=None)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        classes = y_pred.shape[-1]
        if len(y_true.shape) != 2 or y_true.shape[-1] != 2 * classes:
            return self.hard.call(y_true, y_pred)
        hard = self.hard.call(y_true[:, :classes], y_pred)
        if not self.hard.from_logits:
            y_pred = ops.log(ops.clip(y_pred, keras.config.epsilon(), 1.0))
        teacher = ops.log_softmax(ops.stop_gradient(y_true[:, classes:]) / self.temperature, axis=-1)
        student = ops.log_softmax(y_pred / self.temperature, axis=-1)
        divergence = ops.sum(ops.exp(teacher) * (teacher - student), axis=-1)
        return (1 - self.hard_weight) * self.temperature**2 * divergence + self.hard_weight * hard

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "hard_weight": self.hard_weight,
            "smoothing": self.hard.smoothing,
            "from_logits": self.hard.from_logits,
        }
