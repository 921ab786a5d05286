"""search.html, read by a parser."""

import re
import subprocess
import sys
import time

import pytest
from html_page import Page
from made_trials import made_trials, trial

from kerastricks.charts.axes import value_axes
from kerastricks.errors import WriteError
from kerastricks.search.page import write_html

pytestmark = pytest.mark.tensorflow_only


def page(tmp_path, records, title="Search", facts=None, **options):
    path = tmp_path / "search.html"
    write_html(path, records, title, facts or {}, **options)
    return Page(path)


@pytest.mark.parametrize("count", [0, 1, 2, 15, 40])
def test_every_trial_is_a_row_and_a_mark_in_every_chart(tmp_path, count):
    records = made_trials(count)
    found = page(tmp_path, records, facts={"data": "digits"})
    assert "digits" in found.text
    scatters = {axis.name for axis in value_axes([record.values for record in records]) if axis.kind == "log"}
    for index, record in enumerate(records):
        assert found.marked("tr", f"t{index}") == 1
        drawn = found.marked("g", f"t{index}")
        assert drawn >= (count > 1) + bool(record.curve) + len(scatters & set(record.values))
    assert found.marked("tr", "t") == count


def test_ids_are_unique_and_references_stay_on_the_page(tmp_path):
    found = page(tmp_path, made_trials(40))
    assert len(found.ids) == len(set(found.ids)) > 0
    assert all(reference.startswith("#") and reference[1:] in found.ids for reference in found.references)
    text = (tmp_path / "search.html").read_text()
    assert set(re.findall(r"url\(#([^)]*)\)", text)) <= set(found.ids)


def test_nothing_comes_from_outside(tmp_path):
    found = page(tmp_path, made_trials(40))
    text = (tmp_path / "search.html").read_text()
    assert not re.search(r"https?:|//\w|@import|@font-face|url\((?!#)", re.sub(r"<script>.*</script>", "", text))
    assert "default-src 'none'" in text
    assert not {"link", "img", "iframe"} & {tag for tag, _ in found.tags}


NASTY = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "$a$b$",
    "${title} $body",
    "a\x00b\x1b[31m\n\u2028",
    "日本語 🙂",
    r"\frac{x}",
    "x" * 500,
    "trial:0",
    "&lt;b&gt;",
    "_hidden",
    "\ud800",
]


def test_names_values_and_reasons_are_text(tmp_path):
    records = []
    for i, text in enumerate([*NASTY, *NASTY]):
        values = {text: text, "schedule": text, text + "2": 0.1 * i}
        score, status = (None, "failed") if i % 5 == 0 else (1.0 + i, "stopped")
        records.append(trial(text, score, status, reason=text, **values))
    found = page(tmp_path, records, title=NASTY[0], facts={text: text for text in NASTY})
    assert found.count("script") == 1
    assert not any(name.startswith("on") for _, attributes in found.tags for name in attributes)
    assert NASTY[0] in found.text
    assert NASTY[1] in found.text
    assert found.marked("tr", "t") == len(records)


def constant(count):
    return [trial(f"{i}", 0.5, learning_rate=0.1, schedule="step") for i in range(count)]


@pytest.mark.parametrize(
    "records",
    [
        [trial(f"{i}", None, "failed", reason="no memory", learning_rate=10.0**-i) for i in range(12)],
        [trial(f"{i}", 1.0 + i, schedule="ab"[i % 2], activation="xyz"[i % 3]) for i in range(12)],
        [trial(f"{i}", float("nan"), learning_rate=10.0**-i) for i in range(3)],
        [trial(f"{i}", 1e6 if i == 3 else 0.1 * i, learning_rate=10.0 ** -(i % 4)) for i in range(12)],
        [trial("0", float("inf")), trial("1", -0.5)],
        constant(1),
        constant(12),
        [trial(f"{i}", 0.5 + i, **({"warm_up": 3} if i % 2 else {})) for i in range(12)],
        [trial(f"{i}", 0.5 + i, mixed=[None, "a", 3, True, [1, 2], 0.0, float("nan")][i % 7]) for i in range(14)],
        [trial(f"{i}", 0.5, decay=[0.0, 1e-4, -3, 5e-4][i % 4], width=2**i) for i in range(12)],
        [trial("0", 0.5, curve=[{"epoch": 1, "loss": 0.5}], a=1), trial("1", 0.4, curve=[{"val_loss": None}], a=2)],
        [trial(f"{i}", 0.1 * i, direction="max", rate=10.0**-i) for i in range(12)],
        [trial("0", -1e300, a=1e-300), trial("1", 1e300, a=1e300)],
    ],
    ids=lambda records: f"{len(records)}-{records[0].status}-{'-'.join(records[0].values)}",
)
def test_odd_searches_make_a_page(tmp_path, records):
    found = page(tmp_path, records)
    assert found.marked("tr", "t") == len(records)
    assert not re.search(r'(?:d|x|y)="[^"]*(?:nan|inf)', (tmp_path / "search.html").read_text())


def test_the_best_is_named_and_marked(tmp_path):
    found = page(tmp_path, [trial("00", 0.5, learning_rate=0.5), trial("01", 0.25, learning_rate=0.0625)])
    assert found.marked("tr", "best") == 1
    assert "best val_loss, trial 01" in found.text
    assert "learning_rate 0.0625" in found.text


def test_the_caller_says_which_values_are_logarithmic(tmp_path):
    records = [trial(f"{i}", 1.0 + i, momentum=0.9 + 0.01 * i, learning_rate=10.0**-i) for i in range(6)]
    text = "".join(page(tmp_path, records, log_names=["momentum"]).text)
    assert "momentum (log scale)" in text
    assert "learning_rate (log scale)" not in text


def test_a_failure_leaves_the_old_page(tmp_path, monkeypatch):
    page(tmp_path, made_trials(2))
    before = (tmp_path / "search.html").read_bytes()
    monkeypatch.setattr("kerastricks.files.os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(WriteError, match="disk"):
        write_html(tmp_path / "search.html", made_trials(3), "Search", {})
    assert (tmp_path / "search.html").read_bytes() == before


def test_five_hundred_trials_are_quick_and_small(tmp_path):
    records = made_trials(500)
    started = time.perf_counter()
    page(tmp_path, records)
    # It takes two seconds on an idle machine.
    assert time.perf_counter() - started < 60
    assert (tmp_path / "search.html").stat().st_size < 4e6
    write_html(tmp_path / "search.html", records[:100], "Search", {})
    assert (tmp_path / "search.html").stat().st_size < 1e6


def test_matplotlib_is_left_as_it_was(tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    page(tmp_path, made_trials(3))
    assert dict(matplotlib.rcParams) == before


def test_it_loads_neither_keras_nor_tensorflow():
    code = "import sys, kerastricks.search.page; print({'keras', 'tensorflow'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
