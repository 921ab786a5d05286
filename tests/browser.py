"""A headless Chromium, driven over its DevTools protocol: just what tests of a page need."""

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import tempfile
from pathlib import Path

import aiohttp
import pytest

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--remote-debugging-port=0", "--remote-allow-origins=*", "about:blank",
)  # fmt: skip
KEYS = {"Tab": 9, "Enter": 13, " ": 32}


def browser_command():
    """The browser of $KERASTRICKS_BROWSER or of the path; the test is skipped where there is none."""
    named = os.environ.get("KERASTRICKS_BROWSER")
    found = next(filter(None, map(shutil.which, [named] if named else NAMES)), None)
    if found is None:
        pytest.skip("no browser: install chromium-headless-shell, or name one in KERASTRICKS_BROWSER")
    return found


class Tab:
    """A page of the browser, over its web socket."""

    def __init__(self, socket):
        self._socket, self._numbers, self._answers, self.errors = socket, itertools.count(1), {}, []
        self._reader = asyncio.ensure_future(self._read())

    async def _read(self):
        async for message in self._socket:
            found = json.loads(message.data)
            if "id" in found:
                self._answers.pop(found["id"]).set_result(found)
            elif found["method"] == "Runtime.exceptionThrown":
                self.errors.append(found["params"]["exceptionDetails"])
            elif found["method"] == "Log.entryAdded" and found["params"]["entry"]["source"] in (
                "security",
                "javascript",
            ):
                self.errors.append(found["params"]["entry"]["text"])

    async def send(self, method, **params):
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        found = await asyncio.wait_for(self._answers[number], 60)
        assert "error" not in found, f"{method}: {found['error']}"
        return found["result"]

    async def open(self, url, width=1280, height=900, dark=False):
        for domain in ("Page", "Runtime", "Log", "DOM"):
            await self.send(f"{domain}.enable")
        await self.look(width, height, dark)
        gone = await self.send("Page.navigate", url=url)
        assert "errorText" not in gone, gone["errorText"]
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def look(self, width, height=900, dark=False):
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.send("Emulation.setEmulatedMedia", features=[scheme])

    async def value(self, expression):
        """The value of a JavaScript expression, awaited if it is a promise."""
        found = await self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def until(self, expression, seconds=60):
        """Waits until a JavaScript expression is true."""
        end = asyncio.get_running_loop().time() + seconds
        while not await self.value(f"Boolean({expression})"):
            if asyncio.get_running_loop().time() > end:
                raise AssertionError(f"never true: {expression}\n{await self.value('document.body.innerText')}")
            await asyncio.sleep(0.02)

    async def text(self, selector):
        return await self.value(f"document.querySelector({json.dumps(selector)})?.innerText")

    async def key(self, name):
        text = {"Enter": "\r", " ": " "}.get(name)
        facts = {"key": name, "code": {" ": "Space"}.get(name, name), "windowsVirtualKeyCode": KEYS[name]}
        await self.send("Input.dispatchKeyEvent", type="keyDown", **facts, **({"text": text} if text else {}))
        await self.send("Input.dispatchKeyEvent", type="keyUp", **facts)

    async def choose(self, selector, files):
        """Puts files into an input of type file."""
        root = (await self.send("DOM.getDocument"))["root"]["nodeId"]
        node = (await self.send("DOM.querySelector", nodeId=root, selector=selector))["nodeId"]
        await self.send("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    async def drop(self, files, x, y):
        """Drags files from the desktop to a point of the page, and lets them go there."""
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            await self.send("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    async def screenshot(self, path):
        found = await self.send("Page.captureScreenshot", captureBeyondViewport=True)
        Path(path).write_bytes(base64.b64decode(found["data"]))


@contextlib.asynccontextmanager
async def new_tab():
    """A tab of a browser of its own, which ends with the block."""
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            browser_command(), *OPTIONS, f"--user-data-dir={profile}", stderr=asyncio.subprocess.DEVNULL
        )
        try:
            port = await _port(Path(profile) / "DevToolsActivePort", process)
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    targets = [one for one in await answer.json() if one["type"] == "page"]
                async with session.ws_connect(targets[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    yield Tab(socket)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _port(file, process):
    for _ in range(600):
        with contextlib.suppress(OSError, ValueError, IndexError):
            return int(file.read_text().splitlines()[0])
        assert process.returncode is None, "the browser ended at once: do its libraries load?"
        await asyncio.sleep(0.05)
    raise AssertionError("the browser does not start")
