"""What surrounds a command: files that it writes, outputs of any encoding, and the settings of Keras."""

import io
import os
import sys
import threading
import types
from pathlib import Path

import keras
import pytest

import kerastricks
from kerastricks import cli, keras_hook
from kerastricks.cli import options
from kerastricks.errors import ConfigError, RunFailedError, UsageError

pytestmark = pytest.mark.tensorflow_only

CSV = options.OutputFile(streams=True)


def rows(file):
    file.write("a,b\r\n")


def test_a_new_file_is_written_whole(tmp_path):
    options.write_output(CSV.check(tmp_path / "new.csv"), rows)
    assert (tmp_path / "new.csv").read_bytes() == b"a,b\r\n"
    assert [path.name for path in tmp_path.iterdir()] == ["new.csv"]


def test_what_is_there_is_never_replaced(tmp_path):
    there = tmp_path / "there.csv"
    there.write_text("precious")
    (tmp_path / "link.csv").symlink_to("there.csv")
    for name in ("there.csv", "link.csv"):
        with pytest.raises(UsageError, match="exists already and is not overwritten: delete it or give another name"):
            CSV.check(tmp_path / name)
    with pytest.raises(UsageError, match="exists already"):  # it came to be there during the work
        options.write_output(there, rows)
    with pytest.raises(UsageError, match="is a folder"):
        CSV.check(tmp_path)
    assert there.read_text() == "precious"
    assert (tmp_path / "link.csv").is_symlink()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_link_to_nothing_stays_and_what_it_points_to_is_written(tmp_path):
    (tmp_path / "link.csv").symlink_to("target.csv")
    options.write_output(CSV.check(tmp_path / "link.csv"), rows)
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "target.csv").read_text() == "a,b\n"


def test_a_pipe_and_a_device_are_written_into(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    options.write_output(CSV.check(pipe), rows)
    reader.join(timeout=20)
    assert received == [b"a,b\r\n"]
    assert pipe.is_fifo()
    options.write_output(CSV.check(Path("/dev/null")), rows)
    assert Path("/dev/null").is_char_device()
    with pytest.raises(RunFailedError, match=r"/dev/full: cannot be written \(No space left on device\)"):
        options.write_output(CSV.check(Path("/dev/full")), rows)
    for name in (pipe, Path("/dev/null")):
        with pytest.raises(UsageError, match="exists already"):
            options.OutputFile().check(name)  # a picture is for a file alone


def test_the_own_output_is_written_into_and_not_truncated(tmp_path):
    """`kerastricks predict ... --csv /dev/stdout >> log.csv`"""
    log = tmp_path / "log.csv"
    log.write_text("before\n")
    kept = os.dup(1)
    with open(log, "a") as file:
        os.dup2(file.fileno(), 1)
    try:
        options.write_output(CSV.check(Path("/dev/stdout")), rows)
    finally:
        os.dup2(kept, 1)
        os.close(kept)
    assert log.read_text() == "before\na,b\n"


def test_names_of_files_that_are_not_valid_utf8_do_not_end_a_table(tmp_path):
    options.write_output(tmp_path / "new.csv", lambda file: file.write(os.fsdecode(b"caf\xe9\xff")))
    assert (tmp_path / "new.csv").read_text("utf-8") == "caf\\udce9\\udcff"


def test_the_next_free_name_is_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert options.free_name("lr.png") == Path("lr.png")
    (tmp_path / "lr.png").symlink_to("nowhere")
    (tmp_path / "lr-2.png").write_bytes(b"")
    assert options.free_name("lr.png") == Path("lr-3.png")


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("ascii", b"caf\\xe9 +/- \\udcff \\u65e5 _# ..."),
        ("latin-1", b"caf\xe9 \xb1 \\udcff \\u65e5 _# ..."),
        ("utf-8", "café ± \\udcff 日 ▁█ …".encode()),
    ],
)
def test_every_output_takes_every_text(encoding, expected, monkeypatch):
    from kerastricks.cli import screen

    for show in (screen.output.print, cli.click.echo):
        written = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
        cli._write_any_text()
        show("café ± \udcff 日 ▁█ …")
        sys.stdout.flush()
        assert written.getvalue() == expected + b"\n"


def test_a_finished_command_ends_well_where_the_output_is_ascii(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert cli.run(["schedule"]) == 0
    sys.stdout.flush()
    assert b"one_cycle" in written.getvalue()
    written.getvalue().decode("ascii")


@pytest.mark.parametrize(("name", "value"), [("image_data_format", "channels_first"), ("floatx", "float16")])
def test_other_settings_of_keras_are_refused_in_python(name, value):
    usual = getattr(keras.config, name)()
    getattr(keras.config, f"set_{name}")(value)
    try:
        with pytest.raises(ConfigError, match=rf"{name} of Keras must be .*keras\.json.*Received: '{value}'"):
            kerastricks.models.create("mlp(depth=1)", (8, 8, 1), 2)
    finally:
        getattr(keras.config, f"set_{name}")(usual)


def test_a_command_and_its_processes_do_not_follow_keras_json(monkeypatch):
    """The command marks its environment, and whatever imports Keras there gets the settings that models are for."""
    settings = {"image_data_format": "channels_first", "floatx": "float16"}
    config = types.SimpleNamespace(
        **{f"set_{name}": lambda value, name=name: settings.update({name: value}) for name in settings}
    )
    module = types.ModuleType("keras")
    module.config = config
    finder = keras_hook._KerasFinder()
    for marked, wanted in ((False, dict(settings)), (True, keras_hook.SETTINGS)):
        monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, finder])
        monkeypatch.setenv(keras_hook.COMMAND, "1") if marked else monkeypatch.delenv(keras_hook.COMMAND, raising=False)
        loader = keras_hook._RegisteringLoader(types.SimpleNamespace(exec_module=lambda module: None), finder)
        loader.exec_module(module)
        assert settings == wanted


@pytest.mark.parametrize("error", [AssertionError(), AttributeError("no attribute 'get'"), OSError(21)])
def test_a_keras_json_that_keras_refuses_is_one_line(monkeypatch, tmp_path, error):
    def refuse(module):
        raise error

    loader = keras_hook._RegisteringLoader(types.SimpleNamespace(exec_module=refuse), keras_hook._KerasFinder())
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv(keras_hook.COMMAND, "1")
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    with pytest.raises(type(error)):  # the user set nothing: the installation is at fault
        loader.exec_module(types.ModuleType("keras"))
    (tmp_path / "keras.json").write_text("[1]")
    with pytest.raises(UsageError, match=r"Keras cannot be imported .*keras\.json and KERAS_BACKEND"):
        loader.exec_module(types.ModuleType("keras"))
    monkeypatch.delenv(keras_hook.COMMAND)
    with pytest.raises(type(error)):  # in Python the error is Keras's own
        loader.exec_module(types.ModuleType("keras"))
