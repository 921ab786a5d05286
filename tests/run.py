"""Runs the suite on every backend that is installed: python tests/run.py [pytest's arguments].

The backend is fixed per process, so each has a process of its own. What does not depend on the backend runs on
TensorFlow alone.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

BACKENDS = ("tensorflow", "jax", "torch")


def main() -> int:
    failed = []
    for backend in BACKENDS:
        if importlib.util.find_spec(backend) is None:
            print(f"== {backend}: not installed", flush=True)
            continue
        print(f"== {backend}", flush=True)
        environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        # Most of a test on JAX is compiling, of programs that run once.
        environment.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        # Two at a time: most of a test is tracing and compiling, on one core. More would want gigabytes.
        command = [sys.executable, "-m", "pytest", "-n", "2", *sys.argv[1:]]
        code = subprocess.run(command, env=environment, cwd=Path(__file__).parent.parent, check=False).returncode
        if code:
            failed.append(backend)
    print(f"== failed on {', '.join(failed)}" if failed else "== passed on every backend that is installed", flush=True)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
