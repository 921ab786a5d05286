"""Prediction as a job: image files through the SavedModel of a run."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kerastricks.data.sources.folder import FolderWalk
from kerastricks.errors import DataError, RunFolderError
from kerastricks.progress import Progress, silent
from kerastricks.runs.configuration import as_path
from kerastricks.runs.record import RunRecord

if TYPE_CHECKING:
    from kerastricks.serving.prediction import Prediction

ImagePaths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def predict(
    run: RunRecord | str | os.PathLike[str], images: ImagePaths, progress: Progress = silent
) -> list["Prediction"]:
    """Classify image files with a run, as `kerastricks predict` does.

    Args:
        run: a finished one, or its folder.
        images: files, or folders with everything in them.
        progress: where long work shows how far it is.

    Returns:
        A prediction for each file, in order; one for a file that is no usable image has its `error`. Probabilities are
        in the order of the run's classes.

    Raises:
        DataError: for a file that is not there, or a folder without files.
        RunFolderError: where there is no run, or no SavedModel inside.
    """
    folder = run.path if isinstance(run, RunRecord) else as_path(run)
    files = image_files(folder, [images] if isinstance(images, str | os.PathLike) else images)
    from kerastricks.serving.served_model import ServedModel

    served = ServedModel(folder)
    found = []
    with progress("classifying", len(files)) as advance:
        for prediction in served.predict(files):
            found.append(prediction)
            advance(1)
    return found


def image_files(run: Path | None, images: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """List the files to classify, those of folders in the order of their names.

    Args:
        run: the folder of the run that classifies them; None for a model server.
        images: files, or folders with everything in them.

    Raises:
        DataError: for a file that is not there, or none at all.
        RunFolderError: where there is no run folder.
    """
    if run is not None and not run.is_dir():
        raise RunFolderError(f"{run}: no such run folder")
    paths = [as_path(path) for path in images]
    files = list(_files(paths))
    if not files:
        raise DataError(f"{paths[0]}: no files inside" if paths else "images must be one file or more. Received: none")
    return files


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(path / name for name in FolderWalk(path).files)
        elif path.exists():
            yield path
        else:
            raise DataError(f"{path}: no such file")
