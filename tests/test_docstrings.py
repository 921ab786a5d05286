"""Docstrings of everything public: `Args` are the signature's, examples run."""

import doctest
import inspect
import re

import pytest

import kerastricks

pytestmark = pytest.mark.tensorflow_only

PACKAGES = (
    "activations",
    "augment",
    "callbacks",
    "checks",
    "comparison",
    "data",
    "ensemble",
    "features",
    "finetuning",
    "imbalance",
    "initializers",
    "interop",
    "layers",
    "losses",
    "models",
    "range_test",
    "regularizers",
    "runs",
    "schedules",
    "search",
    "serving",
    "training",
    "weights",
)
SECTIONS = ("Args", "Call arguments", "Returns", "Raises", "Example", "Reference")


def public_things():
    for package in PACKAGES:
        module = getattr(kerastricks, package)
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                yield pytest.param(thing, id=f"{package}.{name}")


def section(doc, name):
    found = re.search(rf"^{name}:\n((?:    .*\n|\n)+)", doc + "\n", re.MULTILINE)
    return found.group(1) if found else ""


@pytest.mark.parametrize("thing", public_things())
def test_args_are_those_of_the_signature(thing):
    doc = inspect.getdoc(thing)
    assert doc, "no docstring"
    assert doc.split("\n")[0].endswith("."), "the first line is a sentence"
    documented = re.findall(r"^    (\*{0,2}\w+):", section(doc, "Args"), re.MULTILINE)
    parameters = inspect.signature(thing.__init__ if inspect.isclass(thing) else thing).parameters.values()
    prefix = {inspect.Parameter.VAR_KEYWORD: "**", inspect.Parameter.VAR_POSITIONAL: "*"}
    expected = [prefix.get(p.kind, "") + p.name for p in parameters if p.name not in ("self", "name")]
    assert [name for name in documented if name != "name"] == expected


@pytest.mark.parametrize(
    "thing",
    [
        p
        for package in ("augment", "layers", "initializers", "losses", "schedules")
        for p in public_things()
        if p.id.startswith(package)
    ],
)
def test_tricks_name_their_source_and_show_an_example(thing):
    if inspect.isfunction(thing):
        return
    doc = inspect.getdoc(thing)
    for name in ("Args", "Returns", "Raises", "Example", "Reference"):
        assert f"{name}:" in doc, name


@pytest.mark.parametrize("thing", public_things())
def test_examples_run(thing):
    finder = doctest.DocTestFinder(recurse=False)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for test in finder.find(thing, globs={}):
        runner.run(test)
    assert runner.failures == 0
