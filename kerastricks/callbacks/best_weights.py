"""Ends a training in the weights of its best epoch."""

from typing import Any

import keras
import numpy as np


class BestWeights(keras.callbacks.Callback):
    """Keeps the weights with the highest validation accuracy, those before the first epoch among them.

    Of equal accuracies the lower validation loss wins: on a few hundred images many are equal. Unlike Keras's
    `EarlyStopping` with `restore_best_weights`, it also restores when the last epoch comes without patience running
    out, and it can give back what it was started with, so that a training on top of a good model does not end below it.

    Args:
        accuracy: of the weights before the first epoch, in [0, 1]; None where they are not worth keeping.
        loss: of the same, by the loss that is trained with; None where it is not known: then any epoch of equal
            accuracy is better.
        patience_epochs: ends the training after so many epochs without a better one; None for never.

    Example:
        >>> from kerastricks.callbacks import BestWeights
        >>> callback = BestWeights(accuracy=0.87, loss=0.41, patience_epochs=3)
    """

    def __init__(
        self, accuracy: float | None = None, loss: float | None = None, patience_epochs: int | None = None
    ) -> None:
        super().__init__()
        self.best_accuracy = -1.0 if accuracy is None else float(accuracy)
        self.best_loss = float("inf") if loss is None else float(loss)
        self.best_epoch = 0
        self.patience_epochs = patience_epochs
        self.best_weights: list[np.ndarray] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not self.best_weights:
            self._keep()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        accuracy, loss = float(logs["val_accuracy"]), float(logs["val_loss"])
        # Keras's accuracy is float32: equal counts of images must compare as equal.
        if (round(accuracy, 6), -loss) > (round(self.best_accuracy, 6), -self.best_loss):
            self.best_accuracy, self.best_loss, self.best_epoch = accuracy, loss, epoch + 1
            self._keep()
        elif self.patience_epochs is not None and epoch + 1 - self.best_epoch >= self.patience_epochs:
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.model.set_weights(self.best_weights)

    def _keep(self) -> None:
        self.best_weights = [np.array(weight) for weight in self.model.get_weights()]
