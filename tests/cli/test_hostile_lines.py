"""Every option of every command with values that nobody means: one line and exit code 2, never a traceback.

The work itself is cut off where TensorFlow would be imported: what follows has been given values that were checked.
"""

import importlib
import itertools
import os
import re

import click
import pytest

from kerastricks import cli
from kerastricks.cli import COMMANDS, options
from kerastricks.errors import UsageError

pytestmark = pytest.mark.tensorflow_only

HOSTILE = (
    "", " ", "-", "--", "\n", "a\nb", "\t", "\x1b[31m", "a\0b", "\0", os.fsdecode(b"\xff"), os.fsdecode(b"a/\xff.png"),
    "~nouser/x", "~", "~/", "/", ".", "..", "x" * 300, "x/" * 3000, "y" * 300 + ".png", "/dev/null/x", "/proc/self/mem",
    "0", "-1", "1", "1.5", "2147483647", "2147483648", "9223372036854775808", "-9223372036854775809", "9" * 5000,
    "0x" + "f" * 5000, "nan", "inf", "-inf", "1e999", "-0.0", "1e-320", "\u0661", "1_0", "true", "none", "[]",
    "{[]: 1}", "{{}}", "(" * 5000, "f(" * 5000, "[" * 50_000, "-" * 50_000 + "1", "a | " * 3000, "a." * 3000,
    "f(x" + ",1" * 200 + ")",
    "f(9223372036854775808)", "mlp(depth=-1)", "mlp(1e999)", "mlp(depth=nan)", "mlp(x.y)", "linear(warmup=none)",
    "one_cycle(inf)", "grpc://", "grpc://x:99999", "x:99999", ":1", "[::1]:80", "host:port", "tfds:", "tfds:\udcff",
    "💥", "é" * 120, "a,b,,\"", "\"a", ",", "=", "=1", "data=", "a=b=c", "%s", "{}", "${HOME}", "$(id)", "*", "[a]",
)  # fmt: skip
FIELD_VALUES = (
    "nan", "-inf", "1e999", "-1", "9" * 5000, "9223372036854775808", "{[]: 1}", "{{}}", "(" * 5000, "\udcff", "a\0b",
    "a\nb", "~nouser/x", "x" * 300, "None", "true", "", "f(" * 5000,
)  # fmt: skip


class _Reached(UsageError):
    """The line was taken: what comes is the work."""


def _reached(*args, **kwargs):
    raise _Reached("reached the work")


@pytest.fixture(autouse=True)
def no_work(monkeypatch, tmp_path):
    """Cuts the work off, and gives the lines a working directory of their own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"\xff\xfe no text")
    (tmp_path / "folder").mkdir()
    (tmp_path / "log.csv").write_text("epoch,loss,val_loss\n" + "".join(f"{n},{2 / n},{2 / n}\n" for n in range(1, 9)))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text('{"config": {"data": "digits"}}')
    (tmp_path / "run" / "summary.json").write_text('{"accuracy": 1, "class_names": ["a", "b"]}')
    for name in COMMANDS:
        module = importlib.import_module(f"kerastricks.cli.{name.replace('-', '_')}")
        for function in ("import_keras", "prepare"):
            if hasattr(module, function):
                monkeypatch.setattr(module, function, _reached)
    monkeypatch.setattr("kerastricks.cli.quiet.import_keras", _reached)
    monkeypatch.setattr("kerastricks.cli.quiet.import_tensorflow", _reached)
    monkeypatch.delenv("KERASTRICKS_TOKEN", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.setattr("kerastricks.search.trials.processes.Processes", _reached)
    monkeypatch.setattr("kerastricks.data.service.address.reach", _reached)
    monkeypatch.setattr("kerastricks.serving.server.processes.serve_processes", _reached)


def _commands():
    for name in COMMANDS:
        command = cli.cli.get_command(None, name)
        if isinstance(command, click.Group):
            yield from (((name, sub), command.commands[sub]) for sub in command.commands)
        else:
            yield (name,), command


ALL = dict(_commands())
USUAL = {
    "compare": ["activations", "digits"], "data-worker": ["--dispatcher", "grpc://127.0.0.1:5050"],
    "distill": ["folder", "digits"], "ensemble": ["folder"], "evaluate": ["folder", "digits"],
    "export": ["run"],
    "features": ["digits", "--model", "nin", "--layer", "list"], "finetune": ["digits"], "lr": ["digits"],
    "longtail": ["digits", "tail"],
    "models show": ["nin"], "pack": ["digits", "packed"], "plan": ["flip", "--data", "digits"],
    "predict": ["folder", "file"], "preview": ["digits"], "rebalance": ["run"], "recipe show": ["digits"],
    "recipe copy": ["digits", "folder"],
    "schedule": ["linear"], "serve": ["folder"],
    "train": ["digits"], "tune": ["digits"], "tune-worker": ["folder", "--chief", "x:80"],
    "check init": ["nin"], "check activation": ["nin"], "check units": ["nin"], "check shapes": ["nin"],
    "check batch": ["nin"], "check labels": ["digits"], "check model": ["nin"],
    "doctor": ["log.csv"], "inspect": ["file"], "report": ["run"], "data": ["folder"],
}  # fmt: skip


def _lines(path, command, every_value):
    """The command's usual line with each of its parameters in turn replaced by each hostile value.

    Without `every_value` an option takes every other one, and its neighbour those between: half of the time.
    """
    usual = USUAL.get(" ".join(path), [])
    arguments = [parameter for parameter in command.params if isinstance(parameter, click.Argument)]
    for place, parameter in enumerate(command.params):
        if isinstance(parameter, click.Option) and not parameter.is_flag:
            values = HOSTILE if every_value else HOSTILE[place % 2 :: 2]
            if parameter.name == "assignments":
                fields = ("data", "model", "augment", "image_size", "classes", "optimizer", "seed", "keep", "x")
                values = (*values, *(f"{field}={value}" for field in fields for value in FIELD_VALUES))
            for value in values:
                yield [*path, *usual, f"{parameter.opts[0]}={value}"]
    for index, value in itertools.product(range(len(arguments)), HOSTILE):
        if path in (("predict",), ("doctor",), ("data",)) and value in ("/", "~", "~/", ".."):
            continue  # they look at every file in there
        line = [*usual]
        if index < len(line):
            line[index] = value
        else:
            line.append(value)
        yield [*path, "--", *line] if not any(one.startswith("--") for one in usual) else [*path, *line]


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_no_line_ends_in_a_traceback(path, capsys):
    _all_end_well(_lines(path, ALL[path], every_value=False), capsys)


@pytest.mark.slow
@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_no_line_with_any_of_the_values_ends_in_a_traceback(path, capsys):
    _all_end_well(_lines(path, ALL[path], every_value=True), capsys)


def _all_end_well(lines, capsys):
    for line in lines:
        try:
            code = cli.run(line)
        except BaseException as error:
            shown = [one if len(one) < 200 else one[:200] + "..." for one in line]
            raise AssertionError(f"{shown}: {type(error).__name__}: {str(error)[:300]}") from error
        shown = capsys.readouterr().err
        assert code in (0, 2), (line, code, shown)
        if code == 2:
            last = shown.rstrip("\n").splitlines()[-1]
            assert last.startswith("error: "), (line, shown)
            assert len(last) < 1000, line


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_option_has_a_type_with_bounds(path):
    ours = (options.Number, options.Text, click.Choice)
    for parameter in ALL[path].params:
        flag = isinstance(parameter, click.Option) and parameter.is_flag
        types = parameter.type.types if isinstance(parameter.type, click.Tuple) else [parameter.type]
        assert flag or all(isinstance(one, ours) for one in types), f"{path}: {parameter.name} is a {parameter.type}"
        if isinstance(parameter.type, options.Number) and parameter.type.bounds.whole:
            assert parameter.type.bounds.high is not None or parameter.name in options.CONFIG


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["train", "digits", "--epochs", "0"], "must be 1 to 1,000,000. Received: 0"),
        (["train", "digits", "--learning-rate", "nan"], "must be above 0. Received: nan"),
        (["train", "digits", "--seeds", "9" * 30], "must be 2 to 1,000. Received: 999"),
        (["train", "digits", "--set", "image_size=-1"], "must be 1 to 8,192 or None. Received: image_size=-1"),
        (["train", "digits", "--classes", "a\nb"], "must be one line without control characters"),
        (["train", "~nouser/x"], "~nouser/x: no such home directory"),
        (["train", "digits", "--set", "data=~nouser/x"], "~nouser/x: no such home directory"),
        (["train", "x" * 300], "File name too long"),
        (["train", os.fsdecode(b"\xff")], "must be valid UTF-8 without NUL"),
        (["train", "digits", "--name", "a/b"], "must be a plain name"),
        (["pack", "digits", "p", "--max-skipped=-inf"], "must be in [0, 1]. Received: -inf"),
        (["schedule", "linear", "--out", ""], "is empty: name a file or folder"),
        (["schedule", "linear", "--out", "there.png"], "there.png exists already and is not overwritten"),
        (["schedule", "linear", "--out", "no/there.png"], "is not there: make it first"),
        (["schedule", "linear", "--out", "a.pdf"], "must be a .png"),
        (["models", "show", "nin", "--classes", "2147483648"], "must be 2 to 100,000"),
        (["preview", "digits", "--image-size", "9" * 20], "must be 1 to 8,192"),
        (["data-dispatcher", "--port", "65536"], "must be 0 to 65,535"),
        (["tune", "digits", "--space", "folder"], "is a folder: name a file"),
        (["tune", "digits", "--space", "no.toml"], "no.toml: no such file: name a TOML file"),
        (["tune", "digits", "--space", "/dev/zero"], "/dev/zero: is no file: name a TOML file"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(line, message, tmp_path, capsys):
    (tmp_path / "there.png").write_bytes(b"")
    assert cli.run(line) == 2
    shown = re.sub(r"\s+", " ", capsys.readouterr().err)
    assert message in shown
    assert len(shown) < 600


def test_too_many_arguments_are_one_line_of_bearable_length(capsys):
    assert cli.run(["tune-worker", "folder", "--chief", "x:80", *["a | b"] * 2000]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: Got unexpected extra arguments")
    assert len(shown) < 1000


@pytest.mark.parametrize("line", [["train", "digits"], ["tune", "digits"], ["predict", "folder", "file"]])
def test_the_usual_lines_reach_the_work(line, capsys):
    assert cli.run(line) == 2
    assert "reached the work" in capsys.readouterr().err


SPACES = (
    b"\xff\x00", b"[x", b"x=" + b"[" * 5000, b"x={a=" * 3000, b'""=1', b"[learning_rate]\nmin=nan\nmax=inf",
    b"batch_size=0x" + b"f" * 5000, b"batch_size=" + b"9" * 5000, b"[batch_size]\nmin=1\nmax=99999999999999999999",
    b"[batch_size]\nvalues=[" + b",".join(b"%d" % n for n in range(1, 50_000)) + b"]", b"[augment]\nvalues=['f(', 'x']",
    b"[optimizer]\nvalues=[[1]]", b"learning_rate=1979-05-27", b"extends=[3]", b"[model]\nvalues=['f(f(f(']",
)  # fmt: skip
RECIPES = (
    b"\xff\xfe", b"x=1\0", b"", b"def f(): f()\nf()", b"x=" + b"(" * 5000, b"x=" + b"-" * 90_000 + b"1",
    b"import sys; sys.exit(3)", b"class E(BaseException): pass\nraise E", b"raise ValueError('a\\nb')",
    b"raise MemoryError",
    b"CONFIG=3", b"CONFIG={3: 1}", b"CONFIG={'\\udcff': 1}", b"CONFIG={'data': ['a']}", b"CONFIG={'data': '~nouser/x'}",
    b"CONFIG={'data': 'a\\0b'}", b"CONFIG={'data': 'digits', 'image_size': 16**5000}",
    b"CONFIG={'data': '" + b"x" * 5000 + b"'}",
    b"CONFIG={'data': 'digits', 'seed': float('nan')}", b"CONFIG={'data': 'digits', 'model': 'f(' * 5000}",
    b"CONFIG={'data': 'digits'}\ncreate_model = 3", b"class D(dict):\n  def items(self): raise OSError\nCONFIG=D()",
)  # fmt: skip


@pytest.mark.parametrize(
    ("contents", "name", "line"),
    [
        (SPACES, "space.toml", ["tune", "digits", "--space", "space.toml"]),
        (RECIPES, "recipe.py", ["train", "recipe.py"]),
        (RECIPES, "recipe.py", ["tune", "recipe.py"]),
        (RECIPES, "recipe.py", ["finetune", "recipe.py"]),
    ],
    ids=["space", "train", "tune", "finetune"],
)
def test_files_of_ones_own_are_refused_in_one_line(contents, name, line, tmp_path, capsys):
    for content in contents:
        (tmp_path / name).write_bytes(content)
        assert cli.run(line) == 2, content[:100]
        shown = capsys.readouterr().err.rstrip("\n")
        assert shown.startswith("error: "), content[:100]
        assert "\n" not in shown
        assert len(shown) < 1500
