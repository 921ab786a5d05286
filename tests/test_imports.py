"""What importing costs, and that the order of imports is free. Each in a process of its own."""

import ast
import importlib
import operator
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import kerastricks

pytestmark = pytest.mark.tensorflow_only

LIGHT = {"KERAS_BACKEND": "numpy"}  # imported in half the time


def python(code, **environment):
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "code",
    [
        "import kerastricks",
        "import kerastricks.cli; kerastricks.cli.run(['--help'])",
        "import kerastricks.cli; kerastricks.cli.run(['train', '--help'])",
        "import kerastricks.cli; kerastricks.cli.run(['models'])",
        "import kerastricks.cli; kerastricks.cli.run(['models', 'applications/'])",
        "import kerastricks.cli; kerastricks.cli.run(['models', 'show', 'applications/ResNet5'])",
        "import kerastricks.cli; kerastricks.cli.run(['inspect', '--help'])",
        "import kerastricks.cli; kerastricks.cli.run(['recipe', 'list'])",
        "import kerastricks.cli; kerastricks.cli.run(['train', 'digits', '--augment', 'flipp'])",
        "import kerastricks.cli; kerastricks.cli.run(['train', 'digits', '--set', 'optimizer=sdg'])",
        "import kerastricks.cli; kerastricks.cli.run(['train', 'digits', '--data-service', 'nowhere'])",
        "import kerastricks.cli; kerastricks.cli.run(['data-worker', '--dispatcher', 'nowhere'])",
        "import kerastricks.cli; kerastricks.cli.run(['data-dispatcher', '--host', '198.51.100.7'])",
    ],
)
def test_no_framework_is_loaded(code):
    heavy = "[m for m in ('tensorflow', 'keras', 'numpy', 'sklearn', 'matplotlib', 'PIL') if m in sys.modules]"
    assert python(f"{code}\nimport sys\nprint({heavy})").endswith("[]")


def test_public_names_are_sorted_and_all_load():
    assert kerastricks.__all__ == sorted(kerastricks.__all__)
    assert set(dir(kerastricks)) == set(kerastricks.__all__)
    for package in (kerastricks.data, kerastricks.layers, kerastricks.models, kerastricks.training, kerastricks.runs):
        assert package.__all__ == sorted(
            package.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name)
        )
        for name in package.__all__:
            assert getattr(package, name) is not None


PACKAGES = sorted(path.parent.name for path in Path(kerastricks.__file__).parent.glob("*/__init__.py"))


@pytest.mark.parametrize("name", [name for name in PACKAGES if name not in {"charts", "cli", "report"}])
def test_editors_and_type_checkers_see_the_public_names(name):
    """The lazy table, `__all__` and the imports under TYPE_CHECKING say the same."""
    package = importlib.import_module(f"kerastricks.{name}")
    tree = ast.parse(Path(package.__file__).read_text())
    (seen,) = (node for node in tree.body if isinstance(node, ast.If))
    for_checkers = {
        alias.name: node.module.removeprefix(f"kerastricks.{name}.")
        for node in seen.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    (attached,) = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.func.id == "attach")
    assert for_checkers == ast.literal_eval(attached.args[1])
    assert sorted(for_checkers) == sorted(package.__all__) == dir(package)


def test_no_module_is_named_like_what_its_package_exports():
    """Importing the module would bind the public name to it."""
    for name in PACKAGES:
        package = importlib.import_module(f"kerastricks.{name}")
        modules = {path.stem for path in Path(package.__file__).parent.iterdir()} - {"__init__"}
        assert not modules & set(getattr(package, "__all__", ())), name
        # And none like a former export: once imported, the module would come in place of the message.
        tree = ast.parse(Path(package.__file__).read_text())
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            for keyword in call.keywords:
                assert keyword.arg != "former" or not modules & set(ast.literal_eval(keyword.value)), name


@pytest.mark.parametrize(
    "name",
    [
        "layers.PCAWhitening",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("augment.Augment", "initializers.HeNormal")),
    ],
)
def test_a_custom_object_is_there_before_keras_is(name):
    assert python(f"import kerastricks; print(kerastricks.{name}.__name__)", **LIGHT) == name.split(".")[1]


@pytest.mark.parametrize(("package", "name"), [("layers", "BatchedMembers"), ("ensemble", "batched")])
def test_a_removed_public_name_says_what_serves_instead(package, name):
    with pytest.raises(AttributeError, match=rf"kerastricks\.{package}\.{name} was removed.*: use .*combine"):
        getattr(getattr(kerastricks, package), name)


def test_a_former_public_name_is_refused_with_the_new_one():
    for name in PACKAGES:
        package = importlib.import_module(f"kerastricks.{name}")
        calls = [node for node in ast.walk(ast.parse(Path(package.__file__).read_text())) if isinstance(node, ast.Call)]
        tables = [keyword.value for call in calls for keyword in call.keywords if keyword.arg == "former"]
        for former, said in (pair for table in tables for pair in ast.literal_eval(table).items()):
            with pytest.raises(AttributeError, match=re.escape(said)):
                getattr(package, former)
            if said.startswith("is now "):
                new = re.split(r"[(,:;]", said.split()[2])[0].removeprefix("kerastricks.")
                assert operator.attrgetter(new)(kerastricks) is not None


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'trainng'"):
        kerastricks.trainng  # noqa: B018


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    import keras
    import numpy as np

    folder = tmp_path_factory.mktemp("saved")
    # PadShortcut and PatchWhitening are custom objects.
    model = kerastricks.models.create("resnet_20(width=4)", (8, 8, 3), 3)
    whitened = kerastricks.models.create("plain_cnn(widths=(4,))", (8, 8, 3), 3)
    images = np.random.default_rng(0).uniform(0, 255, (4, 8, 8, 3)).astype("float32")
    np.savez(folder / "expected.npz", images=images, resnet=model(images), plain=whitened(images))
    keras.saving.save_model(model, folder / "resnet.keras")
    keras.saving.save_model(whitened, folder / "plain.keras")
    return folder


@pytest.mark.parametrize(
    ("imports", "backend"),
    [
        *((imports, "tensorflow") for imports in ("import kerastricks, keras", "import keras, kerastricks")),
        *(
            pytest.param(imports, backend, marks=pytest.mark.slow)
            for imports in ("import kerastricks, keras", "import keras, kerastricks")
            for backend in ("jax", "torch")
        ),
    ],
)
def test_load_model_finds_custom_objects_in_either_order(backend, imports, saved_model):
    pytest.importorskip(backend)
    code = f"""
{imports}
import numpy as np
file = np.load({str(saved_model / "expected.npz")!r})
for name in ("resnet", "plain"):
    model = keras.models.load_model({str(saved_model)!r} + "/" + name + ".keras")
    print(np.abs(np.asarray(model.predict(file["images"], verbose=0)) - file[name]).max() < 1e-4)
"""
    environment = {"KERAS_BACKEND": backend, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    assert python(code, **environment).split() == ["True", "True"]


def test_looking_for_keras_without_importing_it_keeps_the_hook():
    code = """
import kerastricks, importlib.util
assert importlib.util.find_spec("keras") is not None
import keras
print({"kerastricks>FancyPCA", "kerastricks>MacroF1"} <= set(keras.saving.get_custom_objects()))
"""
    assert python(code, **LIGHT) == "True"


def test_an_import_of_keras_that_failed_may_be_tried_again():
    code = """
import kerastricks, os, sys
os.environ["KERAS_BACKEND"] = "nonsense"
try:
    import keras
except ValueError:
    pass
for name in [n for n in sys.modules if n.split(".")[0] == "keras"]:
    del sys.modules[name]
os.environ["KERAS_BACKEND"] = "numpy"
import keras
print("kerastricks>FancyPCA" in keras.saving.get_custom_objects())
"""
    assert python(code) == "True"
