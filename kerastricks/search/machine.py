"""What this machine has room for."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psutil

from kerastricks.errors import SearchError

_IMPORTED_BYTES = 800 << 20  # a process that has imported TensorFlow and waits
_CGROUP = Path("/sys/fs/cgroup")


def check_memory(workers: int, trial_bytes: int) -> None:
    """Raises SearchError where trials and their processes would not fit into memory.

    A worker is a process that asks for trials, one that trains and one that is getting ready.

    Args:
        workers: at once.
        trial_bytes: that a training of this search was seen to take.
    """
    each = trial_bytes + 2 * _IMPORTED_BYTES
    free = available_bytes()
    if workers > 1 and workers * each > free:
        fits = max(int(free // each), 1)
        raise SearchError(
            f"--workers {workers} would take about {workers * each / 2**30:.1f} GB ({each / 2**30:.1f} GB each) and "
            f"{free / 2**30:.1f} GB are free: give --workers {fits} or fewer"
        )


def available_bytes() -> int:
    """Memory that is free, of the machine or of the container that this is."""
    free = psutil.virtual_memory().available
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text())
        return free if limit == "max" else min(free, int(limit) - used)
    except (OSError, ValueError):
        return free


def gpus_of(workers: int, environment: Mapping[str, str]) -> list[str | None]:
    """For each worker the GPU that it may see; None for all, where there are fewer than two.

    Args:
        workers: on this machine.
        environment: of the workers; this process may hide all GPUs from itself.
    """
    found = visible_gpus(environment)
    return [found[number % len(found)] if len(found) > 1 else None for number in range(workers)]


def visible_gpus(environment: Mapping[str, str]) -> list[str]:
    """The GPUs that processes of an environment may use, as CUDA_VISIBLE_DEVICES names them."""
    chosen = environment.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [one.strip() for one in chosen.split(",") if one.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    lines = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]  # parts of one are below it
    return [str(number) for number in range(len(lines))]
