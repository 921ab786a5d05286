"""Run folders: free numbers, nothing overwritten, nothing half-written."""

import pytest

from kerastricks.errors import RunFolderError
from kerastricks.runs import RunFolder
from kerastricks.runs.folder import write_text

pytestmark = pytest.mark.tensorflow_only


def test_the_first_free_number_is_taken(tmp_path):
    names = [RunFolder.create(tmp_path, None, "nin", "cats").path.name for _ in range(3)]
    assert names == ["nin-cats-1", "nin-cats-2", "nin-cats-3"]


def test_a_name_that_is_taken_is_refused(tmp_path):
    RunFolder.create(tmp_path, "mine", "nin", "cats")
    with pytest.raises(RunFolderError, match=r"mine exists already.*--resume"):
        RunFolder.create(tmp_path, "mine", "nin", "cats")


@pytest.mark.parametrize(("name", "message"), [("a/b", "plain name"), ("../x", "plain name"), ("a[1]", "cannot load")])
def test_names_that_would_fail_later_are_refused(name, message, tmp_path):
    with pytest.raises(RunFolderError, match=message):
        RunFolder.create(tmp_path, name, "nin", "cats")
    assert not list(tmp_path.iterdir())


def test_a_default_name_has_no_strange_characters(tmp_path):
    assert RunFolder.create(tmp_path, None, "nin", "my [1] cats").path.name == "nin-my-1-cats-1"
    assert RunFolder.create(tmp_path, None, "applications/VGG16", "cats").path.name == "applications-VGG16-cats-1"


def test_a_place_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="choose another --out"):
        RunFolder.create(tmp_path / "file" / "runs", None, "nin", "cats")


def test_a_folder_that_no_run_wrote_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="no run folder"):
        RunFolder.open(tmp_path)


def test_a_missing_or_damaged_record_says_which(tmp_path):
    run = RunFolder(tmp_path)
    with pytest.raises(RunFolderError, match=r"summary.json: missing: the run is not finished"):
        run.read(run.summary)
    run.summary.write_text("{")
    with pytest.raises(RunFolderError, match=r"summary.json: cannot be read"):
        run.read(run.summary)


def test_leftovers_are_cleaned_and_texts_are_whole(tmp_path):
    run = RunFolder(tmp_path)
    (tmp_path / ".tmp-export-1").mkdir()
    (tmp_path / ".tmp-model.keras").write_text("half")
    write_text(run.card, "whole")
    run.clean()
    assert [path.name for path in tmp_path.iterdir()] == ["card.md"]
    assert run.card.read_text() == "whole"
