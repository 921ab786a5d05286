"""The head of a trained classifier: its outputs on a split, and the model with another head."""

from dataclasses import dataclass

import keras
import numpy as np
from scipy import special

from kerastricks.data.image_data import ImageData
from kerastricks.ensemble.member import Member
from kerastricks.ensemble.outputs import features_and_outputs
from kerastricks.errors import RunFolderError
from kerastricks.imbalance.post_hoc import tau_normalize
from kerastricks.imbalance.post_hoc_choice import TriedRemedy
from kerastricks.keras_graph import all_layers, last_dense, split_head
from kerastricks.layers.without_augmentation import with_layers
from kerastricks.models.head import free_name
from kerastricks.progress import Progress
from kerastricks.runs.ensemble_data import predict_split

_AGREES = 1e-3  # of probabilities, between the model and its head in NumPy


@dataclass(frozen=True, eq=False)
class HeadOutputs:
    """Outputs of a classifier on the images of a split.

    Args:
        log_probabilities: (N, K) float64.
        features: (N, D) float32 that the last dense layer gets; None for a head that is none.
    """

    log_probabilities: np.ndarray
    features: np.ndarray | None


@dataclass(frozen=True, eq=False)
class ClassifierHead:
    """A classifier and its last dense layer.

    Args:
        model: from pixels to probabilities or logits.
        name: what errors call it.
        dense: that gives the logits; None where another layer does.
    """

    model: keras.Model
    name: str
    dense: keras.layers.Dense | None

    @classmethod
    def of(cls, model: keras.Model, name: str) -> "ClassifierHead":
        """Find the head of a model.

        Raises:
            EnsembleError: for a model that does not end in logits or a softmax.
        """
        Member(model, name)  # refuses
        return cls(model, name, last_dense(model))

    @property
    def kernel(self) -> np.ndarray | None:
        """(D, K) float64 of the dense layer; None where there is none."""
        return None if self.dense is None else np.asarray(self.dense.get_weights()[0], "float64")

    @property
    def bias(self) -> np.ndarray:
        """(K,) float64 of the dense layer; zeros where there is none."""
        weights = [] if self.dense is None else self.dense.get_weights()
        return np.asarray(weights[1], "float64") if len(weights) > 1 else np.zeros(self.model.output_shape[-1])

    def predict(self, data: ImageData, split: str, progress: Progress) -> HeadOutputs:
        """Compute features and log-probabilities for the images of a split, in one pass.

        Raises:
            RunFolderError: for outputs that are not finite.
        """
        member = Member(self.model, self.name)
        if self.dense is None:
            found = predict_split(member.log_probabilities("outputs"), data, split, progress).astype("float64")
            self._refuse_not_finite(found)
            return HeadOutputs(found, None)
        features, outputs = features_and_outputs(member, "outputs").outputs
        joined = keras.layers.Concatenate(dtype="float32")([features, outputs])
        model = keras.Model(self.model.inputs[0], joined, name=self.model.name)
        found = predict_split(model, data, split, progress)
        self._refuse_not_finite(found)
        features, outputs = np.split(found, [found.shape[1] - self.model.output_shape[-1]], axis=1)
        return HeadOutputs(outputs.astype("float64"), features)

    def with_known_dense(self, outputs: HeadOutputs) -> "ClassifierHead":
        """The head itself, or without a dense layer that does not by itself compute the outputs from the features."""
        if outputs.features is None or self.kernel is None:
            return self
        if outputs.features.shape[1] == len(self.kernel):
            logits = outputs.features @ self.kernel + self.bias
            difference = np.abs(special.softmax(logits, axis=1) - np.exp(outputs.log_probabilities))
            if difference.max() <= _AGREES:
                return self
        return ClassifierHead(self.model, self.name, None)

    def _refuse_not_finite(self, outputs: np.ndarray) -> None:
        if not np.isfinite(outputs).all():
            raise RunFolderError(
                f"{self.name}: gives outputs that are not finite (NaN or infinite): its training diverged; train again"
            )


@dataclass(frozen=True, eq=False)
class NewHead:
    """A head in place of another.

    Args:
        kernel: (D, K); None where only offsets are added to the logits.
        bias: (K,), the offsets where there is no kernel.
    """

    kernel: np.ndarray | None
    bias: np.ndarray

    @classmethod
    def of(
        cls, head: ClassifierHead, remedy: TriedRemedy, retrained: tuple[np.ndarray, np.ndarray] | None = None
    ) -> "NewHead":
        """The head that a remedy gives.

        Args:
            head: of the network; with a dense layer for "tau_norm" and "retrain".
            remedy: that was chosen.
            retrained: kernel and bias of "retrain".
        """
        if remedy.method == "retrain" and retrained is not None:
            return cls(*retrained)
        kernel = head.kernel
        if remedy.method == "tau_norm" and kernel is not None and remedy.tau is not None:
            return cls(tau_normalize(kernel, remedy.tau), np.zeros(kernel.shape[1]))
        offsets = 0.0 if remedy.offsets is None else remedy.offsets
        return cls(kernel, head.bias + offsets)

    def log_probabilities(self, outputs: HeadOutputs) -> np.ndarray:
        """Compute the log-probabilities (N, K) float64 with this head from the outputs with the other."""
        if self.kernel is None or outputs.features is None:
            return special.log_softmax(outputs.log_probabilities + self.bias, axis=1)
        return special.log_softmax(outputs.features @ self.kernel + self.bias, axis=1)

    def model(self, head: ClassifierHead) -> keras.Model:
        """The classifier with this head, of Keras's own layers; all other weights are shared.

        The last dense layer is exchanged. Where logits come from another layer, a dense layer with the identity as
        kernel adds the offsets to them.

        Raises:
            RunFolderError: where the classifier gives probabilities by something else than a softmax layer.
        """
        model, dense = head.model, head.dense
        if dense is not None and self.kernel is not None:
            exchanged = keras.layers.Dense.from_config({**dense.get_config(), "use_bias": True})
            made = with_layers(model, lambda layer: exchanged if layer is dense else layer)
            exchanged.set_weights([self.kernel, self.bias])
            return made
        check_offsets(head)
        body, _ = split_head(model)
        taken = {layer.name for layer in all_layers(model)}
        offsets = keras.layers.Dense(len(self.bias), dtype="float32", name=free_name("class_offsets", taken))
        logits = offsets(body.outputs[0])
        offsets.set_weights([np.eye(len(self.bias)), self.bias])
        probabilities = keras.layers.Softmax(dtype="float32", name=free_name("balanced_probabilities", taken))(logits)
        return keras.Model(model.inputs[0], probabilities, name=model.name)


def check_offsets(head: ClassifierHead) -> None:
    """Raise RunFolderError for a head without a dense layer that gives probabilities, which no bias can change."""
    if head.dense is None and not split_head(head.model)[1]:
        raise RunFolderError(
            f"{head.name}: its last layer gives probabilities, and is neither a dense layer nor a softmax after "
            "logits: train with a network that ends in keras.layers.Softmax"
        )
