"""Augmentation from a spec as a Keras layer: on the device, in the training step, or anywhere in Keras code."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Self

import keras
from keras import ops

from kerastricks.augment import sequence
from kerastricks.augment.colour_statistics import ColourStatistics
from kerastricks.augment.op import Draws, ImageSpec, MixOp, Statistics, op_name
from kerastricks.augment.plan import Plan
from kerastricks.augment.spatial_step import Store
from kerastricks.errors import SpecError


@keras.saving.register_keras_serializable(package="kerastricks")
class Augment(keras.layers.Layer):
    """Augments each image of a batch by the ops of a spec such as "flip | pad_crop(4) | brightness(0.2)".

    Every image has its own draws. Neighbouring ops are fused: all that move pixels into one gather or one resampling,
    all that change colours linearly into one matrix per image with one clip. It makes a network indifferent to what
    the ops change, and hurts where the label depends on that. Training: the ops are applied. Inference: the identity,
    except for `normalize`, which draws nothing and is applied always.

    `mixup` and `cutmix` mix labels too: call the layer with `(images, labels)`. `fancy_pca` and `normalize` need the
    colours of the training images: give `statistics`, or call `fit`. Ops that count epochs (`alternating_flip`) or
    classes (`for_rare`) run only in `kerastricks.data.load(augment=...)`.

    Args:
        spec: the ops, "name(argument, ...) | ...", in the order they are applied; `kerastricks.augment.ops.OPS` has
            all of them. "" is none.
        classes: number of classes, 2 or more, to make integer labels one-hot for `mixup` and `cutmix`; None where
            labels are one-hot already, or not mixed.
        statistics: `kerastricks.data.PixelStatistics`, or anything with its `mean`, `std` and `eigen()`, or a mapping
            of `mean`, `std`, `eigenvalues`, `eigenvectors`; None for ops that need none.
        seed: of the draws, an integer, or None for a random one.
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`.

    Call arguments:
        inputs: images, float or integer, (batch, height, width, channels), 0 to 255, height, width and channels fixed;
            or (images, labels), with labels (batch,) or (batch, 1) integer, or (batch, classes).
        training: whether to draw.

    Returns:
        Images of the same shape in the layer's compute dtype, computed in float32; if labels went in, (images,
        labels): labels as they came, or (batch, classes) float32 where the spec mixes, in inference too.

    Raises:
        UnknownNameError: for an op that is not there.
        SpecError: for a spec that does not parse, arguments an op refuses, images it is not made for, statistics or
            classes that are missing, an op that counts epochs or classes, or images without labels where the spec
            mixes.
        ValueError: for `classes` below 2, statistics that are none, sizes that are not known, or labels of another
            shape.

    Example:
        >>> import kerastricks, numpy
        >>> layer = kerastricks.augment.Augment("flip | pad_crop(2) | brightness(0.2)", seed=0)
        >>> layer(numpy.full((2, 8, 8, 3), 128, "uint8"), training=True).shape
        TensorShape([2, 8, 8, 3])

    Reference:
        Each op names its own, see `kerastricks.augment.ops`. Deviation: a run of ops that change colours is clipped to
        0-255 once, at its end.
    """

    def __init__(
        self,
        spec: str,
        classes: int | None = None,
        statistics: Statistics | Mapping[str, Any] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        # Without autocast: bytes stay bytes while pixels only move, and 0 to 255 has no room in bfloat16.
        super().__init__(autocast=False, **kwargs)
        if classes is not None and (isinstance(classes, bool) or not isinstance(classes, int) or classes < 2):
            raise ValueError(f"classes must be an integer, 2 or more, or None. Received: classes={classes!r}")
        unbound = sequence.read(spec, None)
        for place, op in enumerate(unbound, start=1):
            if op.needs_place:
                raise SpecError(
                    f"{op_name(op)} counts epochs or classes, which a layer does not: give it to "
                    f"kerastricks.data.load(augment=...) (op {place} of {spec!r})"
                )
        self.spec = spec
        self.classes = classes
        self.statistics = None if statistics is None else ColourStatistics.of(statistics)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self._mixer = next((op_name(op) for op in unbound if isinstance(op, MixOp)), None)

    @property
    def mixes(self) -> bool:
        """Whether labels are mixed too."""
        return self._mixer is not None

    def fit(self, data: Any) -> Self:
        """Takes mean, deviation and principal components of all pixels of `data`, read once, and returns the layer.

        Call it with only the training split, before the model is compiled: a training step that is compiled already
        keeps the colours it was compiled with. What is found is part of the layer's configuration, so that it is saved
        with the model.

        Args:
            data: images 0 to 255: one array (N, height, width, channels), also one on disk, or an iterable of batches,
                each an array or a tuple (images, ...).

        Raises:
            ValueError: for no images, another shape, or values that are not 0 to 255.
        """
        self.statistics = ColourStatistics.measure(data)
        return self

    def plan(self, image_shape: tuple[int, int, int], classes: int | None = None) -> Plan:
        """The plan for training images of (height, width, channels)."""
        return _plan(self.spec, ImageSpec(image_shape, classes or self.classes, self.statistics), False)

    def draw(self, batch: Any, plan: Plan) -> Any:
        """Draws (batch, plan.uniforms) float32 in [0, 1) from the layer's generator."""
        if not plan.uniforms:
            return ops.zeros((batch, 0), "float32")
        return keras.random.uniform((batch, plan.uniforms), dtype="float32", seed=self.seed_generator)

    def transform(self, images: Any, labels: Any, uniforms: Any, plan: Plan) -> tuple[Any, Any]:
        """Applies the plan with given draws, (batch, plan.uniforms) in [0, 1).

        `images` may be a `Store` where the plan takes it. Returns float32 images, and labels or None.
        """
        if not isinstance(images, Store):
            images = _bytes_or_floats(images)
        if self.mixes and labels is not None:
            labels = _one_hot(labels, plan.image_spec.class_count)
        images, labels = plan(images, labels, Draws(uniforms), ops)
        return ops.cast(images, "float32"), labels

    def build(self, input_shape: Any) -> None:
        images, labels = _split(input_shape)
        self._image_spec(images, labels)
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        images, labels = _split(inputs)
        image_spec = self._image_spec(tuple(images.shape), None if labels is None else tuple(labels.shape))
        plan = _plan(self.spec, image_spec, not training)
        images, labels = self.transform(images, labels, self.draw(ops.shape(images)[0], plan), plan)
        images = ops.cast(images, self.compute_dtype)
        return images if labels is None else (images, labels)

    def compute_output_shape(self, input_shape: Any) -> Any:
        images, labels = _split(input_shape)
        image_spec = self._image_spec(images, labels)
        if labels is None:
            return tuple(images)
        return tuple(images), (labels[0], image_spec.class_count) if self.mixes else tuple(labels)

    def compute_output_spec(self, inputs: Any, training: bool = False) -> Any:
        images, labels = _split(inputs)
        if labels is None:
            return keras.KerasTensor(self.compute_output_shape(images.shape), dtype=self.compute_dtype)
        shape, label_shape = self.compute_output_shape((images.shape, labels.shape))
        dtype = "float32" if self.mixes else keras.backend.standardize_dtype(labels.dtype)
        return keras.KerasTensor(shape, dtype=self.compute_dtype), keras.KerasTensor(label_shape, dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "spec": self.spec,
            "classes": self.classes,
            "statistics": None if self.statistics is None else self.statistics.to_config(),
            "seed": self.seed,
        }

    def _image_spec(self, images: Any, labels: Any) -> ImageSpec:
        """Image spec of inputs of such shapes; raises for wrong ones before anything runs."""
        received = f"Received: shape {tuple(images)} for Augment {self.name!r}"
        if len(images) != 4 or None in tuple(images)[1:]:
            raise ValueError(
                "images must be (batch, height, width, channels) with fixed height, width and channels: "
                f"give keras.Input the numbers. {received}"
            )
        classes = self.classes
        if self.mixes:
            if labels is None:
                raise SpecError(
                    f"{self._mixer} mixes labels too: call the layer with (images, labels). Received: only images for "
                    f"{self.spec!r}"
                )
            columns = labels[1] if len(labels) == 2 else 1 if len(labels) == 1 else None
            if classes is None and columns != 1:
                classes = columns
            if columns is None or columns not in (1, classes):
                raise ValueError(
                    f"labels must be (batch,), (batch, 1) or (batch, {classes or 'classes'}). "
                    f"Received: shape {tuple(labels)}"
                )
        image_spec = ImageSpec(tuple(images)[1:], classes, self.statistics)
        _plan(self.spec, image_spec, False)
        return image_spec


@lru_cache(maxsize=256)
def _plan(text: str, image_spec: ImageSpec, drawless: bool) -> Plan:
    """The whole plan, or the ops that are applied in inference too."""
    return Plan([op for op in sequence.read(text, image_spec) if op.ends_raw or not drawless], image_spec)


def _split(inputs: Any) -> tuple[Any, Any]:
    """(images, labels or None), or their shapes."""
    pair = isinstance(inputs, tuple | list) and inputs and not isinstance(inputs[0], int | None)
    if pair and len(inputs) != 2:
        raise ValueError(f"inputs must be images or (images, labels). Received: {len(inputs)} of them")
    return tuple(inputs) if pair else (inputs, None)


def _one_hot(labels: Any, classes: int | None) -> Any:
    """(batch, classes) float32, from that or from integers (batch,) or (batch, 1)."""
    labels = ops.convert_to_tensor(labels)
    if len(labels.shape) == 2 and labels.shape[1] != 1:
        return ops.cast(labels, "float32")
    return ops.one_hot(ops.reshape(ops.cast(labels, "int32"), (-1,)), classes, dtype="float32")


def _bytes_or_floats(images: Any) -> Any:
    """Keeps uint8, casts everything else to float32."""
    images = ops.convert_to_tensor(images)
    return images if keras.backend.standardize_dtype(images.dtype) == "uint8" else ops.cast(images, "float32")
