"""The command `kerastricks`: one file per subcommand, imported when it is called.

Exit codes: 0, 1 (failed), 2 (the user's mistake), and the shell's 130 and 143 for Ctrl-C and SIGTERM.
"""

import codecs
import importlib
import io
import os
import signal
import sys
from typing import Any

import click

from kerastricks import __version__
from kerastricks.errors import Interrupted, KerasTricksError, UsageError
from kerastricks.files import says_full

# Known here, so that the help page imports no subcommand.
COMMANDS = {
    "check": "Diagnose a network or its labels.",
    "compare": "Compare activations, initializers or regularizers.",
    "data": "Check images before the first training.",
    "data-dispatcher": "Run the dispatcher of a data service.",
    "data-worker": "Run a worker of a data service.",
    "distill": "Distill a teacher into a smaller model.",
    "doctor": "Diagnose a training by its log.",
    "ensemble": "Combine several runs into one model.",
    "evaluate": "Score a run on images.",
    "export": "Export a run as SavedModel, ONNX or LiteRT.",
    "features": "Extract features: write layer activations to disk.",
    "finetune": "Fine-tune a pretrained network.",
    "inspect": "Show what a model file contains, and what in it is unsafe.",
    "longtail": "Make a long-tailed subset of images.",
    "lr": "Find the learning rate of a training.",
    "models": "List the models of the zoo, or show one.",
    "pack": "Pack images into a few large files.",
    "plan": "Show and time the plan of an augmentation.",
    "predict": "Classify image files with a run.",
    "preview": "Plot augmented images and time the augmentation.",
    "rebalance": "Correct a finished run for imbalanced classes.",
    "recipe": "List, show and copy recipes.",
    "report": "Write a page about finished runs.",
    "serve": "Serve models over REST and gRPC.",
    "schedule": "Plot a learning-rate schedule, or list all.",
    "train": "Train a classifier from images.",
    "tune": "Search hyperparameters.",
    "tune-worker": "Run trials of a search for its chief.",
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        return getattr(importlib.import_module(f"kerastricks.cli.{name}"), name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from kerastricks.errors import UnknownNameError

            raise UnknownNameError("command", args[0], COMMANDS, "kerastricks --help")
        return super().resolve_command(ctx, args)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kerastricks")
def cli() -> None:
    """The must-know tricks for training deep image classifiers, on Keras 3.

    \b
    kerastricks train path/to/images/      CLASS/*.jpg, or train/ test/ with classes inside
    kerastricks train digits               a built-in recipe: see `kerastricks recipe list`
    kerastricks predict saved_models/RUN image.jpg

    Shell completion: eval "$(_KERASTRICKS_COMPLETE=bash_source kerastricks)", or zsh_source, fish_source.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command and exit."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code; every expected error is one line."""
    os.environ["KERASTRICKS_COMMAND"] = "1"  # for `kerastricks.keras_hook`, here and in the processes it starts
    _write_any_text()
    try:
        code = cli.main(arguments, prog_name="kerastricks", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.Abort as error:  # click's word for every KeyboardInterrupt
        if isinstance(error.__cause__, Interrupted):
            return 128 + error.__cause__.signal_number
        if not isinstance(error.__cause__, KeyboardInterrupt):
            click.echo(f"error: {type(error.__cause__).__name__}", err=True)
            return 1
        click.echo("interrupted", err=True)
        return 128 + signal.SIGINT
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        click.echo(f"error: {_one_line(error.format_message())}", err=True)
        return 2
    except UsageError as error:
        click.echo(f"error: {_one_line(error)}", err=True)
        return 2
    except KerasTricksError as error:
        click.echo(f"error: {_one_line(error)}", err=True)
        return 1
    except BrokenPipeError:
        # `kerastricks ... | head`: the reader has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # a full disk, a folder without write permission
        if not (isinstance(error, OSError) or says_full(error)):
            raise
        click.echo(f"error: {_one_line(error)}", err=True)
        return 1


# Shown where the output has no such letter; all others become "\xe9".
_PLAIN = str.maketrans({"±": "+/-", "…": "...", "²": "^2", "≤": "<="} | dict(zip("▁▂▃▄▅▆▇█", "_.,-=+*#", strict=True)))


def _write_any_text() -> None:
    """Make the output accept every text, whatever its encoding: a name must not end a finished job."""
    codecs.register_error("kerastricks", _in_ascii)
    codecs.register(_plain_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # click would write UTF-8 where it sees the name "ascii".
            is_ascii = codecs.lookup(stream.encoding).name == "ascii"
            stream.reconfigure(encoding="plain_ascii" if is_ascii else None, errors="kerastricks")


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return letters.translate(_PLAIN).encode("ascii", "backslashreplace").decode("ascii"), error.end


def _plain_ascii(name: str) -> codecs.CodecInfo | None:
    if name != "plain_ascii":
        return None
    ascii_codec = codecs.lookup("ascii")
    return codecs.CodecInfo(
        name=name,
        encode=ascii_codec.encode,
        decode=ascii_codec.decode,
        incrementalencoder=ascii_codec.incrementalencoder,
        incrementaldecoder=ascii_codec.incrementaldecoder,
    )


_LONGEST_LINE = 2000  # the beginning has what is wrong and the end the way out


def _one_line(message: object) -> str:
    """Format a message without line breaks, a long received value cut, and many of them too."""
    line = " ".join(word if len(word) <= 400 else f"{word[:400]}..." for word in str(message).split())
    return line if len(line) <= _LONGEST_LINE else f"{line[:700]} ... {line[-200:]}"
