"""What the machine has room for."""

import subprocess
from types import SimpleNamespace

import psutil
import pytest

from kerastricks.errors import SearchError
from kerastricks.search.trials import processes as machine

pytestmark = pytest.mark.tensorflow_only

GB = 2**30


def test_workers_beyond_memory_are_refused_with_the_number_that_fits(monkeypatch):
    monkeypatch.setattr(machine, "available_bytes", lambda: 10 * GB)
    monkeypatch.setattr(machine, "_IMPORTED_BYTES", GB // 2)
    machine.check_memory(5, GB)  # 2 GB each
    with pytest.raises(SearchError) as refused:
        machine.check_memory(6, GB)
    assert str(refused.value) == (
        "--workers 6 would take about 12.0 GB (2.0 GB each) and 10.0 GB are free: give --workers 5 or fewer"
    )


def test_one_worker_is_never_refused(monkeypatch):
    monkeypatch.setattr(machine, "available_bytes", lambda: 1)
    machine.check_memory(1, 100 * GB)
    machine.check_memory(0, 100 * GB)
    with pytest.raises(SearchError, match="give --workers 1 or fewer"):
        machine.check_memory(2, GB)


@pytest.mark.parametrize(
    ("limit", "used", "expected"),
    [
        ("max", "123", 8 * GB),
        (str(4 * GB), str(3 * GB), GB),
        (str(100 * GB), "0", 8 * GB),
        (None, None, 8 * GB),
        ("nonsense", "0", 8 * GB),
    ],
)
def test_memory_is_that_of_machine_or_container(tmp_path, monkeypatch, limit, used, expected):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=8 * GB))
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit + "\n")
        (tmp_path / "memory.current").write_text(used + "\n")
    assert machine.available_bytes() == expected


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("", [None, None, None]),
        ("-1", [None, None, None]),
        ("2", [None, None, None]),
        ("2,5", ["2", "5", "2"]),
        (" 0 , GPU-8932 ,3,7", ["0", "GPU-8932", "3"]),
    ],
)
def test_each_worker_has_a_gpu_where_there_are_several(monkeypatch, visible, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")  # of this process, which hides them from itself
    assert machine.gpus_of(3, {"CUDA_VISIBLE_DEVICES": visible}) == expected


def test_gpus_are_those_that_the_driver_lists(monkeypatch):
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    assert machine.visible_gpus({}) == []
    listed = (
        "GPU 0: NVIDIA H100 (UUID: GPU-a)\n  MIG 1g.10gb Device 0: (UUID: MIG-b)\nGPU 1: NVIDIA H100 (UUID: GPU-c)\n"
    )
    monkeypatch.setattr(machine.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: SimpleNamespace(stdout=listed))
    assert machine.gpus_of(3, {}) == ["0", "1", "0"]
