"""Recipes: found, loaded, and run on a few images."""

import errno
import json
import os
from pathlib import Path

import pytest

from kerastricks import recipes
from kerastricks.cli import run
from kerastricks.errors import UsageError
from kerastricks.training import Config

pytestmark = pytest.mark.tensorflow_only


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_is_a_legal_configuration(name):
    recipe = recipes.load(name)
    assert Config.from_layers(recipe.config)
    assert recipe.summary.endswith(".")
    assert f"kerastricks train {name}" in recipe.path.read_text()


@pytest.mark.parametrize(
    "name",
    [name if name in ("digits", "folder") else pytest.param(name, marks=pytest.mark.slow) for name in recipes.names()],
)
def test_every_recipe_runs_on_a_few_images(name, split_folder, tmp_path):
    arguments = ["train", name, "--epochs", "1", "--out", str(tmp_path), "--name", "run"]
    if name != "digits":
        arguments += ["--set", f"data={split_folder}", "--model", "plain_cnn(widths=(8,))"]
    assert run(arguments) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["epochs"] == 1
    assert summary["images"] == (359 if name == "digits" else 12)


def test_a_recipe_without_data_says_how_to_give_it():
    assert "data" not in recipes.load("folder").config
    with pytest.raises(UsageError, match="--set data=PATH"):
        recipes.load("folder").data  # noqa: B018


def test_a_file_without_config_is_refused(tmp_path):
    (tmp_path / "empty.py").write_text("x = 1\n")
    with pytest.raises(UsageError, match="no dictionary CONFIG"):
        recipes.load(tmp_path / "empty.py")


def test_a_copy_that_does_not_fit_on_the_disk_leaves_its_name_free(tmp_path, monkeypatch):
    def fill(source, target):
        Path(target).write_text("half of")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr("shutil.copyfile", fill)
        with pytest.raises(UsageError, match=r"digits\.py: cannot be written \(No space left on device\)"):
            recipes.copy("digits", tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert recipes.copy("digits", tmp_path).read_text()
