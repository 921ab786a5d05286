"""The HParams tab, read back by TensorBoard's own backend."""

import subprocess
import sys

import pytest
from made_trials import trial
from tensorboard import context
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, get_experiment, list_session_groups

from kerastricks.search.hparams import write_hparams

pytestmark = pytest.mark.tensorflow_only


RECORDS = [
    trial("00", 0.5, learning_rate=0.1, schedule="step", augmentation=True),
    trial("01", 0.25, "stopped", learning_rate=0.01, schedule="cosine", augmentation=False, warm_up=3),
    trial("02", None, "failed", learning_rate=10, schedule="step", augmentation=True, reason="no memory"),
]


def read(folder):
    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(folder))
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(folder))
    backend = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    request = context.RequestContext()
    content = backend.hparams_metadata(request, "0")
    experiment = get_experiment.Handler(request, backend, "0", api_pb2.GetExperimentRequest()).run()
    asked = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=100,
        allowed_statuses=[api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE, api_pb2.STATUS_UNKNOWN],
    )
    assert content
    groups = list_session_groups.Handler(request, backend, "0", asked).run().session_groups
    return experiment, {group.name: group for group in groups}, multiplexer


def test_each_trial_is_a_session_with_its_values_status_and_metrics(tmp_path):
    write_hparams(tmp_path, RECORDS)
    experiment, groups, _ = read(tmp_path)
    assert {info.name for info in experiment.hparam_infos} == {"learning_rate", "schedule", "augmentation", "warm_up"}
    assert experiment.metric_infos[0].name.tag == "val_loss"
    assert sorted(groups) == ["00", "01", "02"]
    values = groups["01"].hparams
    assert values["learning_rate"].number_value == 0.01
    assert values["schedule"].string_value == "cosine"
    assert values["augmentation"].bool_value is False
    assert values["warm_up"].number_value == 3
    assert "warm_up" not in groups["00"].hparams
    assert [groups[name].sessions[0].status for name in sorted(groups)] == [
        api_pb2.STATUS_SUCCESS,
        api_pb2.STATUS_SUCCESS,
        api_pb2.STATUS_FAILURE,
    ]
    metrics = {metric.name.tag: metric.value for metric in groups["01"].metric_values}
    assert metrics == pytest.approx({"val_loss": 0.25, "loss": 0.25 + 1 / 3})
    seconds = groups["01"].sessions[0].end_time_secs - groups["01"].sessions[0].start_time_secs
    assert seconds == pytest.approx(10, abs=1e-3)


def test_the_curve_is_a_scalar_for_each_epoch(tmp_path):
    write_hparams(tmp_path, RECORDS)
    multiplexer = read(tmp_path)[2]
    points = multiplexer.Tensors("00", "loss")
    assert [point.step for point in points] == [1, 2, 3]
    assert [point.tensor_proto.float_val[0] for point in points] == pytest.approx([1.5, 1.0, 0.5 + 1 / 3])


def test_writing_again_replaces(tmp_path):
    write_hparams(tmp_path, RECORDS[:1])
    write_hparams(tmp_path, RECORDS)
    assert len(list(tmp_path.rglob("*tfevents*"))) == 1 + len(RECORDS)
    assert sorted(read(tmp_path)[1]) == ["00", "01", "02"]


def test_odd_values_and_no_numbers_do_not_stop_it(tmp_path):
    curve = [{"epoch": 1, "val_loss": float("nan")}, {"epoch": 2, "val_loss": None}, {"epoch": 3, "val_loss": 0.5}]
    values = [None, "true", True, 3, [1, 2]]
    write_hparams(tmp_path, [trial(f"{i}", 0.5, curve=curve, mixed=value) for i, value in enumerate(values)])
    _, groups, multiplexer = read(tmp_path)
    assert [groups[name].hparams["mixed"].string_value for name in sorted(groups)] == [
        "none",
        "true",
        "true",
        "3",
        "[1, 2]",
    ]
    assert [point.step for point in multiplexer.Tensors("0", "val_loss")] == [3]


def test_no_trial_is_an_empty_experiment(tmp_path):
    write_hparams(tmp_path / "new", [])
    assert len(list(tmp_path.rglob("*tfevents*"))) == 1


def test_it_loads_neither_keras_nor_tensorflow(tmp_path):
    code = (
        "import sys, pathlib; from kerastricks.search.hparams import write_hparams;"
        f"write_hparams(pathlib.Path({str(tmp_path)!r}), []); print({{'keras', 'tensorflow'}} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
