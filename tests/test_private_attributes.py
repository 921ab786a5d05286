"""Private names of others, which only two files may use, and none of ours overrides by mistake."""

import ast

import keras
import keras_tuner
import pytest
from test_architecture import FILES, PACKAGE, PRIVATE

pytestmark = pytest.mark.tensorflow_only


# Underscores that are no secret: of named tuples, and of `os`.
PUBLIC = {"_replace", "_asdict", "_fields", "_make", "_exit"}
OTHERS_PRIVATE = {  # TensorFlow's
    ("range_test/batches.py", "_inputs"),
    ("range_test/batches.py", "_reshuffle_each_iteration"),
}


def members(tree):
    """The private names that the classes of a file define."""
    for kind in ast.walk(tree):
        if not isinstance(kind, ast.ClassDef):
            continue
        for node in ast.walk(kind):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                name = node.name
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                name = node.id
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_own(node):
                name = node.attr
            else:
                continue
            if is_private(name):
                yield name


def is_private(name):
    return name.startswith("_") and not name.startswith("__") and name != "_"


def is_own(attribute):
    """Whether it is of `self`, `cls` or `super()`."""
    return ast.unparse(attribute.value) in ("self", "cls", "super()")


def foreign(tree, ours):
    """The private names in a file that are others': `x._name` is ours where a class of the file defines it."""
    here = set(members(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name, allowed = node.attr, ours if is_own(node) else here
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("attr", "attrgetter", "methodcaller")):
            texts = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            name, allowed = next(iter(texts), ""), here
        else:
            continue
        if is_private(name) and name not in allowed | PUBLIC:
            yield node.lineno, name


@pytest.fixture(scope="module")
def trees():
    return {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text()) for path in FILES}


def test_private_names_of_keras_are_in_two_files_alone(trees):
    ours = {name for inside, tree in trees.items() if inside not in PRIVATE for name in members(tree)}
    found = [
        f"kerastricks/{inside}:{line}: {name}"
        for inside, tree in trees.items()
        if inside not in PRIVATE
        for line, name in foreign(tree, ours)
        if (inside, name) not in OTHERS_PRIVATE
    ]
    assert not found, f"private names of others: put a function into keras_graph.py: {found}"


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("def f(model): return model._flatten_layers()", ["_flatten_layers"]),
        ("class A(Layer):\n  def f(self): return self._flatten_layers()", ["_flatten_layers"]),
        ("class A:\n  def __init__(self): self._n = 1\n  def add(self, other): return other._n + self._n", []),
        ("def f(x): return hasattr(x, '_nodes_by_depth')", ["_nodes_by_depth"]),
        ("def f(x): return getattr(x, '_inputs', None)", ["_inputs"]),
        ("def f(row): return row._replace(a=1)", []),
        ("def _functional(): ...\ndef f(model): return model._functional", ["_functional"]),
    ],
)
def test_what_a_private_name_of_others_is(code, names):
    tree = ast.parse(code)
    assert [name for _, name in foreign(tree, set(members(tree)))] == names


def test_no_class_overrides_a_private_name_of_its_base(trees):
    """By mistake: Keras would call it."""
    bases = (keras.Model, keras.Sequential, keras.Optimizer, keras.Loss, keras.Metric, keras.callbacks.Callback)
    bases += (keras.optimizers.schedules.LearningRateSchedule, keras.Initializer, keras.Regularizer)
    bases += (keras_tuner.oracles.HyperbandOracle, keras_tuner.oracles.BayesianOptimizationOracle, keras_tuner.Tuner)
    theirs = {name for base in bases for name in dir(base) if is_private(name)}
    for inside, tree in trees.items():
        for kind in ast.walk(tree):
            if isinstance(kind, ast.ClassDef) and kind.bases and inside not in PRIVATE:
                both = theirs & set(members(kind))
                assert not both, f"kerastricks/{inside}: {kind.name} has {both}, which Keras or keras-tuner has too"
