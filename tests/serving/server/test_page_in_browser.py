"""The page at `/` in a headless browser, against a server that answers as the REST interface does."""

import asyncio
import base64
import contextlib
import io
import shutil
import threading

import pytest
from browser import browser_command, new_tab
from model_server import running
from PIL import Image

from kerastricks.serving.server import page

pytestmark = [pytest.mark.tensorflow_only, pytest.mark.slow]

CLASSES = ["red", "green", "blue", "cyan", "magenta", "yellow", "black"]
MODELS = (("colours", "1", "READY", ""), ("colours", "2", "READY", ""), ("other", "1", "READY", ""))
DONE = "document.querySelectorAll('.classes, .problem').length"


class Answers:
    """The server's part of the page: models that weigh the colours of an image."""

    def __init__(self, models=MODELS, token=None):
        self.models, self.token, self.asked = models, token, []

    def app(self):
        from starlette.applications import Starlette
        from starlette.routing import Route

        predictions = ("/v1/models/{model}:predict", "/v1/models/{model}/versions/{version}:predict")
        return Starlette(
            routes=[
                *page.routes(),
                Route("/v2/repository/index", self.index, methods=["POST"]),
                *(Route(path, self.predict, methods=["POST"]) for path in predictions),
            ]
        )

    def refusal(self, request):
        from starlette.responses import JSONResponse

        given = request.headers.get("authorization")
        self.asked.append((request.url.path, given))
        if self.token is not None and given != f"Bearer {self.token}":
            return JSONResponse({"error": "a token is needed"}, 401)
        return None

    async def index(self, request):
        from starlette.responses import JSONResponse

        names = ("name", "version", "state", "reason")
        return self.refusal(request) or JSONResponse([dict(zip(names, row, strict=True)) for row in self.models])

    async def predict(self, request):
        from starlette.responses import JSONResponse

        refused = self.refusal(request)
        if refused:
            return refused
        (instance,) = (await request.json())["instances"]
        try:
            image = Image.open(io.BytesIO(base64.b64decode(instance["bytes"]["b64"])))
            weights = [1 + value for value in image.convert("RGB").resize((1, 1)).getpixel((0, 0))]
        except OSError:
            return JSONResponse({"error": "not an image"}, 400)
        weights += [0.3, 0.2, 0.1, 0.05]
        probabilities = [weight / sum(weights) for weight in weights]
        return JSONResponse({"predictions": [{"probabilities": probabilities, "label": "x", "classes": CLASSES}]})


@contextlib.contextmanager
def served(answers):
    """The address of a server in a thread."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(answers.app(), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        thread.join(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()


def in_browser(visit, answers=None, **view):
    """Runs `visit(tab)` with the page open; the page must have raised no error."""
    browser_command()

    async def run(address):
        async with new_tab() as tab:
            await tab.open(address, **view)
            await visit(tab)
            assert tab.errors == []

    with served(answers or Answers()) as address:
        asyncio.run(run(address))


@pytest.fixture
def images(tmp_path):
    for name, colour in (("red.png", (250, 9, 9)), ("blue.png", (9, 9, 250))):
        Image.new("RGB", (30, 20), colour).save(tmp_path / name)
    (tmp_path / "notes.png").write_text("hello")
    return [tmp_path / name for name in ("red.png", "notes.png", "blue.png")]


def test_dropped_images_are_classified_and_a_bad_one_keeps_its_error_to_itself(images):
    async def visit(tab):
        await tab.drop(images, 200, 250)
        await tab.until(f"{DONE} === 3")
        firsts = (
            "[...document.querySelectorAll('.image')].map((one) => one.querySelector('li span')?.innerText || null)"
        )
        assert await tab.value(firsts) == ["red", None, "blue"]
        assert await tab.text(".problem") == "not an image"
        assert await tab.value("document.querySelectorAll('.classes')[0].children.length") == 5
        assert (await tab.text("#status")).startswith("2 of 3 classified, 1 failed; median ")
        assert await tab.value("document.querySelector('.preview img').naturalWidth") == 30

    in_browser(visit)


def test_the_page_of_a_running_server_shows_what_its_model_says(classifier, pictures, tmp_path):
    model, exported = classifier
    shutil.copytree(exported, tmp_path / "repository" / "insects" / "1")
    (tmp_path / "a.png").write_bytes(pictures[0][0])
    (tmp_path / "b.png").write_bytes(pictures[0][1][:40])
    best = ["ant", "bee", "cat"][model.predict_on_batch(pictures[1][:1]).argmax()]

    async def visit(address):
        async with new_tab() as tab:
            await tab.open(address)
            await tab.drop([tmp_path / "a.png", tmp_path / "b.png"], 200, 250)
            await tab.until(f"{DONE} === 2")
            assert await tab.value("document.querySelector('.classes li span').innerText") == best
            assert "PNG" in await tab.text(".problem")
            assert tab.errors == []

    browser_command()
    with running(tmp_path / "repository") as where:
        asyncio.run(visit(where.url))


def test_everything_can_be_done_with_the_keyboard(images):
    async def visit(tab):
        await tab.until("!document.querySelector('#model').disabled")
        seen = []
        for _ in range(4):
            await tab.key("Tab")
            seen.append(await tab.value("document.activeElement.id || document.activeElement.className"))
        assert seen == ["skip", "model", "version", "files"]
        await tab.choose("#files", images[:1])
        await tab.until(f"{DONE} === 1")
        for _ in range(3):
            await tab.key("Tab")
        assert await tab.value("document.activeElement.getAttribute('aria-label')") == "All 7 classes, red.png"
        await tab.key("Enter")
        assert await tab.value("document.querySelector('.classes').children.length") == 7
        assert await tab.value("document.activeElement.getAttribute('aria-expanded')") == "true"
        await tab.value("document.querySelector('header button').focus()")
        await tab.key(" ")
        assert await tab.value("document.querySelectorAll('.image').length") == 0
        assert await tab.value("document.activeElement.id") == "files"

    in_browser(visit)


def test_another_version_classifies_the_images_again(images):
    answers = Answers()

    async def visit(tab):
        await tab.choose("#files", images[:1])
        await tab.until(f"{DONE} === 1")
        version = "document.querySelector('#version')"
        assert await tab.value(f"[...{version}.options].map((one) => one.text)") == ["newest (2)", "2", "1"]
        await tab.value(f"{version}.value = '1'; {version}.dispatchEvent(new Event('change'))")
        await tab.until("document.querySelector('.foot').innerText.startsWith('colours, version 1: ')")

    in_browser(visit, answers)
    paths = [path for path, _ in answers.asked if "predict" in path]
    assert paths == ["/v1/models/colours:predict", "/v1/models/colours/versions/1:predict"]


def test_a_token_is_asked_for_sent_and_kept_for_this_tab_only(images):
    answers = Answers(token="secret")

    async def visit(tab):
        await tab.until("!document.querySelector('#token-form').hidden")
        for given, hidden in (("wrong", "false"), ("secret", "true")):
            await tab.value("document.querySelector('#token').focus()")
            await tab.send("Input.insertText", text=given)
            await tab.key("Enter")
            reason = "document.querySelector('#token-reason').innerText"
            await tab.until(
                f"{reason}.includes('refuses') && document.querySelector('#token-form').hidden === {hidden}"
            )
        await tab.choose("#files", images[:1])
        await tab.until(f"{DONE} === 1")
        assert await tab.value("[Object.values(sessionStorage), localStorage.length, document.cookie]") == [
            ["secret"], 0, ""
        ]  # fmt: skip

    in_browser(visit, answers)
    assert answers.asked[-1] == ("/v1/models/colours:predict", "Bearer secret")


def test_a_server_without_models_says_how_to_get_one():
    async def visit(tab):
        await tab.until("!document.querySelector('#empty').hidden")
        assert "kerastricks serve" in await tab.text("#empty")

    in_browser(visit, Answers(models=()))


@pytest.mark.parametrize("dark", [False, True])
def test_a_narrow_page_needs_no_scrolling_sideways(images, dark):
    async def visit(tab):
        before = await tab.value("document.querySelector('#images').getBoundingClientRect().top")
        await tab.choose("#files", images)
        heights = "[...document.querySelectorAll('.image')].map((one) => one.getBoundingClientRect().height)"
        waiting = await tab.value(heights)
        await tab.until(f"{DONE} === 3")
        assert await tab.value("document.documentElement.scrollWidth <= innerWidth")
        # Nothing moves while answers come in.
        assert await tab.value(heights) == waiting
        assert await tab.value("document.querySelector('#images').getBoundingClientRect().top") == before

    in_browser(visit, width=360, dark=dark)
