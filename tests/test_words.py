"""Refuses the worst habits of prose in docstrings, comments, messages and help texts.

`python tests/test_words.py` lists them by file and line. The whole glossary: CONTRIBUTING.md.
"""

import ast
import re
import sys
import tokenize
from pathlib import Path

import pytest

pytestmark = pytest.mark.tensorflow_only

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "kerastricks"
BEGINNINGS = re.compile(r"\s*(Of|The same|What)\b")
BEHIND = re.compile(r"\bbehind\b(?!:)")
# Of what lags, stays or hides: nothing follows there.
LEGITIMATE = re.compile(
    r"\bleav\w+\b[^.]*\bbehind\b|\b(far|falls?) behind\b|^(\) )?behind\s*$"
    r"|\bbehind (the (leader|best|fastest)|a firewall|on the same)"
)
PHRASES = {
    r"whole or not at all": "atomic",
    r"\b[Hh]ow sure(ly)?\b": "confidence, confidence interval",
    r"\bchances\b": "probabilities",
    r"\bno UTF-8\b": "not valid UTF-8",
    r"leaves a rest": "is not divisible (remainder ...)",
    r"\bmakes? of (images|an image|the images)\b": "features, activations or predictions",
    r"\bwhat (a|the) teacher says\b|\bwhat (it|they) says?\b": "predictions",
    r"\bvalues that a training\b.*\bdepends on\b": "hyperparameters",
    r"\bgo(es)? on (where|from)\b": "resume",
    r"\bas far as it is equal\b": "shared",
    r"\bbehind one another\b|\bone behind the other\b": "concatenated, one after the other",
}


def texts(path):
    """(line, text) of each line of each string and comment; interpolated expressions are no prose."""
    source = path.read_text()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for offset, line in enumerate(node.value.splitlines()):
                yield min(node.lineno + offset, node.end_lineno), line
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string.removeprefix("#").strip()


def first_lines(path):
    """(line, text) of the first lines of docstrings, of `help=`, and of all texts of the command line."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            doc = ast.get_docstring(node)
            if doc:
                yield node.body[0].lineno, doc.splitlines()[0]
        elif isinstance(node, ast.keyword) and node.arg == "help":
            value = node.value.values[0] if isinstance(node.value, ast.JoinedStr) else node.value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield node.value.lineno, value.value

    if path.parent.name == "cli":
        yield from texts(path)


def beginnings(path):
    for line, text in sorted(set(first_lines(path))):
        if BEGINNINGS.match(text):
            yield line, f"{text!r}: begin with a noun phrase or an imperative"


def behinds(path):
    for line, text in texts(path):
        if BEHIND.search(text) and not LEGITIMATE.search(text):
            yield line, f"{text.strip()!r}: say 'after' for what follows"


def phrases(path):
    for line, text in texts(path):
        for pattern, better in PHRASES.items():
            if re.search(pattern, text):
                yield line, f"{text.strip()!r}: say {better}"


def hits(rule):
    return [
        f"{path.relative_to(ROOT)}:{line}: {message}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line, message in sorted(rule(path))
    ]


RULES = [beginnings, behinds, phrases]


@pytest.mark.parametrize("rule", RULES)
def test_no_riddles(rule):
    found = hits(rule)
    assert not found, "\n".join(["", *found])


def test_the_rules_find_what_they_are_for(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        '"""Of the trial."""\n'
        "# The layer behind it.\n"
        'raise ValueError(f"{behind} stands behind {ended}, with chances")\n'
        'option("--out", help="What to write.")\n'
        "# It is far behind, behind the leader, and leaves nothing behind.\n"
        'behind = {"behind": 0}\n'
    )
    assert [line for line, _ in beginnings(path)] == [1, 4]
    assert [line for line, _ in behinds(path)] == [3, 2]
    assert [line for line, _ in phrases(path)] == [3]


if __name__ == "__main__":
    listed = [hit for rule in RULES for hit in hits(rule)]
    print("\n".join(listed))
    sys.exit(bool(listed))
