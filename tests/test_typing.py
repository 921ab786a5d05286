"""What a type checker and an editor see of the public names."""

import functools
import re
import sys
from pathlib import Path

import pytest

import kerastricks

pytestmark = pytest.mark.tensorflow_only

ROOT = Path(__file__).parent.parent
USER_CODE = "tests/typing/user_code.py"
MISUSE = "tests/typing/misuse.py"


@functools.cache
def errors():
    """Messages by file and line: 10 seconds without mypy's cache, half a second after `make types`, which fills it."""
    api = pytest.importorskip("mypy.api")
    output, failure, _ = api.run([USER_CODE, MISUSE])
    assert not failure, failure
    found = {}
    for path, line, rest in re.findall(r"^(tests/\S+?\.py):(\d+): error: (.*)$", output, re.MULTILINE):
        found.setdefault((path, int(line)), []).append(rest)
    assert found, output
    return found


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    monkeypatch.chdir(ROOT)  # mypy reads pyproject.toml there, and finds the package


def test_code_of_a_user_has_no_type_error():
    assert {place: found for place, found in errors().items() if place[0] == USER_CODE} == {}


def test_mistakes_of_a_user_are_found():
    """A misspelled name, an argument of another type, one too many, one missing."""
    lines = (ROOT / MISUSE).read_text().splitlines()
    wanted = {
        number: re.findall(r"# error: (\S+)", line) for number, line in enumerate(lines, 1) if "# error: " in line
    }
    found = {
        line: [re.search(r"\[(\S+)\]$", one).group(1) for one in messages]
        for (path, line), messages in errors().items()
        if path == MISUSE
    }
    assert found == wanted


def test_packages_are_marked_as_typed():
    """Without this file a type checker looks at no annotation of an installed package."""
    assert (Path(kerastricks.__file__).parent / "py.typed").is_file()


def test_an_editor_completes_the_public_names():
    """With jedi, which IPython and Jupyter complete with; it reads the code and runs none."""
    jedi = pytest.importorskip("jedi")
    project = jedi.Project(ROOT, environment_path=sys.prefix)
    script = jedi.Script("import kerastricks\nkerastricks.training.", project=project)
    assert set(kerastricks.training.__all__) <= {one.name for one in script.complete()}
