import keras
import numpy as np
import pytest

from kerastricks.callbacks import BestWeights
from kerastricks.errors import ConfigError


class Script(keras.callbacks.Callback):
    """Sets weight and scores of each epoch."""

    def __init__(self, scores):
        super().__init__()
        self.scores = scores

    def on_epoch_end(self, epoch, logs=None):
        self.model.set_weights([np.full(weight.shape, epoch + 1.0) for weight in self.model.get_weights()])
        logs["val_accuracy"], logs["val_loss"] = self.scores[epoch]


def train(best, scores):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile("sgd", "mse")
    x = np.zeros((4, 2), "float32")
    model.fit(x, x[:, :1], epochs=len(scores), verbose=0, callbacks=[Script(scores), best])
    return float(np.array(model.get_weights()[0])[0, 0])


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ([(0.5, 1.0), (0.7, 1.0), (0.6, 0.1)], 2),
        ([(0.7, 1.0), (0.7, 0.9), (0.7, 0.95)], 2),
        ([(0.2, 1.0), (0.3, 1.0), (0.4, 1.0)], 3),
    ],
)
def test_the_best_epoch_is_kept_and_of_equals_that_of_lower_loss(scores, kept):
    best = BestWeights()
    assert train(best, scores) == kept
    assert best.best_epoch == kept


def test_what_it_began_with_is_kept_where_nothing_is_better():
    best = BestWeights(accuracy=0.8, loss=0.5)
    assert train(best, [(0.7, 0.1), (0.8, 0.6)]) == 0
    assert (best.best_epoch, best.best_accuracy) == (0, 0.8)


def test_patience_ends_the_training():
    best = BestWeights(patience_epochs=2)
    assert train(best, [(0.9, 1.0), (0.1, 1.0), (0.1, 1.0), (1.0, 0.0)]) == 1


def test_equal_counts_are_equal_whatever_their_precision():
    best = BestWeights(accuracy=8 / 9, loss=0.5)
    assert train(best, [(float(np.float32(8 / 9)), 0.7)]) == 0
    best = BestWeights(accuracy=0.7, loss=0.5)
    assert train(best, [(float(np.float32(0.7)), 0.4)]) == 1


def test_another_accuracy_can_decide_and_one_that_is_not_there_is_named():
    class Balanced(Script):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            logs["val_balanced_accuracy"] = (0.3, 0.6, 0.5)[epoch]

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    model.compile("sgd", "mse")
    x = np.zeros((4, 2), "float32")
    best = BestWeights(monitor="val_balanced_accuracy")
    script = Balanced([(0.9, 1.0), (0.8, 1.0), (0.7, 1.0)])
    model.fit(x, x[:, :1], epochs=3, verbose=0, callbacks=[script, best])
    assert (best.best_epoch, best.best_accuracy) == (2, 0.6)
    with pytest.raises(ConfigError, match="monitor='val_balanced_accuracy' is not in the logs: there is loss, val_acc"):
        train(BestWeights(monitor="val_balanced_accuracy"), [(0.9, 1.0)])
