"""The folder of a search: never reused silently, one process at a time, records whole or not at all."""

import json
import os
import shutil
import signal
import sys

import pytest
from made_plan import made_folder, made_plan

from kerastricks import files
from kerastricks.errors import SearchError
from kerastricks.files import try_read_json
from kerastricks.search.folder import SearchFolder, write_json

pytestmark = pytest.mark.tensorflow_only


def refused(call, *arguments):
    with pytest.raises(SearchError) as error:
        call(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_first_free_number(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [SearchFolder.create(None, "my images!").path for _ in range(2)]
    assert names == [tmp_path / "saved_models" / f"tune-my-images-{number}" for number in (1, 2)]


def test_a_folder_that_is_empty_is_taken(tmp_path):
    (tmp_path / "mine").mkdir()
    assert SearchFolder.create(tmp_path / "mine", "made").path == tmp_path / "mine"
    assert not list((tmp_path / "mine").iterdir())


def test_a_folder_that_is_not_empty_is_refused(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note.txt").write_text("mine")
    line = refused(SearchFolder.create, tmp_path / "mine", "made")
    assert "is not empty" in line
    assert "another --out" in line
    assert "--resume" not in line
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["note.txt"]


def test_a_search_that_is_there_is_refused_and_resume_is_named(tmp_path):
    folder = made_folder(tmp_path, made_plan())
    line = refused(SearchFolder.create, folder.path, "made")
    assert "is never reused silently" in line
    assert "--resume" in line
    assert folder.read_plan() == made_plan()


def test_below_a_file_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    line = refused(SearchFolder.create, tmp_path / "file" / "search", "made")
    assert "cannot be written to" in line
    assert (tmp_path / "file").is_file()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_without_permission_nothing_can_be_written(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o555)
    assert "Permission denied" in refused(SearchFolder.create, tmp_path / "locked" / "search", "made")


def test_what_no_search_wrote_is_not_opened(tmp_path):
    assert "no search folder" in refused(SearchFolder.open, tmp_path)
    assert "no search folder" in refused(SearchFolder.open, tmp_path / "nothing")


@pytest.mark.parametrize("text", ["", "{", "[1]", "3", '{"base": {}, "space": {}, "colour": 1}', '{"trials": 0}'])
def test_a_damaged_record_is_named(tmp_path, text):
    folder = made_folder(tmp_path, made_plan())
    folder.plan.write_text(text)
    line = refused(SearchFolder.open(folder.path).read_plan)
    assert str(folder.plan) in line
    assert "cannot be read" in line


def test_a_second_search_is_kept_out_and_let_in_afterwards(tmp_path):
    folder = made_folder(tmp_path, made_plan())
    with folder.locked():
        line = refused(SearchFolder(folder.path).locked().__enter__)
        assert "another search works in it" in line
    with SearchFolder(folder.path).locked():
        pass


def test_the_lock_is_given_back_after_an_error(tmp_path):
    folder = made_folder(tmp_path, made_plan())
    with pytest.raises(KeyboardInterrupt), folder.locked():
        raise KeyboardInterrupt
    with SearchFolder(folder.path).locked():
        pass


def test_a_record_is_replaced_whole(tmp_path):
    path = tmp_path / "record.json"
    assert try_read_json(path) is None
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": 2, "b": object()})  # dies in the middle of it
    assert try_read_json(path) == {"a": 1}
    path.write_text('{"a": ')
    assert try_read_json(path) is None


def test_pixels_go_whole(tmp_path):
    folder = made_folder(tmp_path, made_plan())
    folder.remove_pixels()
    for _ in range(2):  # the second time over what a kill left
        folder.pixels.mkdir()
        (folder.pixels / "data.json").write_text("{}")
        (folder.path / ".tmp-begun-0123").mkdir(exist_ok=True)
        (folder.path / ".tmp-begun-0123" / "half").write_text("")
        folder.remove_pixels()
        assert sorted(path.name for path in folder.path.iterdir()) == ["search.json"]


def test_trials_lie_where_keras_tuner_has_them(tmp_path):
    folder = made_folder(tmp_path, made_plan())
    assert folder.trial("0003") == folder.path / "trial_0003"
    assert folder.trial("0003").is_dir()
    assert json.loads(folder.plan.read_text())["objective"] == "val_accuracy"


def killed_before_its_plan(path):
    path.mkdir(parents=True)
    for name in (".lock", "recipe.py", "prepare.log", ".tmp-search.json"):
        (path / name).write_text("")
    (path / ".tmp-pixels").mkdir()
    (path / "pixels").mkdir()
    return path


def test_what_a_search_left_that_was_killed_before_its_plan_is_taken_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    killed_before_its_plan(tmp_path / "mine")
    killed_before_its_plan(tmp_path / "saved_models" / "tune-made-1")
    for folder in (SearchFolder.create(tmp_path / "mine", "made"), SearchFolder.create(None, "made")):
        with folder.locked():
            assert [path.name for path in folder.path.iterdir()] == [".lock"]
            # Another one neither takes it meanwhile nor waits for it.
            other = SearchFolder.create(None, "made")
            assert other.path.name == "tune-made-1" if folder.path.name == "mine" else "tune-made-2"
            with pytest.raises(SearchError, match="another search works in it"), SearchFolder(folder.path).locked():
                pass


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
@pytest.mark.parametrize("step", ["_delete", "begun_folder", "remove_left_over", "rmtree"])
def test_a_search_killed_at_any_step_before_its_plan_leaves_a_folder_that_is_taken(tmp_path, monkeypatch, step):
    def die(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    path = tmp_path / "mine"
    child = os.fork()
    if child == 0:
        owner = SearchFolder if step == "remove_left_over" else files
        try:
            if step != "rmtree":
                monkeypatch.setattr(owner, step, die)
            folder = SearchFolder.create(path, "made")
            with folder.locked(), folder.removed_unless_begun():
                (folder.path / "recipe.py").write_text("")
                monkeypatch.setattr(shutil, "rmtree", die)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert path.is_dir()
    with SearchFolder.create(path, "made").locked():
        assert [one.name for one in path.iterdir()] == [".lock"]


def test_what_another_job_has_begun_in_the_folder_is_not_taken_over(tmp_path):
    with files.begun_folder(tmp_path) as run:
        assert "is not empty" in refused(SearchFolder.create, tmp_path, "made")
        assert run.is_dir()


def test_what_is_somebody_elses_is_not_taken_over(tmp_path):
    path = killed_before_its_plan(tmp_path / "mine")
    (path / "notes.txt").write_text("mine")
    assert "is not empty" in refused(SearchFolder.create, path, "made")
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "recipe.py").write_text("mine")  # no lock beside it: no search was here
    assert "is not empty" in refused(SearchFolder.create, tmp_path / "recipes", "made")
