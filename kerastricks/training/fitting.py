"""`fit`: trains a classifier on loaded images, after all its arguments have been checked."""

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastricks.augment.augment_layer import Augment
from kerastricks.callbacks.doctor import Doctor
from kerastricks.callbacks.logs import BatchLossLog, MetricsLog
from kerastricks.callbacks.plateau_decay import PlateauDecay
from kerastricks.callbacks.progress_line import ProgressLine
from kerastricks.data.image_data import ImageData
from kerastricks.data.pipeline.tensorflow_device import has_gpu
from kerastricks.doctor.reading import read_log
from kerastricks.errors import ConfigError, UnknownNameError, UsageError
from kerastricks.imbalance.remedies import BalancedLoss
from kerastricks.imbalance.weighting import check_images
from kerastricks.keras_graph import all_layers, precision, split_head
from kerastricks.keras_hook import check_settings
from kerastricks.lazy import renamed_arguments
from kerastricks.losses.balanced_losses import (
    FocalCrossentropy,
    LabelAwareSmoothing,
    LDAMLoss,
    LogitAdjustedCrossentropy,
)
from kerastricks.losses.distillation_loss import DistillationLoss
from kerastricks.losses.label_smoothing_crossentropy import LabelSmoothingCrossentropy
from kerastricks.models.head import has_cosines
from kerastricks.training import checkpoint
from kerastricks.training.config import Config
from kerastricks.training.device import DevicePixels
from kerastricks.training.distillation import Distillation, Teacher
from kerastricks.training.fused_batch_norm import fused_batch_norm
from kerastricks.training.monitoring import compiled_metrics, early_stopping
from kerastricks.training.optimizer import build_optimizer, build_schedule, not_finalized, plateau_decay
from kerastricks.training.pace import Pace
from kerastricks.training.resolved_config import resolve
from kerastricks.training.resumable import Checkpointer, ResumableCallbacks, SeedTorch, StopRequest, catch_signals
from kerastricks.training.training_model import TrainingModel
from kerastricks.training.weight_callbacks import keep_and_average


def check_callbacks(callbacks: Sequence[keras.callbacks.Callback], config: Config, total_steps: int) -> None:
    """Refuses a callback that sets the learning rate beside a schedule: Keras's own message names neither."""
    setters = (keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau, PlateauDecay)
    for callback in callbacks:
        if not isinstance(callback, setters):
            continue
        if plateau_decay(config, total_steps) is not None:
            raise ConfigError(
                f"{type(callback).__name__} sets the learning rate, and so does schedule={config.schedule!r}: "
                'leave one of them out; the callback goes with schedule="constant"'
            )
        schedule = build_schedule(config, total_steps)
        if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
            warmup = f" with the warm-up of scale_lr={config.scale_lr!r}" if schedule.name == "warmup" else ""
            raise ConfigError(
                f"{type(callback).__name__} sets the learning rate, and so does schedule={config.schedule!r}{warmup}: "
                'take schedule="plateau(factor=2, patience=5)", which needs no callback, or schedule="constant"'
            )


def check_lr_multipliers(lr_multipliers: Mapping[str, float] | None, model: keras.Model) -> None:
    """Raises UsageError for layers that the model does not have, and for factors that are not above 0."""
    names = {layer.name for layer in all_layers(model, include_self=False)}
    for name, factor in (lr_multipliers or {}).items():
        if name not in names:
            raise UnknownNameError("layer of the model", name, names)
        if not 0 < factor < math.inf:
            raise ConfigError(
                f"lr_multipliers must be above 0: freeze a layer by trainable = False. Received: {name}={factor}"
            )


SATURATION = 0.995  # training accuracy: docs/training.md


@renamed_arguments(rates="lr_multipliers")
def fit(
    model: keras.Model,
    data: ImageData,
    config: Config | None = None,
    *,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    lr_multipliers: Mapping[str, float] | None = None,
    distillation: Distillation | None = None,
    run_folder: Path | None = None,
    progress_line: bool = True,
    seconds: float | None = None,
) -> keras.callbacks.History:
    """Trains `model` in place, with the device stage of `data` in front of it.

    The precision is changed for the training only; weights and the model that is left are float32. With the same
    seed, data and a model of the same initial weights, the trained weights on one machine's CPU are the same to
    the bit. Where the device does all of the augmentation of images in memory, they are sent there once.

    Where the augmentation mixes labels, `loss` is the cross-entropy against the mixed labels, smoothed as any other,
    and `accuracy` counts the class of most share: both look worse than what `val_loss` and `val_accuracy` say of
    untouched images. Where images have weights, `loss` is the mean of weight times loss over a batch, the weights being
    of mean 1 over all training images; validation and accuracy are unweighted. Where `config.monitor` is the balanced
    accuracy or the macro F1, it is logged too, of training and of validation.

    Args:
        model: functional or Sequential, (batch, height, width, channels) 0-255 to probabilities or logits.
        data: from `kerastricks.data.load`.
        config: `data`, `model`, `augment` and the sizes of the splits are not read here: `data` has them.
        callbacks: any of Keras's. Their plain attributes are part of a checkpoint, unless they say
            `is_saved = False`. Their `model` is the training model; its `classifier` shares all weights with yours, and
            its `save` writes yours. A `Doctor` of a resumed training reads what `run_folder` has of it.
        lr_multipliers: factors of `config.learning_rate` by the names of layers (0.1 for a tenth); 1 for all others.
            Layers that shall not learn at all have `trainable = False`.
        distillation: a teacher to learn from; `loss` is then the distillation's, `val_loss` the cross-entropy as ever.
        run_folder: where metrics.jsonl, batch_loss.f32 and the checkpoint are written. If a checkpoint is there,
            training is resumed from it and ends in the same weights as if it had not been interrupted.
        progress_line: whether a line per epoch is shown on standard error.
        seconds: of the wall, that training may take, those of the processes before a resumed one counted in: where its
            epochs do not fit, the rest of the schedule is passed through faster, and it ends before them. None for
            `config.minutes`. Validation and saving after the last step are all that comes later.

    Returns:
        Keras's `History` of the epochs of this call.

    Raises:
        UsageError: for a model that is no classifier of these images, or a Keras that is set to channels first or
            another precision than float32.
        DataError: for a file that is gone, cut or another one since it was looked at.
        TrainingDivergedError: when the loss is not finite, and when a `Doctor` stops the training.
        ServiceLostError: when a data service fails for good.
        CheckpointError: when a checkpoint cannot be written or read.
        Interrupted: after Ctrl-C or SIGTERM, when the state has been saved in `run_folder`.

    Example:
        >>> import kerastricks, numpy
        >>> x = numpy.random.default_rng(0).integers(0, 256, (64, 8, 8, 1)).astype("uint8")
        >>> data = kerastricks.data.load((x, numpy.arange(64) % 2), batch_size=16)
        >>> model = kerastricks.models.create("plain_cnn(widths=(4,))", data.image_shape, 2)
        >>> history = kerastricks.training.fit(model, data, kerastricks.training.Config(epochs=1))
        >>> sorted(history.history)
        ['accuracy', 'loss', 'val_accuracy', 'val_loss']
    """
    check_settings()
    resolved = resolve(config or Config(), data)
    check_fits(model, data)
    remedies = resolved.specs.imbalance
    if cosine_scale(resolved) is not None and not any(map(has_cosines, all_layers(model))):
        raise ConfigError(
            "imbalance: ldam needs a model with a head of cosines: kerastricks.models.create(..., cosine_scale=30), or "
            "take balanced_softmax, which takes any"
        )
    if remedies:
        data = data.balanced(remedies, resolved.epochs)
    total_steps = resolved.epochs * data.steps_per_epoch
    check_callbacks(callbacks, resolved, total_steps)
    check_lr_multipliers(lr_multipliers, model)
    classifier, from_logits = split_head(model)
    pixels = _device_pixels(data, bool(resolved.jit))
    teacher = Teacher.of(distillation.teacher, data) if distillation is not None else None
    training_model = TrainingModel(
        classifier, fresh_stage(data.device_stage), model, pixels, teacher, data.mixes_weights
    )
    steps = data.steps_per_epoch
    if seconds is None and resolved.minutes is not None:
        seconds = 60.0 * resolved.minutes
    pace = None
    if seconds is not None or resolved.stops_when_saturated:
        saturation = SATURATION if resolved.stops_when_saturated else None
        pace = Pace(total_steps, steps, seconds, saturation, show=progress_line)
    training_model.compile(
        optimizer=build_optimizer(resolved, total_steps, classifier, lr_multipliers, pace),
        loss=training_loss(resolved, from_logits, data, distillation),
        metrics=compiled_metrics(resolved, len(data.class_names)),
        jit_compile=resolved.jit,
    )
    path = run_folder / checkpoint.FILE_NAME if run_folder is not None else None
    position = checkpoint.read_position(path) if path is not None else checkpoint.Position()

    stateful = [*([pace] if pace is not None else []), *callbacks, *early_stopping(resolved)]
    plateau = plateau_decay(resolved, total_steps)
    if plateau is not None:
        stateful.append(plateau)
    stateful += keep_and_average(
        resolved,
        data,
        training_model,
        lambda: _batches(training_model, data, total_steps).take(steps),
        run_folder,
        progress_line,
    )
    saved = [callback for callback in stateful if getattr(callback, "is_saved", True)]
    doctor = next((callback for callback in callbacks if isinstance(callback, Doctor)), None)
    losses = BatchLossLog(run_folder / "batch_loss.f32" if run_folder else None, resolved.learning_rate, doctor)
    line = ProgressLine(data.batch_size, position.step) if progress_line else None
    ordered: list[keras.callbacks.Callback] = [*stateful, losses, *([line] if line else [])]
    if keras.backend.backend() == "torch":
        ordered.append(SeedTorch(resolved.seed, position.step))
    if run_folder is not None:
        log = MetricsLog(run_folder / "metrics.jsonl", data.batch_size)
        losses.cut(position.step)
        log.cut(-(-position.step // steps) if position.stopped else position.step // steps)
        ordered.append(log)
        if doctor is not None and position.step:
            with suppress(UsageError):  # without what somebody removed, it knows less
                doctor.earlier = read_log(run_folder)

    stops = catch_signals() if path is not None else nullcontext(StopRequest())
    teaching = teacher.at_work(resolved.precision) if teacher is not None else nullcontext()
    with precision(model, resolved.precision), fused_batch_norm(model), teaching, stops as request:
        training_model.build((None, *data.image_shape))
        if path is not None:
            ordered.append(Checkpointer(path, saved, losses, steps, position.step, request))
        handlers = ResumableCallbacks(ordered, training_model, resolved.epochs, steps)
        try:
            _train(training_model, data, resolved.epochs, handlers, saved, position, path)
        finally:
            if line is not None:
                line.close()
    return training_model.history


def _train(
    model: TrainingModel,
    data: ImageData,
    epochs: int,
    handlers: ResumableCallbacks,
    stateful: Sequence[keras.callbacks.Callback],
    position: checkpoint.Position,
    path: Path | None,
) -> None:
    steps = data.steps_per_epoch
    # A first batch makes metrics and optimizer variables exist, so that they can be restored.
    model.optimizer.build(model.trainable_variables)
    _build_metrics(model, data)
    handlers.begin()
    if path is not None and path.exists():
        checkpoint.restore(path, model, stateful)
    if position.finished:
        return
    epoch, done = divmod(position.step, steps)
    stopped = position.stopped
    if done and not stopped:
        handlers.batch_offset = done
        _fit(model, data, position.step, steps - done, epoch, epoch + 1, handlers)
        handlers.batch_offset = 0
        epoch, stopped = epoch + 1, model.stop_training
    if epoch < epochs and not stopped:
        _fit(model, data, epoch * steps, steps, epoch, epochs, handlers)
    handlers.end()


def _fit(
    model: TrainingModel,
    data: ImageData,
    first_step: int,
    steps: int,
    epoch: int,
    epochs: int,
    handlers: ResumableCallbacks,
) -> None:
    with data.one_error(), not_finalized(model.optimizer):
        model.fit(
            _batches(model, data, first_step),
            steps_per_epoch=steps,
            initial_epoch=epoch,
            epochs=epochs,
            validation_data=data.validation,
            callbacks=handlers,
            shuffle=False,  # the data set is shuffled already
            verbose=0,
        )


def _batches(model: TrainingModel, data: ImageData, first_step: int) -> Any:
    """Endless training batches of `model` from a step on."""
    batches = data.train_from(first_step, indices=model.pixels is not None)
    if model.device_stage is not None and model.device_stage.mixes:
        batches = batches.map(lambda images, labels: ((images, labels), labels))
    return batches


def _build_metrics(model: TrainingModel, data: ImageData) -> None:
    """Lets Keras make the variables of loss and metrics, which it does from a first batch."""
    with data.one_error():
        images, labels = next(iter(data.validation.take(1)))
    model.evaluate(images[:1].numpy(), labels[:1].numpy(), batch_size=1, verbose=0)
    model.reset_metrics()


def fresh_stage(stage: Augment | None) -> Augment | None:
    """Copies a device stage with its random state at the start, so that training twice gives the same weights."""
    return None if stage is None else Augment.from_config({**stage.get_config(), "dtype": "float32"})


def _device_pixels(data: ImageData, jit: bool) -> DevicePixels | None:
    """The training images on the device, where that pays: TensorFlow has no gather of bytes for a GPU but XLA's."""
    if keras.backend.backend() == "tensorflow" and has_gpu() and not jit:
        return None
    pixels = data.device_store()
    return None if pixels is None or len(pixels) >= 2**31 else DevicePixels(pixels, data.image_shape)


def training_loss(
    config: Config, from_logits: bool, data: ImageData, distillation: Distillation | None = None
) -> keras.losses.Loss:
    """The loss of `config`, for logits or probabilities, and for mixed labels where the augmentation mixes them.

    Raises:
        ConfigError: where both a teacher and a remedy for imbalanced classes ask for a loss.
    """
    remedies = config.specs.imbalance
    if remedies is not None and remedies.loss is not None:
        if distillation is not None:
            raise ConfigError(
                f"imbalance={config.imbalance!r} asks for a loss, and a distillation has its own: leave the loss out; "
                "sampling and class weights go with a teacher"
            )
        return _balanced_loss(remedies.loss, config, from_logits, data)
    mixes = data.augmentation.mixes
    if distillation is not None:
        how = (distillation.temperature, distillation.hard_weight, config.label_smoothing)
        return DistillationLoss(*how, from_logits, name="loss")
    if config.label_smoothing or mixes:  # validation labels are integers all the same: this one takes both
        return LabelSmoothingCrossentropy(config.label_smoothing, from_logits, name="loss")
    return keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits, name="loss")


def cosine_scale(config: Config) -> float | None:
    """The scale of the head of cosines that the loss of a configuration wants; None for a head as usual."""
    remedies = config.specs.imbalance
    if remedies is None or remedies.loss is None or remedies.loss.name != "ldam":
        return None
    return remedies.loss.arguments["scale"]


def _balanced_loss(loss: BalancedLoss, config: Config, from_logits: bool, data: ImageData) -> keras.losses.Loss:
    known: dict[str, Any] = {**loss.arguments, "from_logits": from_logits, "name": "loss"}
    if loss.name != "label_aware_smoothing":
        known["smoothing"] = config.label_smoothing
    if loss.name == "focal":
        return FocalCrossentropy(**known)
    counts = data.class_counts()["train"]
    check_images(np.array(counts), data.class_names)
    made = {
        "logit_adjusted": LogitAdjustedCrossentropy,
        "ldam": LDAMLoss,
        "label_aware_smoothing": LabelAwareSmoothing,
    }
    return made[loss.name](counts, **known)


def check_fits(model: keras.Model, data: ImageData) -> None:
    """Raises UsageError unless `model` is a classifier of these images."""
    split_head(model)
    expected, classes = data.image_shape, len(data.class_names)
    shape = tuple(model.inputs[0].shape[1:])
    if len(shape) != 3 or any(s not in (None, e) for s, e in zip(shape, expected, strict=True)):
        raise ConfigError(f"model takes images of shape {shape}, the data has {expected}: create it with that shape")
    if any(op.ends_raw for op in data.augmentation.plan.ops):
        raise ConfigError(
            f"augment={data.augmentation.text!r} normalizes, and models here take pixels 0 to 255 and normalize them "
            "themselves: take normalize out"
        )
    if model.outputs[0].shape[-1] != classes:
        raise ConfigError(f"model has {model.outputs[0].shape[-1]} classes, the data has {classes}")
