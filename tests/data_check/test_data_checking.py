"""The check of images: planted faults are found and nothing else; streams, states, refusals."""

import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image
from planted_images import encoded, picture, write_planted

from kerastricks.data import load
from kerastricks.data.sources.reading import find_source
from kerastricks.data_check import check_data
from kerastricks.data_check.pass_over_images import Listing, Measured, measure_images
from kerastricks.errors import DataError

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    root = tmp_path_factory.mktemp("planted") / "images"
    return root, write_planted(root)


def found_files(report):
    return {kind: {tuple(sorted(one.files)) for one in report.of(kind)} for kind in report.counts}


def test_each_planted_fault_is_found_and_nothing_else(planted):
    root, faults = planted
    report = check_data(root)
    assert found_files(report) == {kind: {tuple(sorted(one)) for one in groups} for kind, groups in faults.items()}
    assert report.not_images == 1
    assert report.class_counts["test"] == [1, 0, 7]  # cat, cow, dog


def test_a_zip_has_the_findings_of_its_folder(planted, tmp_path):
    root, _ = planted
    archive = tmp_path / "images.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(root.rglob("*.*")):
            file.write(path, path.relative_to(root))
    assert check_data(archive) == check_data(root)


def test_arrays_are_checked_as_their_files_would_be():
    x = np.stack([np.asarray(picture(seed, side=40)) for seed in range(12)])
    x[5], x[7] = x[2], 0
    report = check_data((x, np.arange(12) % 2))
    assert found_files(report) == {"exact_conflict": {("2", "5")}, "blank": {("7",)}}
    assert report.formats == {"array": 12}


def test_what_images_are_is_counted(tmp_path):
    grey = Image.fromarray(np.asarray(picture(1).convert("L")))
    turned = picture(2, side=64).crop((0, 0, 64, 32))
    exif = Image.Exif()
    exif[0x0112] = 6
    clear = picture(3).convert("RGBA")
    clear.putalpha(128)
    files = {
        "a/grey.png": encoded(grey),
        "a/as-colour.png": encoded(grey.convert("RGB")),
        "b/turned.jpg": encoded(turned, "JPEG", exif=exif.tobytes()),
        "b/clear.webp": encoded(clear, "WEBP", lossless=True),
    }
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    report = check_data(tmp_path)
    assert report.colours == {"colour": 1, "grey": 1, "grey stored as colour": 1, "alpha": 1}
    assert report.formats == {"JPEG": 1, "PNG": 2, "WEBP": 1}
    assert report.rotated == 1
    assert report.sizes.smallest == (32, 64)  # as seen upright
    assert report.class_counts == {"train": [2, 2]}
    assert report.imbalance == 1


def test_an_interrupted_check_resumes_and_ends_alike(planted, tmp_path):
    root, _ = planted
    listing, state = Listing.of(find_source(root)), tmp_path / "state"
    whole = measure_images(listing, max_pixels=10**8)

    class Stopped:
        def __call__(self, description, total):
            return self

        def __enter__(self):
            return self.advance

        def __exit__(self, *error):
            return None

        def advance(self, done):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_images(listing, max_pixels=10**8, state=state, progress=Stopped())
    part = Measured.read(state, listing.fingerprint, len(listing))
    part.rows["state"][5:] = 0  # as if it had been stopped after five
    part.reasons = {}
    part.save(state, listing.fingerprint)
    assert part.begun == 5
    resumed = measure_images(listing, max_pixels=10**8, state=state)
    assert (resumed.rows == whole.rows).all()
    assert (resumed.hashes == whole.hashes).all()
    assert resumed.reasons == whole.reasons
    assert check_data(root, state=state) == check_data(root)


def test_states_of_other_data_are_refused(planted, tmp_path):
    root, _ = planted
    state = tmp_path / "state"
    check_data(root, state=state)
    other = tmp_path / "other"
    shutil.copytree(root, other)
    (other / "train/cat/00.png").unlink()
    with pytest.raises(DataError, match="state of other data"):
        check_data(other, state=state)
    state.write_bytes(b"PK damaged")
    with pytest.raises(DataError, match="no state that"):
        check_data(root, state=state)


def test_what_training_refuses_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        check_data(tmp_path / "nowhere")
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat/1.png").write_bytes(encoded(picture(0)))
    with pytest.raises(DataError, match="only one class"):
        check_data(tmp_path)


def test_the_text_names_files_and_the_csv_all_of_them(planted, tmp_path):
    root, faults = planted
    report = check_data(root)
    text = report.to_text(limit=1)
    assert "the same file in several splits: 1" in text
    assert "train/cat/04.png = test/cat/leak.png" in text or "test/cat/leak.png = train/cat/04.png" in text
    path = tmp_path / "findings.csv"
    with path.open("w") as file:
        report.write_csv(file)
    lines = path.read_text().splitlines()
    assert lines[0] == "kind,group,file,split,class,detail"
    assert len(lines) - 1 == sum(len(one.files) for one in report.findings)
    record = report.to_json()
    assert record["counts"] == {kind: len(groups) for kind, groups in faults.items()}


@pytest.mark.parametrize("cut", [1, 2, 20, 400])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_cut_file_is_unreadable_as_in_training(tmp_path, kind, cut):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(6):
            data = encoded(picture(number + 10 * (name == "dog")), kind)
            (tmp_path / name / f"{number}.{kind.lower()}").write_bytes(data)
    bad = tmp_path / f"cat/5.{kind.lower()}"
    bad.write_bytes(bad.read_bytes()[:-cut])
    report = check_data(tmp_path)
    assert found_files(report) == {"unreadable": {(f"cat/{bad.name}",)}}
    assert [one["file"] for one in load(tmp_path, image_size=8, max_skipped=1.0).skipped] == [f"cat/{bad.name}"]


def test_files_are_checked_without_tensorflow(planted):
    root, _ = planted
    code = (
        "import sys; from kerastricks.data_check import check_data\n"
        f"report = check_data({str(root)!r}); print(len(report.findings), 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["14", "False"]
