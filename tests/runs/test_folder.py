"""Run folders: free numbers, nothing overwritten, nothing half-written."""

import pytest

from kerastricks.errors import RunFolderError
from kerastricks.files import write_text
from kerastricks.runs import RunFolder

pytestmark = pytest.mark.tensorflow_only


def begin(*arguments):
    with RunFolder.begin(*arguments) as run:
        run.write(run.config, {"config": {}})
    return run


def test_the_first_free_number_is_taken(tmp_path):
    names = [begin(tmp_path, None, "nin", "cats").path.name for _ in range(3)]
    assert names == ["nin-cats-1", "nin-cats-2", "nin-cats-3"]
    assert RunFolder.free(tmp_path, None, "nin", "cats").path == tmp_path / "nin-cats-4"
    assert len(list(tmp_path.iterdir())) == 3


def test_a_name_that_is_taken_is_refused(tmp_path):
    begin(tmp_path, "mine", "nin", "cats")
    with pytest.raises(RunFolderError, match=r"mine exists already.*--resume"):
        begin(tmp_path, "mine", "nin", "cats")


def test_a_folder_has_its_name_when_its_first_state_is_in_it(tmp_path):
    with RunFolder.begin(tmp_path, "mine", "nin", "cats") as run:
        assert run.name == "mine"
        assert not (tmp_path / "mine").exists()
        run.write(run.config, {"config": {}})
    assert run.config == tmp_path / "mine" / "config.json"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("error", [RunFolderError("no"), KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_what_fails_before_the_first_state_leaves_nothing(error, tmp_path):
    with pytest.raises(type(error)), RunFolder.begin(tmp_path, "mine", "nin", "cats"):
        raise error
    assert not list(tmp_path.iterdir())
    (tmp_path / "mine").mkdir()  # as a process left it that was killed
    assert begin(tmp_path, "mine", "nin", "cats").path == tmp_path / "mine"


def test_two_processes_at_once_never_share_a_folder(tmp_path):
    with pytest.raises(RunFolderError, match="exists already"), RunFolder.begin(tmp_path, "mine", "nin", "cats"):
        first = begin(tmp_path, "mine", "nin", "cats")  # while this one is on its way
    assert first.config.exists()
    with RunFolder.begin(tmp_path, None, "nin", "cats") as second:
        first = begin(tmp_path, None, "nin", "cats")
    assert {first.path.name, second.path.name} == {"nin-cats-1", "nin-cats-2"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a/b", "plain name"),
        ("../x", "plain name"),
        ("..", "plain name"),
        ("", "plain name"),
        (".hidden", "plain name"),
        ("-x", "plain name"),
        ("~x", "plain name"),
        ("a[1]", "cannot load"),
        ("what?", "cannot load"),
        ("a\\b", "cannot load"),
        ("two\nlines", "line breaks"),
        ("nul\0", "line breaks"),
        ("trailing.", "at its ends"),
        (" space", "at its ends"),
        ("\udcff", "printable UTF-8"),
        ("x" * 201, "at most 200 bytes"),
        ("\u00e9" * 101, "at most 200 bytes"),
    ],
)
def test_names_that_would_fail_later_are_refused(name, message, tmp_path):
    for make in (begin, RunFolder.free):
        with pytest.raises(RunFolderError, match=message):
            make(tmp_path, name, "nin", "cats")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["bills_$5_$", "two words", "caf\u00e9 \u4e2d", "50% | more", "x" * 200])
def test_other_names_are_taken_as_they_are(name, tmp_path):
    assert begin(tmp_path, name, "nin", "cats").path == tmp_path / name


def test_a_default_name_has_no_strange_characters(tmp_path):
    assert begin(tmp_path, None, "nin", "my [1] cats").path.name == "nin-my-1-cats-1"
    assert begin(tmp_path, None, "applications/VGG16", "cats").path.name == "applications-VGG16-cats-1"
    assert begin(tmp_path, None, "my $ recipe", "\udcffcats" + "\u00e9" * 200).path.name.startswith(
        "my-recipe-cats\u00e9"
    )


def test_a_place_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for place in ("file", "file/runs"):
        with pytest.raises(RunFolderError, match="choose another --out"):
            begin(tmp_path / place, None, "nin", "cats")


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
