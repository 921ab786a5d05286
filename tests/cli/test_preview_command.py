"""kerastricks preview, as a user types it."""

import json
import subprocess
import sys

import pytest
from PIL import Image

from kerastricks.cli import run

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(capsys, *arguments):
    assert run(["preview", *arguments, "--json", "--seconds", "0.1"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_folder_gives_a_picture_and_a_throughput(capsys, image_folder):
    report = found(capsys, str(image_folder), "--images", "4", "--draws", "2", "--image-size", "16", "--seed", "3")
    assert Image.open(report["picture"]).format == "PNG"
    assert (report["augment_given"], report["augment"]) == ("auto", "flip | pad_crop(2)")
    assert (report["images"], report["draws"], report["seed"], report["image_shape"]) == (4, 2, 3, [16, 16, 3])
    assert set(report["classes"]) == {"blue", "green", "red"}
    assert report["throughput"]["images_per_second"] > 0
    assert report["throughput"]["cpu_us_per_image"] > 0


def test_the_text_says_what_auto_became(capsys, image_folder):
    assert run(["preview", str(image_folder), "--seconds", "0.1"]) == 0
    shown = capsys.readouterr()
    assert "picture     preview.png: 8 images of 24x20 pixels, 7 augmented versions of each" in shown.out
    assert "augment     flip | pad_crop(2)" in shown.out
    assert "images/s" in shown.out
    assert "us of CPU time an image" in shown.out
    assert "augment auto is 'flip | pad_crop(2)' here" in shown.err


def test_a_recipe_shows_its_own_augmentation_and_options_win(capsys):
    assert found(capsys, "digits")["augment"] == "pad_crop(1)"
    report = found(capsys, "digits", "--augment", "pad_crop(2)", "--set", "batch_size=32")
    assert (report["augment"], report["batch_size"]) == ("pad_crop(2)", 32)


def test_no_picture_is_overwritten(capsys, here):
    assert [found(capsys, "digits")["picture"] for _ in range(3)] == ["preview.png", "preview-2.png", "preview-3.png"]
    before = (here / "preview.png").read_bytes()
    assert run(["preview", "digits", "--out", "preview.png"]) == 2
    assert "preview.png exists already" in capsys.readouterr().err
    assert (here / "preview.png").read_bytes() == before


def test_files_left_out_are_counted(capsys, image_folder):
    (image_folder / "red" / "notes.txt").write_text("no image")
    assert run(["preview", str(image_folder), "--seconds", "0"]) == 0
    shown = capsys.readouterr()
    assert "not images: 1 *.txt" in shown.err
    assert "throughput" not in shown.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--augment", "flpi"], "no op is called 'flpi': did you mean flip?"),
        (["--augment", "flip | pad_crop(-1)"], "pad_crop: pixels must be"),
        (["--augment", "normalize | brightness"], "comes after normalize"),
        (["--augment", "pad_crop(9, mode='reflect')"], "pad_crop: pixels must be below"),
        (["--out", "picture.gif"], "must be a .png"),
        (["--out", "no/such/folder/a.png"], "is not there: make it first"),
        (["--images", "0"], "--images"),
        (["--seed", "-1"], "must be in [0, 2^31). Received: -1"),
        (["--set", "batchsize=2"], "did you mean batch_size, image_size, base_batch?"),
    ],
)
def test_mistakes_are_one_line_exit_2_and_leave_nothing(arguments, message, capsys, here):
    assert run(["preview", "digits", *arguments]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line
    assert not list(here.iterdir())


def test_mistakes_that_need_no_images_are_found_without_tensorflow():
    code = (
        "import sys; from kerastricks.cli import run\n"
        "mistakes = (['digits', '--augment', 'flpi'], ['digitz'], ['digits', '--out', 'x'])\n"
        "codes = [run(['preview', *arguments]) for arguments in mistakes]\n"
        "sys.exit(codes != [2, 2, 2] or 'tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_an_argument_is_refused_before_the_images_are_read(image_folder, monkeypatch, capsys):
    def read(*args, **kwargs):
        raise AssertionError("the images were read")

    monkeypatch.setattr("kerastricks.training.datasets.load", read)
    assert run(["preview", str(image_folder), "--augment", "flip(2)"]) == 2
    assert "flip: rate must be" in capsys.readouterr().err
