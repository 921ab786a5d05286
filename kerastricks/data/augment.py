"""A spec such as "flip | pad_crop(4) | fancy_pca(0.1)" as the two stages of a pipeline."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import keras
import tensorflow as tf

from kerastricks import spec
from kerastricks.data.ops import OPS
from kerastricks.data.statistics import PixelStatistics
from kerastricks.data.tensorflow_device import has_gpu
from kerastricks.errors import SpecError, UnknownNameError

Stages = Literal["auto", "host"]


class Augmentation:
    """The ops of a spec, divided between the host and the device.

    Index ops run on the host, on uint8. Colour ops come last; they run at the end of the host stage where the
    TensorFlow backend trains on a CPU, and otherwise as Keras layers on the device. "host" keeps all there.

    Args:
        text: the spec; "" is none.
        statistics: of the training split; fits fancy PCA.
        seed: of the device's draws.
        stages: "auto" or "host".
        image_shape: (height, width, channels), to refuse at once what such images are too small for.

    Raises:
        UnknownNameError: for an op that is not there.
        SpecError: for arguments an op refuses, or an index op behind a colour op.
    """

    def __init__(
        self,
        text: str,
        statistics: PixelStatistics,
        seed: int,
        stages: Stages = "auto",
        image_shape: tuple[int, int, int] | None = None,
    ) -> None:
        if stages not in ("auto", "host"):
            raise SpecError(f'stages must be "auto" or "host". Received: stages={stages!r}')
        colours_on_host = stages == "host" or (keras.backend.backend() == "tensorflow" and not has_gpu())
        self.text = text
        self._arguments: dict[str, Any] = {"statistics": statistics, "stages": stages, "image_shape": image_shape}
        self.host_ops: list[Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = []
        device_layers: list[keras.layers.Layer] = []
        colour_before: str | None = None
        for place, parsed in enumerate(spec.parse_sequence(text), start=1):
            with _naming(parsed, place, text):
                op = parsed.call(OPS[parsed.name])
                if image_shape is not None and hasattr(op, "check"):
                    op.check(image_shape)
            if not hasattr(op, "layer"):
                if colour_before is not None:
                    raise SpecError(
                        f"{parsed.name} (op {place} of {text!r}) stands behind {colour_before}: ops that change "
                        "colours come last"
                    )
                self.host_ops.append(op)
                continue
            colour_before = parsed.name
            with _naming(parsed, place, text):
                layer = op.layer(statistics, seed + place)
            if colours_on_host:
                self.host_ops.append(_on_host(op, layer))
            else:
                device_layers.append(layer)
        self.device_stage = keras.Sequential(device_layers, name="device_stage") if device_layers else None

    def reseeded(self, seed: int) -> "Augmentation":
        """The same ops with other draws on the device."""
        return Augmentation(self.text, seed=seed, **self._arguments)

    def on_host(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Applies the host's ops to a batch; `seed` (int64, shape [2]) decides every draw."""
        for place, op in enumerate(self.host_ops):
            images = op(images, tf.random.experimental.stateless_fold_in(seed, place))
        return images


@contextmanager
def _naming(parsed: spec.Spec, place: int, text: str) -> Iterator[None]:
    """Adds to an op's own message which op of which spec it is."""
    try:
        yield
    except UnknownNameError:
        raise
    except (SpecError, TypeError, ValueError) as error:
        message = str(error)
        if not message.startswith(parsed.name):
            message = f"{parsed if isinstance(error, TypeError) else parsed.name}: {message}"
        raise SpecError(f"{message} (op {place} of {text!r})") from None


def _on_host(op: Any, layer: keras.layers.Layer) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    return lambda images, seed: op.apply(layer, images, seed)
