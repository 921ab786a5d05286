"""The page at `/`: images are dropped onto it and classified by the server that it comes from."""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_FILE = Path(__file__).with_name("page.html")


@cache
def page() -> tuple[bytes, dict[str, str]]:
    """The page, and the headers that it must be sent with.

    Its own style and script are allowed by their hashes, pictures by object URLs, requests to its own server; nothing
    else is.
    """
    text = _FILE.read_text(encoding="utf-8")
    style, script = (_hashes(text, tag) for tag in ("style", "script"))
    policy = (
        f"default-src 'none'; style-src {style}; script-src {script}; img-src blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return text.encode(), headers


def _hashes(text: str, tag: str) -> str:
    parts = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    digests = (hashlib.sha256(part.encode()).digest() for part in parts)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


async def _answer(request: Request) -> Response:
    content, headers = page()
    return Response(content, media_type="text/html", headers=headers)


def routes() -> list[Route]:
    """The page's route, open to everybody."""
    return [Route("/", _answer, methods=["GET"])]
