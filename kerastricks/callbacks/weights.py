"""Final weights of a training: the average over the last epochs, or those of the best epoch."""

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np

from kerastricks.errors import ConfigError
from kerastricks.keras_graph import all_layers
from kerastricks.layers.batch_norm_statistics import recompute_batch_norm

Batches = Iterable[Any] | Callable[[], Iterable[Any]]


class WeightAverage(keras.callbacks.Callback):
    """Averages the weights at the ends of the last epochs, and puts the mean into the model.

    A rate that stays up keeps the weights moving around a wide minimum, and their mean lies nearer to its middle: it
    generalises better than any of them for no cost at use. It wants a rate that is constant or cyclical in the last
    epochs, a quarter to a half of the highest: after one that falls to zero all of them are equal. Where the weights
    still move far, as in a short training, the mean is worse than the last of them: with `validation` it is then not
    used, with a warning. Statistics of batch normalisation belong to the weights they were measured with, so they are
    recomputed on `batches`.

    For exponential averages take `kerastricks.training.Config(average="ema(decay=0.999)")`. Keras's own,
    `SGD(use_ema=True, ema_momentum=0.999)`, has no warm-up: for thousands of steps it is the random start, mostly; and
    after it the statistics have to be recomputed just the same: `kerastricks.layers.recompute_batch_norm`.

    Args:
        start: the fraction of the epochs after which averaging begins, in [0, 1). The weights that are there then, at
            the end of epoch ceil(start * epochs), are the first of the mean (the first epoch's where that is 0), and
            those of every later epoch follow: 0.75 of 8 epochs averages three, those of epochs 6, 7 and 8.
        batches: of training images, as an iterable or as a function that makes one; needed where the model has batch
            normalisation.
        validation: (images, labels), or a data set of both that can be read again: the mean is put into the model only
            where it scores no worse on them than the last weights, by accuracy (where the model is compiled with that
            metric) and then by loss. None to put it in untested, which is a warning where `fit` has validation data: a
            callback is not given them.

    Raises:
        ConfigError: for `start` outside [0, 1); when training begins, for a model that has batch normalisation and no
            batches.

    Example:
        >>> import keras, numpy
        >>> from kerastricks.callbacks import WeightAverage
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(0.1), "mse")
        >>> average = WeightAverage(start=0.5)
        >>> _ = model.fit(numpy.ones((8, 2)), numpy.ones((8, 1)), epochs=4, callbacks=[average], verbose=0)
        >>> average.averaged_epochs
        [2, 3, 4]

    Reference:
        Izmailov et al.: Averaging Weights Leads to Wider Optima and Better Generalization, arXiv 1803.05407, section
        3.2 and algorithm 1: the weights at `start` are the first of the mean. Deviation: one model an epoch, also of a
        cyclical rate, where the paper takes one a cycle; give `start` so that they agree, or `keep="snapshots(5)"` and
        a soup.
    """

    def __init__(self, start: float = 0.75, batches: Batches | None = None, validation: Any = None) -> None:
        super().__init__()
        if not 0 <= start < 1:
            raise ConfigError(f"start must be in [0, 1). Received: start={start}")
        self.start = start
        # A function is no part of a checkpoint, and a list of arrays would be.
        self._make_batches = batches if callable(batches) or batches is None else lambda: batches
        self._score = None if validation is None else lambda: self._scores(validation)
        self.averaged_epochs: list[int] = []
        self.mean: list[np.ndarray] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.averaged_epochs, self.mean = [], []
        if self._make_batches is None and has_batch_norm(self.model):
            raise ConfigError(
                "WeightAverage needs batches: the model has batch normalisation, whose statistics are not those of the "
                "mean weights: WeightAverage(batches=training_images)"
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if epoch + 1 < self.start * self.params["epochs"]:
            return
        weights = [keras.ops.convert_to_numpy(each.value) for each in self.model.trainable_variables]
        count = len(self.averaged_epochs)
        if count:
            weights = [mean + (new - mean) / (count + 1) for mean, new in zip(self.mean, weights, strict=True)]
        self.mean = [np.array(weight) for weight in weights]  # of their own: an array may be the variable's memory
        self.averaged_epochs = [*self.averaged_epochs, epoch + 1]

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if not self.averaged_epochs:
            warnings.warn("the training ended before the first epoch that WeightAverage averages", stacklevel=2)
            return
        epochs = f"the mean of the weights of epochs {self.averaged_epochs[0]} to {self.averaged_epochs[-1]}"
        if self._score is None:
            self.put_in()
            if "val_loss" in (logs or {}):
                warnings.warn(
                    f"{epochs} is in the model, and was not compared with the last weights: it may be worse than the "
                    "validation scores that fit showed. Give WeightAverage(validation=(images, labels))",
                    stacklevel=2,
                )
            return
        variables = self.model.weights
        last = [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in variables]
        before = self._score()
        self.put_in()
        after = self._score()
        if not _rank(after) >= _rank(before):
            for variable, value in zip(variables, last, strict=True):
                variable.assign(value)
            warnings.warn(
                f"{epochs} is NOT USED, it validates worse than the last weights, which are kept: {_shown(after)}; "
                f"last weights {_shown(before)}",
                stacklevel=2,
            )

    def _scores(self, validation: Any) -> dict[str, float]:
        data = validation if isinstance(validation, tuple) else (validation,)
        return self.model.evaluate(*data, verbose=0, return_dict=True)

    def put_in(self) -> None:
        """Replaces the weights by their mean, and the statistics by those of the mean."""
        for variable, value in zip(self.model.trainable_variables, self.mean, strict=True):
            variable.assign(value)
        if self._make_batches is not None:
            recompute_batch_norm(self.model, self._make_batches())


def _rank(scores: dict[str, float]) -> tuple[float, float]:
    """Higher is better, NaN is worse than anything."""
    loss = float(scores["loss"])
    return round(float(scores.get("accuracy", 0.0)), 6), -np.inf if np.isnan(loss) else -loss


def _shown(scores: dict[str, float]) -> str:
    accuracy = f"accuracy {scores['accuracy']:.2%}, " if "accuracy" in scores else ""
    return f"{accuracy}loss {scores['loss']:.4f}"


def has_batch_norm(model: keras.Model) -> bool:
    """Whether the model has a trainable batch normalization, at any depth."""
    layers = all_layers(model, include_self=False)
    return any(isinstance(layer, keras.layers.BatchNormalization) and layer.trainable for layer in layers)


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
        monitor: the accuracy in the logs, "val_accuracy" or another of validation, such as "val_balanced_accuracy".

    Raises:
        ConfigError: after an epoch whose logs lack `monitor`.

    Example:
        >>> from kerastricks.callbacks import BestWeights
        >>> callback = BestWeights(accuracy=0.87, loss=0.41, patience_epochs=3)
    """

    def __init__(
        self,
        accuracy: float | None = None,
        loss: float | None = None,
        patience_epochs: int | None = None,
        monitor: str = "val_accuracy",
    ) -> None:
        super().__init__()
        self.best_accuracy = -1.0 if accuracy is None else float(accuracy)
        self.best_loss = float("inf") if loss is None else float(loss)
        self.best_epoch = 0
        self.patience_epochs = patience_epochs
        self.monitor = monitor
        self.best_weights: list[np.ndarray] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not self.best_weights:
            self._keep()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        if self.monitor not in logs:
            raise ConfigError(f"monitor={self.monitor!r} is not in the logs: there is {', '.join(sorted(logs))}")
        accuracy, loss = float(logs[self.monitor]), float(logs["val_loss"])
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
