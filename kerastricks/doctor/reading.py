"""Reading training logs: run folders, Keras histories, CSV, JSON, JSON lines, event files of TensorBoard."""

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from kerastricks.bounds import CONFIG
from kerastricks.doctor import event_files
from kerastricks.doctor.columns import find_columns
from kerastricks.doctor.finding import Finding
from kerastricks.doctor.rows import Rows, number, of_records
from kerastricks.doctor.training_log import TrainingLog, smoothing_floor
from kerastricks.errors import UsageError, first_line
from kerastricks.files import parse_json, try_read_json

_LOGS = (
    "metrics.jsonl",
    "trainer_state.json",
    "metrics.csv",
    "results.csv",
    "summary.csv",
    "history.csv",
    "history.json",
)
_BATCH_LOSS = "batch_loss.f32"
_PICKLES = (".pkl", ".pickle", ".p", ".npy", ".npz", ".pt", ".pth", ".joblib")


def read_log(
    source: Any, more: str | os.PathLike[str] | None = None, columns: Mapping[str, str] | None = None
) -> TrainingLog:
    """Read the log of one training.

    Args:
        source: a `keras.callbacks.History`, a dictionary of lists, a run folder of kerastricks, a folder with a log or
            event files, or a file: CSV with a header, JSON (lists by name, records, or the Hugging Face Trainer's
            trainer_state.json), JSON lines, an event file of TensorBoard.
        more: a second file of the same training, where steps and epochs have one each.
        columns: names of columns by quantity, where the usual ones do not hold: {"loss": "Train Robust Loss"}.

    Returns:
        The log. A loss that was NaN or infinite is infinite in it, and what was not logged is NaN.

    Raises:
        UsageError: for a file that is missing, empty, a pickle, without a loss, or of several runs.
    """
    if more is not None:
        return read_log(source, columns=columns).joined(read_log(more, columns=columns))
    if isinstance(getattr(source, "history", None), Mapping):  # a History
        return _of_lists(source.history, "history", columns, getattr(source, "epoch", None))
    if isinstance(source, Mapping):
        return _of_lists(source, "history", columns)
    path = Path(source).expanduser()
    try:
        return _of_path(path, columns)
    except UsageError:
        raise
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not valid UTF-8") from None
    except (ValueError, csv.Error) as error:  # a cell that is no number, or that is longer than any
        raise UsageError(f"{path}: cannot be read as a log: {first_line(error)[:200]}") from None


def _of_path(path: Path, columns: Mapping[str, str] | None) -> TrainingLog:
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder")
    if path.is_dir():
        return _of_folder(path, columns)
    if not path.is_file():  # it is read more than once, and a pipe would be waited for
        raise UsageError(f"{path}: is no file: write the log to one")
    if event_files.is_event_file(path):
        return _of_events([path], path.name, columns)
    if path.suffix.lower() in _PICKLES or _first_bytes(path)[:1] == b"\x80":
        raise UsageError(
            f"{path}: a pickle or an archive can run code when it is read: write the history as JSON, "
            "json.dump(history.history, file)"
        )
    if path.stat().st_size == 0:
        raise UsageError(f"{path}: is empty")
    try:
        head = _first_bytes(path).decode("utf-8-sig").lstrip()
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data":
            raise UsageError(f"{path}: not valid UTF-8, and no event file by its name (tfevents)") from None
        head = _first_bytes(path).decode("utf-8-sig", "ignore").lstrip()
    if head[:1] in ("{", "["):
        return _of_json(path, columns)
    return _of_csv(path, columns)


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4096)


def _of_lists(
    lists: Mapping[str, Any], name: str, columns: Mapping[str, str] | None, epochs: Sequence[int] | None = None
) -> TrainingLog:
    found = {str(key): value for key, value in lists.items() if isinstance(value, (list, tuple, np.ndarray))}
    chosen = find_columns(found, columns, name)
    values = {
        quantity: [number(one, "loss" in quantity) for one in np.asarray(found[key], object).tolist()]
        for quantity, key in chosen.items()
    }
    count = max(map(len, values.values()))
    if "epoch" not in values and "step" not in values:
        values["epoch"] = list(epochs) if epochs is not None and len(epochs) == count else list(range(count))
    return TrainingLog.from_columns(values, name)


def _of_folder(folder: Path, columns: Mapping[str, str] | None) -> TrainingLog:
    epochs = _has_content(folder / _LOGS[0]) and (folder / "config.json").is_file()
    if epochs or _has_content(folder / _BATCH_LOSS):
        return _of_run(folder, columns)
    events = event_files.event_files(folder)
    logs = [folder / name for name in _LOGS if (folder / name).is_file()]
    if logs:
        return replace(read_log(logs[0], columns=columns), name=folder.name)
    if events:
        return _of_events(events, folder.name, columns)
    raise UsageError(f"{folder}: no run folder, and none of {', '.join(_LOGS)} or event files in it")


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _of_run(folder: Path, columns: Mapping[str, str] | None) -> TrainingLog:
    """A run folder: epochs are in metrics.jsonl, losses of all batches in batch_loss.f32."""
    epochs = folder / _LOGS[0]  # not there before the end of the first epoch
    log = replace(_of_json(epochs, columns) if _has_content(epochs) else TrainingLog(), name=folder.name)
    record = try_read_json(folder / "config.json")
    config, data = _part(record, "config"), _part(record, "data")
    names, size, smoothing = data.get("class_names"), config.get("batch_size"), config.get("label_smoothing")
    classes = len(names) if isinstance(names, list) else 0
    known: dict[str, Any] = {
        "classes": classes or None,
        "batch_size": size if isinstance(size, int) and CONFIG["batch_size"].holds(size) else None,
        "floor": smoothing_floor(smoothing, classes) if isinstance(smoothing, float) and 0 < smoothing < 1 else 0.0,
        "optimizer": str(config.get("optimizer") or "").partition("(")[0] or None,
    }
    losses = folder / _BATCH_LOSS
    if losses.is_file():
        values = np.fromfile(losses, "<f4").astype(np.float64)
        if len(values) and np.isnan(values[-1]):  # a loss that is no number ends a training; earlier ones are missing
            values[-1] = np.inf
        known |= {"steps": np.arange(1.0, len(values) + 1), "step_loss": values}
    return replace(log, **known)


def _part(record: Any, name: str) -> Mapping[str, Any]:
    """An object inside of a record; empty where either is something else, as in a file that was changed by hand."""
    part = record.get(name) if isinstance(record, dict) else None
    return part if isinstance(part, dict) else {}


def _of_events(paths: list[Path], name: str, columns: Mapping[str, str] | None) -> TrainingLog:
    scalars, notes = event_files.read_scalars(paths)
    rows = of_records(event_files.as_records(scalars), lambda names: find_columns(names, columns, name))
    return TrainingLog.from_columns(rows.columns(), name, notes=(*notes, *rows.notes()))


def _of_json(path: Path, columns: Mapping[str, str] | None) -> TrainingLog:
    lines = _JsonLines(path)
    if lines.is_one:
        return _of_records(lines, path, columns, lines)
    try:
        content = parse_json(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}: line {error.lineno} is neither JSON nor a record: {error.msg}") from None
    if isinstance(content, dict) and isinstance(content.get("log_history"), list):
        content = content["log_history"]  # the Hugging Face Trainer's
    elif isinstance(content, dict) and isinstance(content.get("history"), (dict, list)):
        content = content["history"]
    if isinstance(content, dict) and any(isinstance(value, list) for value in content.values()):
        return _of_lists(content, path.name, columns)
    records = [content] if isinstance(content, dict) else content
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise UsageError(f"{path}: must be lists by name, a list of records, or a record per line")
    if not records:
        raise UsageError(f"{path}: is empty: no row of a training")
    return _of_records(records, path, columns)


def _of_records(
    records: Iterable[Mapping[str, Any]],
    path: Path,
    columns: Mapping[str, str] | None,
    lines: "_JsonLines | None" = None,
) -> TrainingLog:
    try:
        rows = of_records(records, lambda names: find_columns(names, columns, path.name))
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from None
    notes = () if lines is None else lines.notes
    return TrainingLog.from_columns(rows.columns(), path.name, notes=(*notes, *rows.notes()))


class _JsonLines:
    """Records of a file with one in each line, read anew each time they are gone through."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: tuple[str, ...] = ()

    @property
    def is_one(self) -> bool:
        """Whether the first line is a record by itself, and no form of a whole file."""
        with self.path.open(encoding="utf-8-sig") as file:
            first = next((line for line in file if line.strip()), "")
            more = next((line for line in file if line.strip()), "")
        try:
            record = parse_json(first)
        except ValueError:
            return False
        return isinstance(record, dict) and more.lstrip().startswith("{")

    def __iter__(self) -> Iterator[dict[str, Any]]:
        wrong: str | None = None
        with self.path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                if wrong is not None:
                    raise UsageError(f"{self.path}: {wrong}")
                try:
                    record = parse_json(line)
                    if not isinstance(record, dict):
                        raise ValueError
                except ValueError:
                    wrong = f"line {number} is no record"
                    continue
                yield record
        if wrong is not None:
            self.notes = (f"{self.path.name}: the last line is cut off and was left out",)


def _of_csv(path: Path, columns: Mapping[str, str] | None) -> TrainingLog:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = next((line for line in file if line.strip() and not line.startswith("#")), "")
        delimiter = max(",;\t", key=header.count)
        lines = csv.reader(chain([header], file), delimiter=delimiter, skipinitialspace=True)
        names = [cell.strip() for cell in next(lines)]
        chosen = find_columns(names, columns, path.name)
        rows = Rows(tuple(chosen))
        notes = _fill(rows, lines, [names.index(name) for name in chosen.values()], len(names), path)
    return TrainingLog.from_columns(rows.columns(), path.name, notes=(*notes, *rows.notes()))


def _fill(rows: Rows, lines: Iterator[list[str]], places: list[int], width: int, path: Path) -> tuple[str, ...]:
    """Read all lines; a last one that is cut off is left out, and so are rows without any value."""
    cut: str | None = None
    losses = ["loss" in quantity for quantity in rows.quantities]
    for line_number, line in enumerate(lines, 2):
        if not line:
            continue
        if cut is not None:
            raise UsageError(f"{path}: {cut}")
        try:
            values = [number(line[place], loss) for place, loss in zip(places, losses, strict=True)]
        except (ValueError, IndexError):
            cut = f"line {line_number} does not fit the header of {width} columns: {','.join(line)[:60]!r}"
            continue
        rows.append(values)
    return () if cut is None else (f"the last line is cut off and was left out ({cut})",)


def read_label_findings(folder: str | os.PathLike[str]) -> list[Finding]:
    """Findings about the labels, of a folder that `kerastricks check labels` wrote.

    Args:
        folder: with labels.json in it.

    Returns:
        The finding "labels_suspected"; none where no label is suspected.

    Raises:
        UsageError: for a folder without a finished check.
    """
    path = Path(folder).expanduser() / "labels.json"
    try:
        report = try_read_json(path) if path.is_file() else None
        suspects, images = (report["suspects"], int(report["images"])) if report else (None, 0)
        named = ", ".join(f"{one['name']} ({one['given']}, looks like {one['likely']})" for one in (suspects or ())[:3])
    except (KeyError, TypeError, ValueError):
        suspects = None
    if not isinstance(suspects, list):
        raise UsageError(f"{path}: no finished check of labels: kerastricks check labels DATA")
    if not suspects:
        return []
    share = len(suspects) / max(images, 1)
    found = Finding(
        code="labels_suspected",
        evidence=f"{len(suspects):,} of {images:,} labels are probably wrong: {named}"
        + (" and others" if len(suspects) > 3 else ""),
        advice=f"look at them, the surest first, and mend or leave out what is wrong: {path.with_name('suspects.csv')}",
        figures={"suspects": float(len(suspects)), "share": share},
        confidence=0.9,  # of the first ones: precision on planted errors, docs/checks.md
    )
    return [found]
