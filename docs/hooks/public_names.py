"""Public names of every package and the modules that define them, read from the sources without an import."""

import ast
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Package:
    """A package or module of `kerastricks.__all__`.

    Args:
        name: "training".
        summary: its docstring.
        names: public name to the path of its definition: "fit" to "kerastricks.training.fit.fit".
        summaries: public name to the first line of its docstring, "" where it has none.
    """

    name: str
    summary: str
    names: dict[str, str]
    summaries: dict[str, str]


def packages() -> list[Package]:
    """Every package and module of `kerastricks.__all__`, in that order."""
    names = _all(_tree("kerastricks"))
    return [_package(name) for name in names if _file(f"kerastricks.{name}") is not None]


def _package(name: str) -> Package:
    path = f"kerastricks.{name}"
    tree = _tree(path)
    defined = {**_lazy_table(path, tree), **_type_checking_imports(tree)}
    public = _all(tree) or [node.name for node in _definitions(tree) if not node.name.startswith("_")]
    names = {public_name: defined.get(public_name, f"{path}.{public_name}") for public_name in public}
    if name == "augment":
        names |= {f"ops.{op.rpartition('.')[2]}": op for op in _registered("kerastricks.augment.ops", "OPS")}
    summaries = {public_name: _summary(definition) for public_name, definition in names.items()}
    return Package(name, ast.get_docstring(tree) or "", names, summaries)


def _file(module: str) -> Path | None:
    base = ROOT.joinpath(*module.split("."))
    found = [file for file in (base / "__init__.py", base.with_suffix(".py")) if file.is_file()]
    return found[0] if found else None


def _tree(module: str) -> ast.Module:
    file = _file(module)
    if file is None:
        raise FileNotFoundError(f"no module {module} in {ROOT}")
    return ast.parse(file.read_text(encoding="utf-8"))


def _definitions(tree: ast.Module) -> list[ast.ClassDef | ast.FunctionDef]:
    return [node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]


def _all(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def _lazy_table(path: str, tree: ast.Module) -> dict[str, str]:
    """The table given to `kerastricks.lazy.attach`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "attach":
            table = ast.literal_eval(node.args[1])
            return {name: f"{path}.{module}.{name}" for name, module in table.items()}
    return {}


def _type_checking_imports(tree: ast.Module) -> dict[str, str]:
    """The imports under `if TYPE_CHECKING:`."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for line in node.body:
                if isinstance(line, ast.ImportFrom):
                    found |= {alias.asname or alias.name: f"{line.module}.{alias.name}" for alias in line.names}
    return found


def _registered(module: str, name: str) -> list[str]:
    """Definitions in a registry that is written as a table of "module:name"."""
    for node in _tree(module).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and name in ast.unparse(node).split("=")[0]:
            texts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
            return list(
                dict.fromkeys(t.replace(":", ".") for t in texts if isinstance(t, str) and ":" in t and " " not in t)
            )
    return []


def _summary(definition: str) -> str:
    module, _, name = definition.rpartition(".")
    if _file(module) is None:
        return ""
    for node in _definitions(_tree(module)):
        if node.name == name:
            return (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ")
    return ""
