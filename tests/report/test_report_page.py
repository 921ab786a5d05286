"""report.html, read by a parser."""

import re
import subprocess
import sys

import pytest
from html_page import Page
from made_figures import made_epochs, made_finding, made_picture, made_run

from kerastricks.report.page import write_report

pytestmark = pytest.mark.tensorflow_only

NASTY = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "$title $body",
    "a\x00\n\u2028",
    "\ud800",
    "日本",
]


def page(tmp_path, *runs):
    write_report(tmp_path / "report.html", runs)
    return Page(tmp_path / "report.html")


def headings(found):
    text = "\n".join(found.text)
    return [one for one in ("Findings", "Curves", "Confusions", "Classes", "Calibration", "Comparison") if one in text]


def test_one_run_has_all_parts(tmp_path):
    found = page(tmp_path, made_run(findings=(made_finding(),)))
    assert headings(found) == ["Findings", "Curves", "Confusions", "Classes", "Calibration"]
    text = "".join(found.text)
    for part in ("test accuracy", "calibration error", "1,234", "62 s", "Most confident mistakes", "learning_rate"):
        assert part in text
    assert found.count("img") == 4
    assert found.count("svg") == 5  # loss, accuracy, learning rate, matrix, calibration


def test_uneven_classes_have_a_table_of_many_medium_and_few_shot_ones(tmp_path):
    shots = {"many": 0.9, "medium": 0.5, "few": None}
    found = page(tmp_path, made_run(training_images=[500, 101, 100, 20], shots=shots))
    text = "".join(found.text)
    for part in ("Mean recall by training images, imbalance 25", "many-shot", "20 to 100", "90.0%", "training images"):
        assert part in text
    even = page(tmp_path, made_run(training_images=[500, 500, 400, 500], shots=shots))
    assert "many-shot" not in "".join(even.text)


def test_several_runs_are_compared(tmp_path):
    found = page(tmp_path, *(made_run(f"run-{seed}", seed=seed) for seed in range(3)))
    text = "".join(found.text)
    assert "Scores of 3 runs" in text
    assert "Fields of the configuration that differ" in text
    assert found.count("svg") == 4 + 3
    assert found.marked("li", "t2") == 1
    equal = page(tmp_path, *(made_run(name, config={"epochs": 8}) for name in "ab"))
    assert "Their configurations are equal." in "".join(equal.text)


@pytest.mark.parametrize("count", [1, 3])
def test_ids_are_unique_and_references_stay_on_the_page(tmp_path, count):
    found = page(tmp_path, *(made_run(f"run {seed}", seed=seed) for seed in range(count)))
    assert len(found.ids) == len(set(found.ids)) > 0
    inside = [one for one in found.references if not one.startswith("data:image/")]
    assert all(one.startswith("#") and one[1:] in found.ids for one in inside)


def test_nothing_comes_from_outside(tmp_path):
    page(tmp_path, made_run())
    text = re.sub(r"<script>.*</script>", "", (tmp_path / "report.html").read_text(), flags=re.DOTALL)
    assert not re.search(r"https?:|src=\"//|@import|@font-face|url\((?!#)", text)
    assert "default-src 'none'; img-src data:" in text


def test_it_can_be_read_without_eyes_and_without_a_mouse(tmp_path):
    found = page(tmp_path, made_run())
    for tag, attributes in found.tags:
        if tag == "svg":
            assert attributes["role"] == "img"
            assert attributes["aria-label"]
        if tag == "img":
            assert attributes["alt"]
        if "tabindex" in attributes and tag == "div":
            assert attributes["aria-label"]
    assert found.count("table") == found.count("caption")
    assert found.tags[[tag for tag, _ in found.tags].index("body") + 1] == ("a", {"class": "skip", "href": "#content"})


@pytest.mark.parametrize("count", [1, 2])
def test_names_files_and_findings_are_text(tmp_path, count):
    runs = [
        made_run(
            f"{index}{text}",
            classes=len(NASTY),
            names=NASTY,
            mistakes=(made_picture(NASTY[0], NASTY[1], heat=True, file=text),),
            config={text: text},
            facts={text: text},
            notes=(text,),
            picture_note=text,
            findings=(made_finding(evidence=text, advice=text),),
        )
        for index, text in enumerate(NASTY)
    ]
    for start in range(0, len(runs), count):
        found = page(tmp_path, *runs[start : start + count])
        assert found.count("script") == 1
        assert not any(name.startswith("on") for _, attributes in found.tags for name in attributes)
        assert NASTY[0] in found.text


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        ({"epochs": []}, "Curves"),
        ({"epochs": [{"epoch": 1}, {"loss": 3.0}, {}]}, "Curves"),
        ({"epochs": [{"epoch": 1, "loss": float("nan")}]}, "Curves"),
        ({"calibration": None, "mistakes": (), "doubtful": ()}, "interval of the largest"),
        ({"mistakes": ()}, "Most confident mistakes"),
    ],
)
def test_missing_parts_are_left_out(tmp_path, fields, missing):
    for runs in ([made_run(**fields)], [made_run("a", **fields), made_run("b", **fields)]):
        found = page(tmp_path, *runs)
        assert missing not in "".join(found.text)


@pytest.mark.parametrize(
    "fields",
    [
        {"epochs": made_epochs(1)},
        {"epochs": [{"epoch": 1, "loss": 0.0, "val_loss": 1e30, "learning_rate": 0.0}]},
        {"batch_loss": made_run().batch_loss[:3]},
        {"confusion_matrix": [[3, 0], [0, 2]], "class_names": ["a", "b"], "recall": [1.0, 1.0]},
        {"confusion_matrix": [[0, 0], [0, 0]], "class_names": ["a", "b"], "recall": [None, None]},
        {"findings": (made_finding(span=None, confidence=1.0), made_finding(span=(1.0, float("inf"))))},
    ],
)
def test_odd_runs_make_a_page(tmp_path, fields):
    page(tmp_path, made_run(**fields))
    text = (tmp_path / "report.html").read_text()
    assert not re.search(r'(?:d|x|y|fill-opacity)="[^"]*(?:nan|inf)', text)


def test_many_classes_are_shown_in_part_and_the_page_is_small(tmp_path):
    run = made_run(classes=1000, images=20_000)
    found = page(tmp_path, run)
    text = "".join(found.text)
    assert "of 1,000 classes. " in text
    assert "500 of 1,000 classes" in text
    assert sum(tag == "text" for tag, _ in found.tags) < 300
    assert (tmp_path / "report.html").stat().st_size < 1e6


def test_many_runs_are_compared_and_the_first_ones_shown(tmp_path):
    many = tuple(made_picture("class 0", "class 1", heat=True) for _ in range(8))
    runs = [made_run(f"run-{n}", classes=40, images=4000, seed=n, mistakes=many, doubtful=many) for n in range(7)]
    found = page(tmp_path, *runs)
    assert "of the other 2 are in their own reports" in "".join(found.text)
    assert found.marked("li", "t6") == 1
    assert found.count("img") == 5 * 2 * 2 * 3
    assert (tmp_path / "report.html").stat().st_size < 2e6


def test_a_span_is_marked_in_every_curve_with_the_number_of_its_card(tmp_path):
    page(tmp_path, made_run(findings=(made_finding(span=None), made_finding())))
    text = (tmp_path / "report.html").read_text()
    assert (
        len(
            re.findall(
                r"font-weight: 700[^>]*>2</text>", text[text.index('id="curves"') : text.index('id="confusions"')]
            )
        )
        >= 3
    )
    assert "2. Overfitting" in text
    assert "epochs 4 to 8" in text


def test_what_is_good_or_everywhere_is_not_shaded(tmp_path):
    everywhere = made_finding("lr_too_low", span=(0.0, 8.0), advice="", confidence=1.0)
    page(tmp_path, made_run(findings=(everywhere, made_finding("lr_good", advice="", confidence=1.0))))
    text = (tmp_path / "report.html").read_text()
    assert "Next:" not in text
    assert "confidence" not in text[text.index('id="findings"') : text.index('id="curves"')]
    assert "font-weight: 700" not in text[text.index('id="curves"') : text.index('id="confusions"')]


def test_it_loads_neither_keras_nor_tensorflow():
    code = "import sys, kerastricks.report.page; print({'keras', 'tensorflow'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
