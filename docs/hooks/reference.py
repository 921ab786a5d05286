"""Markdown of the reference pages: what mkdocstrings fills in is named, in the order of `__all__`."""

from public_names import Package, packages


def reference_pages() -> dict[str, str]:
    """Pages by their path below docs/."""
    found = packages()
    return {"reference/index.md": _index(found), **{f"reference/{p.name}.md": _page(p) for p in found}}


def _index(found: list[Package]) -> str:
    rows = [f"| [`kerastricks.{p.name}`]({p.name}.md) | {_cell(p.summary)} |" for p in found]
    return "\n".join(["# Reference", "", "| package | |", "|---|---|", *rows, ""])


def _page(package: Package) -> str:
    lines = [f"# kerastricks.{package.name}", "", package.summary, "", "| name | |", "|---|---|"]
    for name in package.names:
        lines.append(f"| [`{name}`](#{_anchor(package, name)}) | {_cell(package.summaries[name])} |")
    for name, definition in package.names.items():
        lines += ["", f"[](){{ #{_anchor(package, name)} }}", "", f"::: {definition}"]
        lines += ["    options:", f"      heading: {name}", f"      toc_label: {name}"]
    return "\n".join([*lines, ""])


def _anchor(package: Package, name: str) -> str:
    return f"kerastricks.{package.name}.{name}"


def _cell(text: str) -> str:
    return text.split("\n\n")[0].replace("\n", " ").replace("|", r"\|")
