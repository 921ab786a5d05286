"""Trials as TensorBoard's HParams tab reads them."""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

from kerastricks.charts.axes import short_value
from kerastricks.files import whole
from kerastricks.search.trial_record import TrialRecord

# One name, so that writing again replaces; TensorBoard takes files with "tfevents" in their name.
_FILE = "events.out.tfevents.0000000000.search"


def write_hparams(folder: Path, records: Sequence[TrialRecord]) -> None:
    """Writes event files for `tensorboard --logdir FOLDER`: a session per trial, its metrics as scalars per epoch.

    TensorFlow is not imported. TensorBoard knows success and failure only: a stopped trial is a success.

    Args:
        folder: created where it is missing; files of an earlier call are replaced.
        records: of the finished trials.
    """
    metrics = list(dict.fromkeys(name for record in records for row in record.curve for name in row if name != "epoch"))
    if records and records[0].objective in metrics:
        metrics.sort(key=lambda name: name != records[0].objective)
    names = dict.fromkeys(name for record in records for name in record.values)
    kinds = {name: _kind([record.values[name] for record in records if name in record.values]) for name in names}
    experiment = api_pb2.Experiment(
        hparam_infos=[
            api_pb2.HParamInfo(name=name, type=kind, differs=True)  # without it the tab leaves the column out
            for name, kind in kinds.items()
        ],
        metric_infos=[api_pb2.MetricInfo(name=api_pb2.MetricName(tag=name)) for name in metrics],
    )
    start = time.time() - sum(record.seconds for record in records)
    _write(folder, [_plugin_event(metadata.EXPERIMENT_TAG, start, experiment=experiment)])
    for record in records:
        _write(folder / record.trial, _session(record, kinds, start))
        start += record.seconds


def _session(record: TrialRecord, kinds: dict[str, int], start: float) -> list[Event]:
    info = plugin_data_pb2.SessionStartInfo(group_name=record.trial, start_time_secs=start)
    for name, value in record.values.items():
        if kinds[name] == api_pb2.DATA_TYPE_BOOL:
            info.hparams[name].bool_value = value
        elif kinds[name] == api_pb2.DATA_TYPE_FLOAT64:
            info.hparams[name].number_value = value
        else:
            info.hparams[name].string_value = short_value(value, limit=200)
    status = api_pb2.STATUS_FAILURE if record.status == "failed" else api_pb2.STATUS_SUCCESS
    end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=start + record.seconds)
    steps = [
        Event(
            wall_time=start + record.seconds * (index + 1) / len(record.curve),
            step=int(row.get("epoch") or index + 1),
            summary=Summary(
                value=[
                    Summary.Value(tag=name, simple_value=float(value))
                    for name, value in row.items()
                    if name != "epoch" and value is not None and math.isfinite(value)
                ]
            ),
        )
        for index, row in enumerate(record.curve)
    ]
    return [
        _plugin_event(metadata.SESSION_START_INFO_TAG, start, session_start_info=info),
        *steps,
        _plugin_event(metadata.SESSION_END_INFO_TAG, end.end_time_secs, session_end_info=end),
    ]


def _plugin_event(tag: str, wall_time: float, **content: Any) -> Event:
    data = plugin_data_pb2.HParamsPluginData(**content)
    value = Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(data), tensor=metadata.NULL_TENSOR)
    return Event(wall_time=wall_time, summary=Summary(value=[value]))


def _kind(values: Sequence[Any]) -> int:
    if all(isinstance(value, bool) for value in values):
        return api_pb2.DATA_TYPE_BOOL
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return api_pb2.DATA_TYPE_FLOAT64
    return api_pb2.DATA_TYPE_STRING


def _write(folder: Path, events: Sequence[Event]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # The name of the file holds "tfevents", also after a dot: TensorBoard must not read it before it is complete.
    with whole(folder / _FILE, label="search") as temporary, open(temporary, "wb") as file:
        writer = RecordWriter(file)
        for event in [Event(wall_time=events[0].wall_time, file_version="brain.Event:2"), *events]:
            writer.write(event.SerializeToString())
