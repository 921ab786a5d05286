"""What a training learns from besides its labels."""

import math
from dataclasses import dataclass

import keras

from kerastricks.errors import ConfigError


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
