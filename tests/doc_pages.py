"""The Markdown pages of the project: their links, headings and fenced blocks.

Two comments are instructions to the slow test that runs the blocks. `<!-- not run: WHY -->` before a block leaves it
out; `<!-- before: CODE -->` is Python that is run first, and that a reader does not see.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "saved_models/README.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
LANGUAGES = ("python", "bash", "console", "toml", "text")
_FENCE = re.compile(r"^```(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
_COMMENT = re.compile(r"<!-- (not run|before):(.*?)-->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Args:
        page: file.
        line: of the opening fence, from 1.
        language: its info string.
        code: what is inside.
        not_run: why it is not run, or None.
        before: Python that is run first.
    """

    page: Path
    line: int
    language: str
    code: str
    not_run: str | None
    before: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def commands(self) -> str:
        """What a shell is given: of a console block, the lines behind the prompt."""
        if self.language == "bash":
            return self.code
        if self.language == "console":
            return "".join(line[2:] + "\n" for line in self.code.splitlines() if line.startswith("$ "))
        return ""


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found, end = [], 0
    for match in _FENCE.finditer(text):
        comments = dict(_COMMENT.findall(text[end : match.start()]))
        end = match.end()
        before = comments.get("before", "").strip() + "\n"
        line = text[: match.start()].count("\n") + 1
        found.append(Block(page, line, match[1], match[2], comments.get("not run"), before))
    return found


def prose(page: Path) -> str:
    """The page without its fenced blocks and code spans."""
    return re.sub(r"`[^`\n]*`", "", _FENCE.sub("", page.read_text(encoding="utf-8")))


def links(page: Path) -> list[str]:
    """Targets of links and pictures."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(page))


def anchors(page: Path) -> set[str]:
    """What a link to a heading of the page names it."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
