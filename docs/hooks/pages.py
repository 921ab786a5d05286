"""mkdocs: a reference page per package, and the pages whose files lie outside of docs/."""

import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

sys.path.insert(0, str(Path(__file__).parent))
from public_names import ROOT
from reference import reference_pages

WIDE_TABLE = 5  # columns
OUTSIDE = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}


def on_config(config: Any) -> Any:
    config["nav"].append({"Reference": list(reference_pages())})
    return config


def on_files(files: Any, config: Any) -> Any:
    for name, content in reference_pages().items():
        files.append(File.generated(config, name, content=content))
    for name, source in OUTSIDE.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=text.replace("](docs/", "](")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """A page with a wide table has no table of contents beside it, which would take a quarter of the width."""
    if any(line.count("|") > WIDE_TABLE + 1 for line in markdown.splitlines() if set(line) <= set("|-: ")):
        page.meta.setdefault("hide", ["toc"])
    return markdown
