"""Predictions of a SavedModel for image files, from Python."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import tensorflow as tf

from kerastricks.data.decoding.decode import MAX_PIXELS, with_alpha_flag
from kerastricks.data.decoding.pixels import why_refused
from kerastricks.data.sources.headers import read_header
from kerastricks.errors import RunFolderError, first_line
from kerastricks.serving.prediction import Prediction

_BATCH = 64


class ServedModel:
    """The newest SavedModel of a run folder.

    Args:
        run: a folder with numbered SavedModels inside, or a SavedModel itself.

    Raises:
        RunFolderError: where there is none.
    """

    def __init__(self, run: Path) -> None:
        numbers = (
            sorted(int(path.name) for path in run.iterdir() if re.fullmatch("[0-9]+", path.name))
            if run.is_dir()
            else []
        )
        folder = run / str(numbers[-1]) if numbers else run
        if not (folder / "saved_model.pb").exists():
            raise RunFolderError(f"{run}: no SavedModel inside: give the folder that `kerastricks train` wrote")
        try:
            self._model = tf.saved_model.load(str(folder))
            self._signature = self._model.signatures["serving_default"]
            names = self._model.class_names.numpy()
        except (OSError, ValueError, KeyError, AttributeError, tf.errors.OpError) as error:
            raise RunFolderError(f"{folder}: damaged, or no SavedModel of kerastricks ({first_line(error)})") from None
        self.class_names: tuple[str, ...] = tuple(name.decode() for name in names)

    def predict(self, files: Sequence[Path], max_pixels: int = MAX_PIXELS) -> Iterator[Prediction]:
        """Predict the class of each file, in order; a file that is no usable image gets its `error`."""
        for start in range(0, len(files), _BATCH):
            yield from self._predict_batch(files[start : start + _BATCH], max_pixels)

    def _predict_batch(self, files: Sequence[Path], max_pixels: int) -> list[Prediction]:
        results: dict[Path, Prediction] = {}
        contents: dict[Path, bytes] = {}
        for file in files:
            try:
                contents[file] = file.read_bytes()
                read_header(contents[file], max_pixels)
                # SavedModels of earlier versions read the flag as it stands: an animation without it ends the process.
                contents[file] = with_alpha_flag(contents[file])
            except (OSError, ValueError) as error:
                contents.pop(file, None)
                reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
                results[file] = Prediction(file, error=reason)
        try:
            results |= self._classify(contents)
        except tf.errors.InvalidArgumentError:
            # One file spoils its batch: find out which.
            for file, one in contents.items():
                try:
                    results |= self._classify({file: one})
                except tf.errors.InvalidArgumentError as error:
                    results[file] = Prediction(file, error=why_refused(one, error))
        return [results[file] for file in files]

    def _classify(self, contents: dict[Path, bytes]) -> dict[Path, Prediction]:
        if not contents:
            return {}
        found = self._signature(bytes=tf.constant(list(contents.values())))
        labels, probabilities = found["label"].numpy(), found["probabilities"].numpy()
        return {file: Prediction(file, labels[row].decode(), probabilities[row]) for row, file in enumerate(contents)}
