"""The pages: links lead somewhere, blocks compile, commands exist, the reference has every public name; blocks run."""

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
from doc_pages import LANGUAGES, PAGES, ROOT, Block, anchors, blocks, links

import kerastricks
from kerastricks.cli import cli

sys.path.insert(0, str(ROOT / "docs" / "hooks"))
from public_names import packages
from reference import reference_pages

pytestmark = pytest.mark.tensorflow_only

BLOCKS = [block for page in PAGES for block in blocks(page)]
REFERENCE = {ROOT / "docs" / name: content for name, content in reference_pages().items()}
OUTSIDE = {ROOT / "docs" / f"{name}.md": ROOT / f"{name.upper()}.md" for name in ("contributing", "changelog")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_a_page_and_a_heading(page):
    for link in links(page):
        name, _, anchor = link.partition("#")
        if "://" in name or name.startswith("mailto:"):
            continue
        target = (page.parent / name).resolve() if name else page
        if target in REFERENCE:
            continue
        target = OUTSIDE.get(target, target)
        assert target.is_file(), f"{page.name}: {link}: no such file"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}: no such heading"


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    listed = set(re.findall(r"[\w/]+\.md", navigation)) - {name.name for name in OUTSIDE}
    assert listed - {"docs/hooks/pages.py"} == {page.name for page in (ROOT / "docs").glob("*.md")}


def test_the_readme_is_short_and_names_the_tests():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("\n") < 120
    assert "make test" in text


def test_the_description_of_the_package_has_no_link_into_the_checkout():
    hooks = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["metadata"]["hooks"]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for substitution in hooks["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(substitution["pattern"], substitution["replacement"], text)
    assert re.findall(r"\]\((?!https?:)", text) == []
    assert len(text) > 4000


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_is_what_its_language_says(block):
    assert block.language in LANGUAGES, f"{block}: give the block a language: {', '.join(LANGUAGES)}"
    if block.language == "python":
        compile(block.before + block.code, str(block), "exec")
    elif block.language == "toml":
        tomllib.loads(block.code)
    for line in _commands(block):
        _check_command(line, block)


@pytest.mark.parametrize("package", packages(), ids=lambda package: package.name)
def test_the_reference_has_every_public_name(package):
    module = getattr(kerastricks, package.name)
    page = REFERENCE[ROOT / "docs" / "reference" / f"{package.name}.md"]
    for name in getattr(module, "__all__", ()):
        defined_in, _, attribute = package.names[name].rpartition(".")
        assert f"::: {package.names[name]}\n" in page
        assert getattr(importlib.import_module(defined_in), attribute) is getattr(module, name)
    ops = {f"{op.__module__}.{op.__qualname__}" for op in _ops()} if package.name == "augment" else set()
    assert all(f"::: {op}\n" in page for op in ops)


def test_the_reference_has_every_package():
    assert {package.name for package in packages()} == {
        name for name in kerastricks.__all__ if not name.startswith("_") and name[0].islower()
    }


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("page", sorted({block.page for block in BLOCKS}), ids=lambda page: page.name)
def test_the_blocks_of_a_page_run(page, tmp_path, monkeypatch, digits_folder):
    """In order, in one folder and one namespace, on the digits."""
    shutil.copytree(digits_folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    namespace = {"__name__": "__main__"}
    for block in blocks(page):
        if block.not_run is not None:
            continue
        if block.language == "python":
            exec(compile(block.before + block.code, str(block), "exec"), namespace)
        elif block.commands:
            command = ["bash", "-euo", "pipefail", "-c", block.commands]
            done = subprocess.run(command, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{block}: {done.stderr[-2000:]}"


@pytest.fixture(scope="module")
def digits_folder(tmp_path_factory):
    """What the pages speak of: images/, images.zip, digit.png and the folder of a run."""
    from PIL import Image
    from sklearn.datasets import load_digits

    root = tmp_path_factory.mktemp("digits")
    digits = load_digits()
    for number, (pixels, label) in enumerate(zip(digits.images[:300], digits.target[:300], strict=True)):
        file = root / "images" / f"digit_{label}" / f"{number:03}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 15.9).astype("uint8")).convert("RGB").save(file)  # colour ops refuse grey
    shutil.make_archive(str(root / "images"), "zip", root, "images")
    Image.open(root / "images" / "digit_0" / "000.png").convert("L").save(root / "digit.png")
    train = [sys.executable, "-m", "kerastricks", "train", "digits", "--epochs", "2"]
    subprocess.run(train, cwd=root, check=True, capture_output=True)
    return root


def _ops():
    ops = kerastricks.augment.OPS
    return [ops[name] for name in ops]


def _commands(block: Block) -> list[list[str]]:
    """Each call of kerastricks, as a list of words; no shell's syntax but `|`, `&` and `>` between calls is known."""
    lines = block.commands.replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True) for line in lines if line.strip()]
    return [line[line.index("kerastricks") + 1 :] for line in words if "kerastricks" in line[:2]]


def _check_command(words: list[str], block: Block) -> None:
    command: click.Command = cli
    context = click.Context(command)
    words = words[: next((index for index, word in enumerate(words) if word in ("|", "&", ">")), len(words))]
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, words = words[0], words[1:]
        command = command.get_command(context, name)
        assert command is not None, f"{block}: no command {name}"
        context = click.Context(command, parent=context)
    known = {
        option for parameter in command.get_params(context) for option in (*parameter.opts, *parameter.secondary_opts)
    }
    unknown = [word for word in words if word.startswith("--") and word.partition("=")[0] not in known]
    assert not unknown, f"{block}: {command.name} has no option {', '.join(unknown)}"
