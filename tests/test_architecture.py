"""Reads the imports and holds who may import whom; `python tests/test_architecture.py` writes docs/architecture.md."""

import ast
import sys
from pathlib import Path

import pytest
from module_statistics import module_lines, module_statistics

pytestmark = pytest.mark.tensorflow_only

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "kerastricks"
FILES = sorted(PACKAGE.rglob("*.py"))
DOCS = ROOT / "docs" / "architecture.md"
MARKERS = ("<!-- import rules: written by python tests/test_architecture.py -->", "<!-- end of import rules -->")
MOST_LINES = 500  # of a module
SHARED = {"addresses", "bounds", "cache", "errors", "files", "keras_hook", "lazy", "progress", "registry", "spec"}
# Imports Keras, and may be imported by all packages; their modules that import no Keras import it inside functions.
FOR_ALL = {"keras_graph"}
MAY_IMPORT = {
    "cli": {
        "classifier_file",
        "augment",
        "recipes",
        "remote",
        "report",
        "data",
        "data_check",
        "models",
        "training",
        "runs",
        "serving",
        "checks",
        "comparison",
        "doctor",
        "initializers",
        "features",
        "finetuning",
        "imbalance",
        "interop",
        "range_test",
        "schedules",
        "search",
        "ensemble",
        "metrics",
    },
    "doctor": {"charts", "plotting"},
    "range_test": {"callbacks", "data", "models", "initializers", "plotting", "training"},
    "search": {
        "data",
        "models",
        "training",
        "runs",
        "range_test",
        "schedules",
        "recipes",
        "callbacks",
        "augment",
        "charts",
        "initializers",
    },
    "charts": set(),
    "report": {"charts", "doctor", "metrics"},
    "ensemble": {"data", "layers", "metrics", "models", "probes", "training"},
    "comparison": {"callbacks", "data", "models", "initializers", "metrics", "plotting", "training", "runs"},
    "metrics": set(),
    "probes": {"data", "metrics"},
    "imbalance": {"metrics"},
    "interop": set(),
    "runs": {
        "callbacks",
        "charts",
        "checks",
        "doctor",
        "report",
        "classifier_file",
        "recipes",
        "data",
        "layers",
        "models",
        "initializers",
        "plotting",
        "training",
        "serving",
        "finetuning",
        "ensemble",
        "imbalance",
        "metrics",
        "probes",
    },
    "training": {
        "augment",
        "callbacks",
        "doctor",
        "imbalance",
        "layers",
        "metrics",
        "schedules",
        "losses",
        "models",
        "data",
        "regularizers",
    },
    "models": {"layers", "activations", "initializers", "regularizers", "weights"},
    "weights": {"classifier_file"},
    "checks": {
        "activations",
        "classifier_file",
        "doctor",
        "initializers",
        "layers",
        "models",
        "plotting",
        "regularizers",
    },
    "activations": {"layers"},
    "regularizers": set(),
    "serving": {"classifier_file", "data", "layers"},
    "data": {"augment", "imbalance", "layers", "recipes", "remote"},
    "features": {"data"},
    "data_check": {"charts", "checks", "data", "features", "finetuning", "imbalance", "metrics", "probes"},
    "finetuning": {
        "classifier_file",
        "callbacks",
        "data",
        "features",
        "imbalance",
        "initializers",
        "layers",
        "metrics",
        "models",
        "plotting",
        "probes",
        "recipes",
        "training",
        "weights",
    },
    "augment": set(),
    "callbacks": {"doctor", "layers"},
    "layers": {"augment"},
    "initializers": set(),
    "keras_graph": set(),
    "losses": set(),
    "plotting": set(),
    "schedules": {"plotting"},
    "recipes": set(),
    "remote": set(),
    "classifier_file": {"recipes"},
}
# TensorFlow's own file formats and data sets, and two files of training (devices; the fused kernel).
MAY_IMPORT_TENSORFLOW = {
    "data",
    "data_check/measures.py",
    "serving",
    "cli/quiet.py",
    "training/device.py",
    "training/fused_batch_norm.py",
}
# Pictures are their only purpose; all others import it when the first figure is made.
MAY_IMPORT_MATPLOTLIB_AT_LOAD = {
    "charts",
    "report/page",
    "report/curve_charts.py",
    "data/inspection/picture.py",
    "search/page",
    "search/trial_table.py",
}
# The two files that use private names of Keras and keras-tuner; which: tests/test_private_names.py.
PRIVATE = {"keras_graph.py", "search/tuner_internals.py"}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            if node.module == "kerastricks":
                yield from (f"kerastricks.{alias.name}" for alias in node.names)


def part(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def module_name(path):
    """ "kerastricks.data" of kerastricks/data/__init__.py."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_at_load(tree):
    """The import statements that run when a module is loaded: not those in functions, nor for type checkers."""
    pending = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            pending += [
                child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt | ast.excepthandler)
            ]


def modules_loaded_by(path, known):
    """Our modules that loading one loads, itself left out."""
    found = set()
    for node in imports_at_load(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        else:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in known else node.module for name in names}
    return (found & known) - {module_name(path)}


def in_layers(depends_on):
    """Names in groups, each needing only names of earlier groups; what is on a circle, or above one, is left out."""
    left, groups, done = dict(depends_on), [], set()
    while group := sorted(name for name, needed in left.items() if needed <= done):
        groups.append(group)
        done |= set(group)
        for name in group:
            del left[name]
    return groups


def circle(depends_on):
    """A circle, its first name once more at its end; None where there is none."""
    ordered = {name for group in in_layers(depends_on) for name in group}
    left = {name: sorted(set(needed) - ordered) for name, needed in depends_on.items() if name not in ordered}
    if not left:
        return None
    walked = [min(left)]
    while walked.count(walked[-1]) == 1:
        walked.append(left[walked[-1]][0])
    return walked[walked.index(walked[-1]) :]


def import_table():
    """The rules as Markdown, from the base upwards."""

    def listed(names):
        return ", ".join(f"`{name}`" for name in sorted(names))

    rows = [f"| {listed(SHARED)} | each other and the standard library; all may import them |"]
    for group in in_layers(MAY_IMPORT):
        alike = {}
        for name in group:
            alike.setdefault(listed(MAY_IMPORT[name]) or "none of the others", []).append(name)
        rows += [f"| {listed(names)} | {allowed} |" for allowed, names in alike.items()]
    places = listed(place if place.endswith(".py") else f"{place}/" for place in MAY_IMPORT_TENSORFLOW)
    return "\n".join(["| package | may import |", "|---|---|", *rows, "", f"TensorFlow is imported in {places} only."])


def with_import_table(text):
    """A page with the table between its markers."""
    before, _, rest = text.partition(MARKERS[0])
    _, found, after = rest.partition(MARKERS[1])
    assert found, f"{DOCS}: the table stands between the lines {MARKERS[0]} and {MARKERS[1]}: bring them back"
    return f"{before}{MARKERS[0]}\n{import_table()}\n{MARKERS[1]}{after}"


def test_the_page_shows_the_rules_that_are_tested():
    text = DOCS.read_text(encoding="utf-8")
    assert text == with_import_table(text), f"{DOCS}: is older than the rules: run python tests/test_architecture.py"


def test_every_package_has_a_rule_and_every_rule_a_package():
    assert {part(path) for path in FILES} - {"__init__", "__main__"} == set(MAY_IMPORT) | SHARED
    assert set().union(*MAY_IMPORT.values()) <= set(MAY_IMPORT)


def test_the_rules_have_no_circle():
    assert circle(MAY_IMPORT) is None


def test_no_module_is_on_a_circle_of_imports():
    known = {module_name(path) for path in FILES}
    assert circle({module_name(path): modules_loaded_by(path, known) for path in FILES}) is None


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["b", "c", "b"]
    assert circle({"a": {"b"}, "b": set()}) is None


def test_no_module_is_too_long_to_read():
    assert {path: lines for path, lines in module_lines(PACKAGE).items() if lines > MOST_LINES} == {}


def test_a_file_is_a_family():
    """Neither slivers nor catch-alls: python tests/module_statistics.py."""
    found = module_statistics(PACKAGE)
    assert 110 <= found["median"] <= 150
    assert found["percentile_90"] < 300
    assert found["short_fraction"] <= 0.2


def test_packages_import_only_what_they_may():
    for path in FILES:
        allowed = MAY_IMPORT.get(part(path))
        if allowed is None:
            continue
        for name in imports(path):
            if name.startswith("kerastricks."):
                imported = name.split(".")[1]
                assert imported in allowed | SHARED | FOR_ALL | {part(path), "__version__"}, f"{path} imports {name}"


@pytest.mark.parametrize("name", sorted(SHARED | {"__init__"}))
def test_the_base_imports_the_standard_library_alone(name):
    for imported in imports(PACKAGE / f"{name}.py"):
        top = imported.split(".")[0]
        assert top in sys.stdlib_module_names or top == "kerastricks", imported


def test_tensorflow_is_imported_where_it_belongs():
    for path in FILES:
        inside = path.relative_to(PACKAGE).as_posix()
        if not any(inside.startswith(place) for place in MAY_IMPORT_TENSORFLOW):
            assert not any(name.split(".")[0] == "tensorflow" for name in imports(path)), path


def test_reports_can_be_imported_without_matplotlib():
    for path in FILES:
        inside = path.relative_to(PACKAGE).as_posix()
        if not any(inside.startswith(place) for place in MAY_IMPORT_MATPLOTLIB_AT_LOAD):
            for node in imports_at_load(ast.parse(path.read_text())):
                assert "matplotlib" not in ast.unparse(node), path


def test_nobody_imports_private_keras_or_the_recipes():
    for path in [*FILES, *(ROOT / "pipelines").glob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        for name in imports(path):
            assert not name.startswith(("keras.src", "pipelines", "kerastricks._recipes")), f"{path}: {name}"
    for path in FILES:
        if path.relative_to(PACKAGE).as_posix() not in PRIVATE:
            assert not any(name.startswith("keras_tuner.src") for name in imports(path)), path


def test_keras_tuner_is_never_abbreviated_to_ours():
    for path in FILES:
        assert "import kerastricks as kt" not in path.read_text()


def test_names_say_what_files_are():
    for path in FILES:
        assert path.stem not in {"utils", "helpers", "common", "misc"}, path


@pytest.mark.parametrize("path", sorted((ROOT / "pipelines").glob("*.py")), ids=lambda path: path.stem)
def test_recipes_are_short_and_open_with_their_command(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 100
    assert "kerastricks train" in ast.get_docstring(ast.parse(text))


def test_pipelines_is_no_package():
    assert not (ROOT / "pipelines" / "__init__.py").exists()


if __name__ == "__main__":
    DOCS.write_text(with_import_table(DOCS.read_text(encoding="utf-8")), encoding="utf-8")
