"""kerastricks plan, as a user types it."""

import json
import subprocess
import sys

import pytest

from kerastricks.cli import run

pytestmark = pytest.mark.tensorflow_only


def test_a_folder_gives_a_table(capsys, image_folder):
    assert run(["plan", "flip | pad_crop(2) | fancy_pca(0.1)", "--data", str(image_folder), "--seconds", "0.1"]) == 0
    shown = "\n".join(" ".join(line.split()) for line in capsys.readouterr().out.splitlines())
    assert "augment flip | pad_crop(2) | fancy_pca(0.1)" in shown
    assert "data colours: 24x20 pixels, 3 channels, batches of 30, decoded images in memory" in shown
    assert "1 index gather flip + pad_crop host 1" in shown
    assert "2 colour matrix fancy_pca + clip host 1" in shown
    assert "the plan in 1 compiled pass host" in shown
    assert "one by one in 4 compiled passes host" in shown
    assert "images/s" in shown


def test_json_with_sizes_and_a_seed(capsys, image_folder):
    options = ("--batch-size", "8", "--image-size", "16", "--seed", "3", "--seconds", "0.1", "--json")
    assert run(["plan", "flip | brightness", "--data", str(image_folder), *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["batch_size"], found["image_shape"], found["augment"]) == (8, [16, 16, 3], "flip | brightness")
    assert [step["ops"] for step in found["steps"]] == [["flip"], ["brightness", "clip"]]
    assert found["fused"]["cpu_us_per_image"] > 0
    assert found["throughput"]["images_per_second"] > 0
    assert found["skipped"] == 0


def test_auto_and_a_recipe_s_data(capsys):
    assert run(["plan", "auto", "--data", "digits", "--seconds", "0", "--set", "batch_size=32", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["augment_given"], found["augment"], found["batch_size"]) == ("auto", "pad_crop(1)", 32)
    assert found["throughput"] is None


def test_files_left_out_are_counted(capsys, image_folder):
    (image_folder / "red" / "notes.txt").write_text("no image")
    assert run(["plan", "flip", "--data", str(image_folder), "--seconds", "0"]) == 0
    assert "not images: 1 *.txt" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["flip | flpi"], "no op is called 'flpi': did you mean flip? (op 2 of 'flip | flpi')"),
        (
            ["flip | pad_crop(-1)"],
            "pad_crop: pixels must be an integer, 0 or more. Received: pixels=-1 (op 2 of 'flip |",
        ),
        (["flip | pad_crop(rows=2)"], "arguments of pad_crop: pixels, mode"),
        (["flip |"], "does not parse"),
        (["normalize | gamma"], "gamma: comes after normalize, but expects values 0 to 255: put it before (op 2 of"),
        (["flip | pad_crop(9)"], "pad_crop: pixels must be below the image's side, 8. Received: pixels=9 (op 2 of"),
        (["flip | fancy_pca"], "fancy_pca needs colour images: take it out of the spec, or load in colour (op 2 of"),
        (["flip", "--batch-size", "0"], "must be 1 to 1,000,000. Received: 0"),
        (["flip", "--seconds", "-1"], "--seconds"),
        (["flip", "--set", "augment=rotate"], "--set augment: the augmentation is SPEC"),
        (["flip", "--set", "batchsize=2"], "did you mean batch_size, image_size, base_batch?"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(arguments, message, capsys):
    assert run(["plan", *arguments, "--data", "digits"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line


def test_data_is_asked_for(capsys, tmp_path):
    assert run(["plan", "flip"]) == 2
    assert "Missing option '--data'" in capsys.readouterr().err
    assert run(["plan", "flip", "--data", str(tmp_path / "nowhere")]) == 2
    assert "no such file or folder" in capsys.readouterr().err


def test_mistakes_that_need_no_images_are_found_without_tensorflow():
    code = (
        "import sys; from kerastricks.cli import run\n"
        "mistakes = (['flpi', '--data', 'digits'], ['flip(2)', '--data', 'digits'], ['flip', '--data', 'digitz'])\n"
        "codes = [run(['plan', *arguments]) for arguments in mistakes]\n"
        "sys.exit(codes != [2, 2, 2] or 'tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
