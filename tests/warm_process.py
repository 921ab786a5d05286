"""A process that has TensorFlow imported and forks for each thing it is asked to run.

A run folder is verified in a fresh process, of which most is the import of TensorFlow: eight seconds for each training
of the suite. This one imports once, runs nothing itself, and so gives every fork the state of a process that has just
imported TensorFlow and kerastricks: no custom object that a test registered is in it.
"""

import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback


class WarmProcess:
    """Runs modules as `python -m` does, in forks of a process with the TensorFlow backend on the CPU."""

    def __init__(self):
        environment = {
            **os.environ,
            "KERAS_BACKEND": "tensorflow",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "-1",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def run(self, module, arguments):
        """The exit code and standard error."""
        request = {
            "module": module,
            "arguments": list(map(str, arguments)),
            "folder": os.getcwd(),
            "path": [path for path in sys.path if path],
            "environment": {name: value for name, value in os.environ.items() if name.startswith("KERASTRICKS_")},
        }
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return answer["code"], answer["errors"]

    def close(self):
        self._process.stdin.close()
        self._process.wait(timeout=30)


def fork(request):
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        child = os.fork()
        if child == 0:
            os.dup2(errors.fileno(), 2)
            os.dup2(errors.fileno(), 1)
            os._exit(run(request))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        errors.seek(0)
        return {"code": code, "errors": errors.read()}


def run(request):
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - until the process ends
    sys.stdout = sys.stderr
    try:
        os.chdir(request["folder"])
        os.environ |= request["environment"]
        sys.path[:0] = [path for path in request["path"] if path not in sys.path]
        sys.argv = [request["module"], *request["arguments"]]
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    return code


def main():
    import keras  # noqa: F401
    import tensorflow as tf

    import kerastricks.data.decoding.decode  # noqa: F401

    assert tf.executing_eagerly()
    # As in tests/conftest.py; tests marked fresh_processes do without this process.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    for line in sys.stdin:
        print(json.dumps(fork(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
