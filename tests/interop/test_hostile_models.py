"""Hostile files are refused for the stated reason, and nothing of them is followed, opened or allocated."""

import json
import os
import subprocess
import sys
import zipfile

import h5py
import hostile
import hostile_archives  # noqa: F401 - registers its cases
import hostile_weights
import numpy as np
import pytest

from kerastricks.cli import run
from kerastricks.errors import ModelFileError
from kerastricks.interop import inspect

pytestmark = pytest.mark.tensorflow_only


def test_the_models_that_are_changed_are_not_refused(tmp_path):
    hostile.archive(tmp_path / "new.keras")
    hostile.archive(tmp_path / "deflated.keras", compression=zipfile.ZIP_DEFLATED)
    hostile.old(tmp_path / "old.h5")
    hostile_weights.saved_model(tmp_path / "folder", metadata={**hostile.old_config(), "keras_version": "2.15.0"})
    for name in ("new.keras", "deflated.keras", "old.h5", "folder"):
        report = inspect(tmp_path / name)
        assert report.findings == ()
        assert report.class_name == "Sequential"
        assert report.parameters == {"new.keras": 8, "deflated.keras": 8, "old.h5": 6, "folder": 0}[name]


def test_the_corpus_is_large_enough():
    assert len(hostile.CASES) >= 50


@pytest.mark.parametrize("name", hostile.CASES)
def test_a_hostile_file_is_refused_for_its_reason(name, tmp_path):
    code, make = hostile.CASES[name]
    report = inspect(make(tmp_path))
    assert report.refused
    found = next(one for one in report.findings if one.code == code and one.refused)
    assert found.where
    assert found.why
    assert str(report).splitlines()[-1].startswith("refused: ")
    assert all(line.isprintable() and len(line) < 1000 for line in str(report).splitlines())


def test_the_archive_that_python_opens_differently_names_the_second_entry(tmp_path):
    report = inspect(hostile.CASES["duplicate_entry"][1](tmp_path))
    assert [(one.where, one.why) for one in report.findings if one.why == "is there twice"] == [
        ("config.json", "is there twice")
    ]


def test_a_finding_names_the_path_in_the_json(tmp_path):
    report = inspect(hostile.CASES["lambda_in_a_wrapper"][1](tmp_path))
    assert report.findings[0].where == "config.json: $.config.layers[1].config.layer"


def test_a_name_that_is_refused_is_printed_without_control_characters(tmp_path, capsys):
    assert run(["inspect", str(hostile.CASES["control_entry"][1](tmp_path))]) == 1
    assert r"assets/a\nb: leads out of the archive, or is no plain name [entry]" in capsys.readouterr().out


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["external_link", "old_external_link", "external_values", "virtual_data_set"])
def test_no_other_file_is_opened(name, tmp_path, monkeypatch):
    """The other file is a pipe that nobody writes to: opening it would wait for ever."""
    os.mkfifo(tmp_path / "trap")
    monkeypatch.setattr(hostile_weights, "TRAP", str(tmp_path / "trap"))
    assert inspect(hostile.CASES[name][1](tmp_path)).refused


def test_archives_of_other_zip_programs_are_not_refused(tmp_path):
    """With zip64 fields that are not needed, and with sizes after the data."""

    class Stream:
        def __init__(self, path):
            self.file = open(path, "wb")  # noqa: SIM115

        def write(self, data):
            return self.file.write(data)

        def flush(self):
            self.file.flush()

    stream = Stream(tmp_path / "streamed.keras")
    for target, wide in ((tmp_path / "wide.keras", True), (stream, False)):
        with zipfile.ZipFile(target, "w") as file:
            for name, content in (
                ("metadata.json", hostile.METADATA),
                ("config.json", json.dumps(hostile.config_of()).encode()),
                ("model.weights.h5", hostile.weights()),
            ):
                with file.open(name, "w", force_zip64=wide) as entry:
                    entry.write(content)
    stream.file.close()
    assert inspect(tmp_path / "wide.keras").findings == ()
    assert inspect(tmp_path / "streamed.keras").findings == ()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is damaged (empty)"),
        (b"import os\n", "is no Keras model"),
        (b"PK\3\4", "is damaged (the zip archive is cut off)"),
        (b"\x89HDF\r\n\x1a\n", "is damaged (HDF5"),
        (b"\x80\x04\x95\x10", "is no Keras model"),
    ],
)
def test_what_is_no_model_is_one_line_and_exit_code_2(content, words, tmp_path, capsys):
    (tmp_path / "model.keras").write_bytes(content)
    assert run(["inspect", str(tmp_path / "model.keras")]) == 2
    shown = capsys.readouterr().err
    assert words in shown
    assert shown.count("\n") == 1


def test_pipes_devices_and_missing_files_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", tmp_path / "missing.keras", tmp_path):
        with pytest.raises(ModelFileError):
            inspect(path)


def test_hdf5_without_a_model_and_archives_without_one_are_no_models(tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["a"] = np.zeros(3)
    with zipfile.ZipFile(tmp_path / "empty.keras", "w") as file:
        file.writestr("metadata.json", "{}")
    for name in ("data.h5", "empty.keras"):
        with pytest.raises(ModelFileError, match="no Keras model"):
            inspect(tmp_path / name)


def test_damage_is_found_wherever_it_is(tmp_path):
    """A model cut off, or with a byte changed: one line, or a report; never another exception."""
    hostile.archive(tmp_path / "model.keras")
    hostile.old(tmp_path / "model.h5")
    hostile_weights.saved_model(tmp_path / "folder", metadata=hostile.old_config())
    generator = np.random.default_rng(0)
    seen = set()
    for path in (tmp_path / "model.keras", tmp_path / "model.h5", tmp_path / "folder" / "saved_model.pb"):
        whole = path.read_bytes()
        for _ in range(150):
            data = bytearray(whole)
            for at in generator.integers(0, len(data), 3):
                data[at] = generator.integers(256)
            path.write_bytes(data if generator.random() < 0.7 else data[: generator.integers(len(data))])
            try:
                inspect(path.parent if path.suffix == ".pb" else path)
            except ModelFileError as error:
                seen.add((path.suffix, "\n" in str(error)))
        path.write_bytes(whole)
    assert seen == {(".keras", False), (".h5", False), (".pb", False)}


def test_a_graph_has_a_limited_number_of_fields(tmp_path, monkeypatch):
    hostile_weights.saved_model(tmp_path / "folder")
    assert not inspect(tmp_path / "folder").refused
    monkeypatch.setattr("kerastricks.interop.saved_model._MOST_FIELDS", 3)
    with pytest.raises(ModelFileError, match="more than 3 fields"):
        inspect(tmp_path / "folder")


def test_the_checksum_of_the_weights_is_compared(tmp_path):
    hostile.archive(tmp_path / "model.keras")
    data = bytearray((tmp_path / "model.keras").read_bytes())
    at = data.find(b"\x89HDF") + 1500
    data[at] ^= 255
    (tmp_path / "model.keras").write_bytes(data)
    with pytest.raises(ModelFileError, match=r"model\.weights\.h5: Bad CRC-32"):
        inspect(tmp_path / "model.keras")


def test_an_open_file_is_read_and_left_open(tmp_path):
    """Whoever loads the file afterwards reads what was checked: another file under the name is not seen."""
    hostile.archive(tmp_path / "model.keras")
    with open(tmp_path / "model.keras", "rb") as file:
        os.rename(hostile.CASES["lambda_layer"][1](tmp_path), tmp_path / "model.keras")
        assert not inspect(file).refused
        assert not file.closed
    assert inspect(tmp_path / "model.keras").refused


def test_json_has_the_findings_and_the_exit_code_says_it(tmp_path, capsys):
    hostile.archive(tmp_path / "model.keras")
    assert run(["inspect", str(tmp_path / "model.keras"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["refused"] is False
    assert run(["inspect", str(hostile.CASES["tfsm_layer"][1](tmp_path)), "--json"]) == 1
    record = json.loads(capsys.readouterr().out)
    assert record["findings"][0]["code"] == "code"
    assert record["layers"][1]["class_name"] == "TFSMLayer"


PROCESS = """
import resource, sys
folder, paths = sys.argv[1], sys.argv[2:]
resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
from kerastricks.interop.inspection import inspect
import encodings.cp437, h5py
opened = []
def audit(event, arguments):
    if event in ("open", "os.system", "subprocess.Popen", "socket.connect", "os.exec", "os.posix_spawn", "import"):
        opened.append((event, str(arguments[0])))
sys.addaudithook(audit)
for path in paths:
    assert inspect(path).refused, path
outside = [one for one in opened if one[0] == "open" and not one[1].startswith(folder) and not one[1].isdigit()]
other = [one for one in opened if one[0] not in ("open", "import")]
loaded = {"tensorflow", "keras", "torch", "jax"} & set(sys.modules)
print(outside, other, sorted(loaded))
"""


def test_the_whole_corpus_opens_nothing_else_and_stays_small(tmp_path):
    paths = [str(path) for _, path in hostile.build(tmp_path).values()]
    done = subprocess.run(
        [sys.executable, "-c", PROCESS, str(tmp_path), *paths],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[] [] []\n"
    assert not os.path.exists("/tmp/kerastricks_was_here")
