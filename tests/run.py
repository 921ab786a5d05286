"""Runs the suite on every backend that is installed: python tests/run.py [--slow] [pytest's arguments].

The backend is fixed per process, so each has a process of its own. What does not depend on the backend runs on
TensorFlow only. `--slow` runs the tests marked slow, and no others.
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BACKENDS = ("tensorflow", "jax", "torch")


def environment(backend: str, cache: str) -> dict[str, str]:
    """This process's environment, with what makes a test on this backend cheap unless it is set already."""
    chosen = {"TF_CPP_MIN_LOG_LEVEL": "3"}
    if backend == "jax":
        # Most of a test on JAX is compiling, of programs that run once.
        chosen["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
        # Tests build the same small programs again and again, in both workers: compiled once.
        chosen["JAX_COMPILATION_CACHE_DIR"] = cache
        chosen["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        chosen["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    if backend == "torch":
        # Two workers with two threads each wait for one another.
        chosen["OMP_NUM_THREADS"] = "1"
    # Where it is set, each of the many processes that tests start compiles three frameworks' modules: 15 seconds.
    return {**chosen, **os.environ, "KERAS_BACKEND": backend, "PYTHONDONTWRITEBYTECODE": ""}


def main() -> int:
    failed = []
    with tempfile.TemporaryDirectory(prefix="kerastricks-jax-") as cache:
        for backend in BACKENDS:
            if importlib.util.find_spec(backend) is None:
                print(f"== {backend}: not installed", flush=True)
                continue
            print(f"== {backend}", flush=True)
            began = time.monotonic()
            # Two at a time: most of a test is tracing and compiling, on one core. More would want gigabytes. A worker
            # has half the files, in one piece: fixtures of a module are made once, and its programs compiled once.
            command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "worksteal", *sys.argv[1:]]
            root = Path(__file__).parent.parent
            code = subprocess.run(command, env=environment(backend, cache), cwd=root, check=False).returncode
            print(f"== {backend}: {time.monotonic() - began:.0f} s", flush=True)
            if code:
                failed.append(backend)
    print(f"== failed on {', '.join(failed)}" if failed else "== passed on every backend that is installed", flush=True)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
