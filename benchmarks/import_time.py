"""Start-up: whole processes, beside what they keep from being imported.

python benchmarks/import_time.py
"""

import subprocess
import sys
import time

from table import measure, show

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import kerastricks": ["-c", "import kerastricks"],
    "kerastricks --help": ["-m", "kerastricks", "--help"],
    "kerastricks models": ["-m", "kerastricks", "models"],
    "import tensorflow": ["-c", "import tensorflow"],
}


def seconds(arguments: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    rows = {name: lambda arguments=arguments: seconds(arguments) for name, arguments in COMMANDS.items()}
    measure(rows, 1)  # files into the page cache, byte code written
    show("Start-up, whole process", "seconds", measure(rows, 7), "import tensorflow")
