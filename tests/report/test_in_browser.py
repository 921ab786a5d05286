"""report.html in a browser, where one is installed: width, sorting, keyboard."""

import json
import re
import shutil
import subprocess

import pytest
from made_figures import made_finding, made_run

from kerastricks.report.page import write_report

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.tensorflow_only,
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed"),
]
OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=3000",
    "--dump-dom",
]
PROBE = """<script>
const heads = [...document.querySelectorAll("#classes thead th")];
const column = () => [...document.querySelectorAll("#classes tbody tr")].map((row) => Number(row.cells[1].dataset.v));
heads[1].querySelector("button").click();
const up = column();
heads[1].querySelector("button").click();
const found = {
  up, down: column(), sorted: heads[1].getAttribute("aria-sort"),
  width: document.documentElement.scrollWidth, room: window.innerWidth,
  first: document.querySelector("a, button, [tabindex='0']").className,
  blocked: [...document.images].filter((one) => one.complete && !one.naturalWidth).length,
};
const shown = document.createElement("pre");
shown.id = "found";
shown.textContent = JSON.stringify(found);
document.body.append(shown);
</script></body>"""


def probed(path, tmp_path, width):
    """What the script finds in a frame of a width: a window is never narrower than 500 pixels."""
    path.write_text(path.read_text().replace("</body>", PROBE))
    arguments = [f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900", path.as_uri()]
    dom = subprocess.run([BROWSER, *OPTIONS, *arguments], capture_output=True, text=True, timeout=120).stdout
    return json.loads(re.search(r'<pre id="found">(.*?)</pre>', dom)[1])


@pytest.mark.parametrize("width", [500, 1280])
def test_a_page_fits_its_window_and_sorts(tmp_path, width):
    run = made_run(f"a-run-with-quite-a-long-name-{'x' * 60}", classes=40, images=4000, findings=(made_finding(),))
    write_report(tmp_path / "report.html", [run])
    found = probed(tmp_path / "report.html", tmp_path, width)
    assert found["up"] == sorted(found["down"])
    assert found["down"] == sorted(found["up"], reverse=True)
    assert found["sorted"] == "descending"
    assert found["width"] <= found["room"]
    assert found["first"] == "skip"
    assert found["blocked"] == 0
