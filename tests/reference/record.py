"""Records what tensorflow-addons computes: `python tests/reference/record.py [--out DIR] [--python PY]`.

Builds an environment from the group `reference` of pyproject.toml in a temporary folder (about 2 GB, removed at the
end; `--environment DIR` keeps it and uses it again), and runs tensorflow_addons_vectors.py inside it.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
PYPROJECT = HERE.parent.parent / "pyproject.toml"
VERSION = (3, 11)


def version(python: str) -> tuple[int, ...]:
    """Of an interpreter; () when it does not run or cannot make an environment."""
    code = "import ensurepip, sys, venv; print(*sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(int(part) for part in done.stdout.split()) if done.returncode == 0 else ()


def find_python(given: str | None = None) -> str | None:
    """The first Python 3.11 that runs: the given one alone, else this one, else those of PATH."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    found = [shutil.which(name, path=folder) for folder in folders for name in ("python3.11", "python3", "python")]
    candidates = [given] if given else [sys.executable, *dict.fromkeys(path for path in found if path)]
    return next((python for python in candidates if version(python) == VERSION), None)


def requirements() -> list[str]:
    return tomllib.loads(PYPROJECT.read_text())["dependency-groups"]["reference"]


def build(python: str, folder: Path) -> Path:
    """Makes the environment, or uses the one that is there; returns its interpreter."""
    inside = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not inside.exists():
        subprocess.run([python, "-I", "-m", "venv", str(folder)], check=True)
    subprocess.run([str(inside), "-I", "-m", "pip", "install", "--quiet", *requirements()], check=True)
    return inside


def record(inside: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    # oneDNN reorders sums from one processor to the next; TF_USE_LEGACY_KERAS would ask for another Keras.
    environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    environment |= {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
    script = HERE / "tensorflow_addons_vectors.py"
    subprocess.run([str(inside), "-I", "-W", "ignore", str(script), str(out)], check=True, env=environment)


def main() -> None:
    parser = argparse.ArgumentParser(description="Records reference vectors of tensorflow-addons.")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the .npz files")
    parser.add_argument("--python", help="a Python 3.11; by default the first one that is found")
    parser.add_argument("--environment", type=Path, help="folder of the environment, kept and used again")
    arguments = parser.parse_args()
    python = find_python(arguments.python)
    if python is None:
        received = f" Received: --python {arguments.python}." if arguments.python else ""
        sys.exit(f"record.py needs a Python 3.11 (TensorFlow 2.15).{received} Install one, or give it: --python PATH")
    try:
        if arguments.environment:
            record(build(python, arguments.environment), arguments.out)
        else:
            with tempfile.TemporaryDirectory() as folder:
                record(build(python, Path(folder) / "environment"), arguments.out)
    except subprocess.CalledProcessError as error:
        sys.exit(f"record.py: exit status {error.returncode} of {' '.join(error.cmd)}; its own message is above")


if __name__ == "__main__":
    main()
