"""Distillation as a job: a new run folder, or an interrupted one resumed."""

import dataclasses
import hashlib
import os
from pathlib import Path
from typing import Any, Unpack

import keras
import numpy as np
from scipy.special import softmax

from kerastricks.classifier_file import load_classifier
from kerastricks.data.image_data import ImageData
from kerastricks.errors import ConfigError, RunFolderError, UsageError
from kerastricks.keras_graph import with_probabilities
from kerastricks.metrics.classification import scores
from kerastricks.progress import Progress, in_lines, silent
from kerastricks.runs.beginning import start as start_run
from kerastricks.runs.configuration import ConfigFields, as_path
from kerastricks.runs.evaluation import predict
from kerastricks.runs.finishing import finish
from kerastricks.runs.folder import RunFolder
from kerastricks.runs.members import run_of
from kerastricks.runs.record import RunRecord, Summary
from kerastricks.runs.reports import DistillationReport, NetworkScores
from kerastricks.runs.resumable import Resumption, Say, carry_out, refuse_settings, reopened
from kerastricks.runs.training_run import prepare
from kerastricks.training.config import FIELDS, Config
from kerastricks.training.datasets import load_data
from kerastricks.training.distillation import Distillation, Teacher
from kerastricks.training.fitting import fit
from kerastricks.training.weight_callbacks import reports

RESUMPTION = Resumption("kerastricks distill --resume", "kerastricks.runs.distill")
TEMPERATURE = 4.0
HARD_WEIGHT = 0.1


def distill(
    teacher: RunRecord | str | os.PathLike[str] | None = None,
    source: str | os.PathLike[str] | None = None,
    *,
    temperature: float | None = None,
    hard_weight: float | None = None,
    out: str | os.PathLike[str] = "saved_models",
    name: str | None = None,
    resume: str | os.PathLike[str] | None = None,
    say: Say = print,
    progress: Progress | None = None,
    **fields: Unpack[ConfigFields],
) -> RunRecord:
    """Distill a teacher into a smaller model and write a run folder, as `kerastricks distill` does.

    Ctrl-C and SIGTERM save the state: `resume` continues it.

    Args:
        teacher: a run, of an ensemble or of a single model, its folder, or a `.keras` file.
        source: of the images; None for what the teacher was trained on, with the same splits.
        temperature: of the soft targets; None for 4.
        hard_weight: of the labels in the loss, 0 to 1; None for 0.1.
        out: the folder of run folders.
        name: of the run folder; None for MODEL-DATA-NUMBER.
        resume: the folder of an interrupted run; only `data` may be given besides, where they have moved.
        say: gets a line about each thing decided.
        progress: where long work shows how far it is; None for a line to `say` every ten seconds.
        **fields: of the student's configuration.

    Returns:
        The finished run; its summary has the scores of teacher and student in `distillation`.

    Raises:
        UsageError: for anything wrong with the arguments, the images or the folder.
        RunFailedError: where training or export fails.
        Interrupted: after Ctrl-C or SIGTERM, when the state has been saved.
    """
    settings = {"temperature": temperature, "hard_weight": hard_weight}
    if resume is None:
        if teacher is None:
            raise UsageError("teacher is missing: a run folder or a .keras file")
        path = teacher.path if isinstance(teacher, RunRecord) else as_path(teacher)
        student: dict[str, Any] = {**({"data": os.fspath(source)} if source is not None else {}), **fields}
        opened = TeacherFile.open(path)
        if not (student.get("data") or opened.fields.get("data")):
            raise UsageError(f"DATA is missing: {path} is in no run that says what it was trained on")
        run = start(
            opened,
            student,
            TEMPERATURE if temperature is None else temperature,
            HARD_WEIGHT if hard_weight is None else hard_weight,
            as_path(out),
            name,
        )
    else:
        refuse_settings(resume, "teacher", {"teacher": teacher, "source": source, **settings}, fields)
        run = reopened(as_path(resume), fields)
        if run.summary.exists():
            say(f"{run.path}: finished already")
            return RunRecord.open(run)
    progress = progress or in_lines(say)
    summary = carry_out(
        run,
        lambda: run_distillation(run, say, progress),
        RESUMPTION,
        resumed=resume is not None,
        say=say,
    )
    return RunRecord.of(run, summary)


# Of the teacher's configuration: which images there are, how they are split and brought to their size.
_WHICH_IMAGES = ("data", "validation", "test", "group", "classes", "max_pixels", "max_skipped")
_OF_THE_DATA = (*_WHICH_IMAGES, "crop_fraction", "interpolation")
# Smoothed labels say that all wrong classes are equal, which is what the teacher knows better; and where all labels are
# known, its probabilities are not.
DEFAULTS = {"label_smoothing": 0.0, "early_stopping_epochs": None}


@dataclasses.dataclass(frozen=True, eq=False)
class TeacherFile:
    """A trained classifier, loaded.

    Args:
        path: of its `.keras` file.
        model: from pixels to probabilities, or logits.
        class_names: None for a file that is in no run.
        fields: of a configuration that gives its images and splits.
    """

    path: Path
    model: keras.Model
    class_names: tuple[str, ...] | None
    fields: dict[str, Any]

    @classmethod
    def open(cls, path: Path) -> "TeacherFile":
        """Open a run folder, of an ensemble or of a single model, or a `.keras` file.

        Raises:
            RunFolderError: for neither, a run that is not finished, or a file that cannot be read.
        """
        path = path.expanduser()
        run = RunFolder.open(path) if path.is_dir() else run_of(path)
        file = run.model if run is not None and path.is_dir() else path
        summary = run.read(run.summary) if run is not None else {}
        if not file.is_file():
            raise RunFolderError(f"{path}: no such run folder or .keras file")
        model = load_classifier(file)
        fields: dict[str, Any] = {}
        if run is not None:
            recorded = {name: value for name, value in run.read(run.config)["config"].items() if name in FIELDS}
            fields = {name: recorded[name] for name in _OF_THE_DATA if name in recorded}
            fields["split_seed"] = Config(**recorded).seed_of_splits
        height, width, _ = model.inputs[0].shape[1:]
        fields["image_size"] = height if height == width else None
        names = summary.get("class_names")
        return cls(file.resolve(), model, None if names is None else tuple(names), fields)

    @property
    def digest(self) -> str:
        """Fingerprint of the file, so that a run is not resumed with another teacher."""
        return hashlib.blake2b(self.path.read_bytes(), digest_size=16).hexdigest()

    def aligned(self, data: ImageData) -> keras.Model:
        """The model with its classes in the order of the data.

        Raises:
            ConfigError: for other classes, or images of another shape.
        """
        shape = tuple(self.model.inputs[0].shape[1:])
        if any(size not in (None, expected) for size, expected in zip(shape, data.image_shape, strict=True)):
            raise ConfigError(
                f"{self.path}: takes images of shape {shape}, and the student's are {data.image_shape}: leave out "
                f"--set image_size, and give images of as many channels"
            )
        if self.class_names is None or self.class_names == data.class_names:
            return self.model
        missing = sorted(set(data.class_names) - set(self.class_names))
        more = sorted(set(self.class_names) - set(data.class_names))
        if missing or more:
            lacks = f"does not know {', '.join(missing)}" if missing else f"knows {', '.join(more)} besides"
            raise ConfigError(
                f"{self.path}: {lacks}, and {data.name} has the classes {', '.join(data.class_names)}: a student "
                "learns its teacher's classes: choose them with --set classes, or give the data that it was trained on"
            )
        order = [self.class_names.index(name) for name in data.class_names]
        outputs = keras.ops.take(with_probabilities(self.model).outputs[0], np.array(order), axis=-1)
        return keras.Model(self.model.inputs[0], outputs, name=self.model.name)


def start(
    teacher: TeacherFile, fields: dict[str, Any], temperature: float, hard_weight: float, out: Path, name: str | None
) -> RunFolder:
    """Make the folder of a new run; from here on it can be resumed.

    Args:
        teacher: opened; it says which images there are and how they are split, where `fields` does not.
        fields: of the configuration.
        temperature: of the soft targets.
        hard_weight: of the labels.
        out: the folder of run folders.
        name: of the run; None for MODEL-distilled-DATA-NUMBER.

    Raises:
        ConfigError: for a value outside its range, or without data.
        RunFolderError: where the folder cannot be made.
    """
    Distillation(teacher.model, temperature, hard_weight)  # refuses
    config = Config.from_layers(DEFAULTS, teacher.fields, fields)
    record = {
        "teacher": str(teacher.path),
        "teacher_digest": teacher.digest,
        "temperature": temperature,
        "hard_weight": hard_weight,
    }
    return start_run(config, out, name, None, {"distillation": record})


def run_distillation(run: RunFolder, say: Say = print, progress: Progress = silent, **where: Any) -> Summary:
    """Train the student of a run to completion, resuming where it is.

    Args:
        run: made by `start`.
        say: gets a line about each thing decided.
        progress: where long work shows how far it is.
        **where: `data_service` and `cache_dir` of `kerastricks.data.load`.

    Returns:
        The summary, as in summary.json; its `distillation` has the scores of both on the test images.

    Raises:
        ConfigError: for a teacher of other classes or images.
        RunFolderError: for a run that is no distillation, or whose teacher or data are not those it began with.
        Interrupted: after Ctrl-C or SIGTERM, when the state has been saved.
    """
    run.clean()
    record = run.read(run.config).get("distillation")
    if record is None:
        raise RunFolderError(f"{run.path}: is no distillation: resume with kerastricks train --resume {run.path}")
    teacher = TeacherFile.open(Path(record["teacher"]))
    if teacher.digest != record["teacher_digest"]:
        raise RunFolderError(
            f"{teacher.path}: is not the teacher that {run.path} began with: bring it back, or begin a new run"
        )
    config, data, student = prepare(run, say, lambda config: load_data(config.data, config, progress, **where))
    distillation = Distillation(teacher.aligned(data), record["temperature"], record["hard_weight"])
    say(
        f"teacher: {teacher.path}, {teacher.model.count_params():,} weights; temperature {distillation.temperature:g}, "
        f"weight of the labels {distillation.hard_weight:g}"
    )
    if teacher.class_names is None:
        say(
            "the teacher is in no run folder: its outputs are taken to be the classes in their order here, and whether "
            "it was trained on the validation or test images is not known"
        )
    fit(student, data, config, distillation=distillation, run_folder=run.path)
    report = _measured(record, distillation, student, data, progress)
    say("saving, exporting, checking the export in a fresh process")
    return finish(run, student, data, config, progress, distillation=report, **reports(run.path, config))


def _measured(
    record: dict[str, Any], distillation: Distillation, student: keras.Model, data: ImageData, progress: Progress
) -> DistillationReport:
    """Score teacher and student on the test images."""
    teacher = Teacher.of(distillation.teacher, data)
    outputs = predict(teacher.model, data.splits["test"], "evaluating the teacher", progress)
    taught = _scores(data, softmax(outputs.astype("float64"), axis=1) if teacher.from_logits else outputs)
    learned = _scores(data, predict(with_probabilities(student), data.splits["test"], "evaluating", progress))
    return DistillationReport(
        teacher=record["teacher"],
        teacher_digest=record["teacher_digest"],
        temperature=record["temperature"],
        hard_weight=record["hard_weight"],
        teacher_test=taught,
        student_test=learned,
        teacher_parameters=distillation.teacher.count_params(),
        student_parameters=student.count_params(),
    )


def _scores(data: ImageData, probabilities: np.ndarray) -> NetworkScores:
    found = scores(data.labels("test"), probabilities, data.class_names)
    return NetworkScores(**{name: found[name] for name in ("accuracy", "balanced_accuracy", "log_loss")})
