"""Measures the gradient noise scale of a model on images."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from kerastricks.checks.images import as_images, as_labels, functional, random_state_kept
from kerastricks.checks.instrument import Instrument, values
from kerastricks.checks.noise_scale import BatchSizeReport, check_sizes
from kerastricks.checks.signal_check import Differentiator, KeepGradients
from kerastricks.errors import UsageError


def check_batch_size(
    model: keras.Model,
    images: Any,
    labels: Any,
    *,
    small: int = 16,
    large: int = 256,
    repeats: int = 20,
    seed: int = 0,
) -> BatchSizeReport:
    """Measures the simple gradient noise scale: about the batch size above which larger ones pay less.

    The noise scale is tr(Sigma) / |G|^2: the summed variance of one image's gradient, divided by the squared norm of
    the mean gradient. Both come from squared norms at two batch sizes: the gradient of a large batch is the mean of
    those of the small ones that it is made of. Each is averaged over repeats before the ratio, whose interval is a
    bootstrap over repeats.

    What it predicts is the trade between steps and images for a well-tuned learning rate: a batch of the noise scale
    needs about twice the fewest steps and twice the fewest images. It is a prediction of the order of magnitude: the
    simple noise scale ignores curvature. It holds for the weights as they are, and grows as the loss falls. It says
    nothing about speed on a device, memory, or generalization.

    The layers work as in a training step, on a copy: the model, its optimizer and the random state of the process stay
    as they are. Batch normalization sees `small` images at a time; regularizers and augmentation are left out.

    Args:
        model: functional or Sequential, ending in a softmax or in logits.
        images: (N, height, width, channels) as the model takes them, N of `large` or more; `repeats` times `large` keep
            the batches apart.
        labels: (N,) class indices.
        small: images in a small batch.
        large: images in a large batch, a multiple of `small`. An estimate is firm where the noise scale lies between
            both, or not far off.
        repeats: large batches that are measured, 2 or more.
        seed: of the choice of images, and of dropout under torch.

    Returns:
        A `BatchSizeReport`: `noise_scale`, `interval`, `to_text()`, `to_json()`, `plot(path)`.

    Raises:
        UsageError: for sizes, images or labels that do not fit, and for a model that cannot be copied layer by layer.

    Example:
        >>> import keras, kerastricks, numpy
        >>> images = numpy.random.default_rng(0).normal(size=(64, 4, 4, 1))
        >>> labels = (images.mean(axis=(1, 2, 3)) > 0).astype("int32")
        >>> model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])
        >>> report = kerastricks.checks.check_batch_size(model, images, labels, small=4, large=16, repeats=4)
        >>> 0 < report.noise_scale
        True

    Reference:
        McCandlish, Kaplan, Amodei: An Empirical Model of Large-Batch Training, 2018 (arXiv 1812.06162): the simple
        noise scale, equation 2.9, and its estimate, appendix A.1, equations A.2 and A.3. There the estimates are
        averaged along a training; here over batches at fixed weights, drawn without replacement. On N images both stay
        unbiased for the distribution that these come from.
    """
    plain = functional(model)
    check_sizes(small, large, repeats)
    images = as_images(images, plain)
    if len(images) < large:
        raise UsageError(
            f"images must be {large} or more, a large batch: take a smaller large. Received: {len(images)}"
        )
    if labels is None:
        raise UsageError("labels must be class indices: the noise of drawn ones is not that of a training")
    with random_state_kept(seed):
        instrument = Instrument(model, images.shape[1:], lambda place, tensor: tensor, to_logits=True)
        labels = as_labels(labels, len(images), instrument.model.output_shape[-1], seed)
        gradients = _Gradients(instrument.model)
        small_squares, large_squares, losses = [], [], []
        for chosen in _large_batches(len(images), large, repeats, seed):
            total: list[np.ndarray] = []
            squares = []
            for start in range(0, large, small):
                part = chosen[start : start + small]
                loss, found = gradients.of(images[part], labels[part])
                losses.append(loss)
                squares.append(_squared_norm(found))
                total = [a + b for a, b in zip(total, found, strict=True)] if total else found
            small_squares.append(float(np.mean(squares)))
            large_squares.append(_squared_norm(total) / (large // small) ** 2)
    return BatchSizeReport(
        model.name, len(images), float(np.mean(losses)), small, large, tuple(small_squares), tuple(large_squares)
    )


def _large_batches(images: int, large: int, repeats: int, seed: int) -> Iterator[np.ndarray]:
    """Yields indices of large batches: different images in each, and in all of them as long as there are enough."""
    generator = np.random.default_rng(seed)
    in_a_pass = images // large
    for repeat in range(repeats):
        if repeat % in_a_pass == 0:
            order = generator.permutation(images)
        start = repeat % in_a_pass * large
        yield order[start : start + large]


def _squared_norm(gradients: list[np.ndarray]) -> float:
    return float(sum(np.sum(np.square(gradient)) for gradient in gradients))


class _Gradients:
    """Gradients of the mean cross-entropy of a batch with respect to all trainable weights.

    Args:
        logits: a copy of the model.
    """

    def __init__(self, logits: keras.Model) -> None:
        self.trainer = Differentiator(logits)
        self.variables = list(self.trainer.trainable_variables)
        if not self.variables:
            raise UsageError(f"model has no trainable weight. Received: {logits.name!r}")
        for variable in self.variables:
            variable.constraint = None  # applied after a step, it would change the weights between two batches
        for variable in self.trainer.variables:
            # A compiled step of JAX frees the arrays that it is given, and those of the copy are the model's.
            variable.assign(np.array(keras.ops.convert_to_numpy(variable)))
        self.optimizer = KeepGradients(learning_rate=1.0, name="keep_gradients")
        # All batches are of one shape: a compiled step is used hundreds of times.
        compiled = keras.backend.backend() == "jax"
        self.trainer.compile(optimizer=self.optimizer, jit_compile=compiled, auto_scale_loss=False)

    def of(self, images: np.ndarray, labels: np.ndarray) -> tuple[float, list[np.ndarray]]:
        """The mean loss and its gradients, float64."""
        self.trainer.train_on_batch(images, labels)
        found = [self.optimizer.of(variable) / len(images) for variable in self.variables]
        return float(values(self.trainer.loss_sum)) / len(images), found
