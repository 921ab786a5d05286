"""Reads the imports and holds who may import whom (docs/architecture.md)."""

import ast
from pathlib import Path

import pytest

pytestmark = pytest.mark.tensorflow_only

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "kerastricks"
FILES = sorted(PACKAGE.rglob("*.py"))
SHARED = {"bounds", "cache", "errors", "files", "keras_hook", "lazy", "progress", "registry", "spec"}
MAY_IMPORT = {
    "cli": {
        "classifier_file",
        "augment",
        "recipes",
        "data",
        "models",
        "training",
        "runs",
        "serving",
        "checks",
        "comparison",
        "initializers",
        "features",
        "finetuning",
        "range_test",
        "schedules",
        "search",
        "ensemble",
    },
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
        "initializers",
    },
    "ensemble": {"data", "finetuning", "layers", "models", "training"},
    "comparison": {"callbacks", "data", "models", "initializers", "plotting", "training", "runs"},
    "runs": {
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
    },
    "training": {"augment", "callbacks", "layers", "schedules", "losses", "models", "data", "regularizers"},
    "models": {"layers", "activations", "initializers", "regularizers", "weights"},
    "weights": {"classifier_file"},
    "checks": {"activations", "initializers", "models", "plotting"},
    "activations": {"layers"},
    "regularizers": set(),
    "serving": {"classifier_file", "data", "layers"},
    "data": {"augment", "layers", "recipes"},
    "features": {"data"},
    "finetuning": {
        "classifier_file",
        "callbacks",
        "data",
        "features",
        "initializers",
        "layers",
        "models",
        "plotting",
        "training",
        "weights",
    },
    "augment": set(),
    "callbacks": {"layers"},
    "layers": {"augment"},
    "initializers": set(),
    "losses": set(),
    "plotting": set(),
    "schedules": {"plotting"},
    "recipes": set(),
    "classifier_file": {"recipes"},
}
# TensorFlow's own file formats and data sets, and two files of training (devices; the fused kernel).
MAY_IMPORT_TENSORFLOW = {"data", "serving", "cli/quiet.py", "training/device.py", "training/fused_batch_norm.py"}


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


def test_packages_import_only_what_they_may():
    for path in FILES:
        allowed = MAY_IMPORT.get(part(path))
        if allowed is None:
            continue
        for name in imports(path):
            if name.startswith("kerastricks."):
                imported = name.split(".")[1]
                assert imported in allowed | SHARED | {part(path), "__version__"}, f"{path} imports {name}"


@pytest.mark.parametrize("name", sorted(SHARED | {"__init__"}))
def test_the_base_imports_the_standard_library_alone(name):
    import sys

    for imported in imports(PACKAGE / f"{name}.py"):
        top = imported.split(".")[0]
        assert top in sys.stdlib_module_names or top == "kerastricks", imported


def test_tensorflow_is_imported_where_it_belongs():
    for path in FILES:
        inside = path.relative_to(PACKAGE).as_posix()
        if not any(inside.startswith(place) for place in MAY_IMPORT_TENSORFLOW):
            assert not any(name.split(".")[0] == "tensorflow" for name in imports(path)), path


def test_nobody_imports_private_keras_or_the_recipes():
    for path in [*FILES, *(ROOT / "pipelines").glob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        for name in imports(path):
            assert not name.startswith(("keras.src", "pipelines", "kerastricks._recipes")), f"{path}: {name}"


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
