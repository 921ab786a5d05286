"""The page at `/` as text: what it asks of the browser, and what it is allowed to."""

import asyncio
import base64
import hashlib
import re

import pytest
from html_page import Page

from kerastricks.serving.server import page

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture(scope="module")
def parsed(tmp_path_factory):
    file = tmp_path_factory.mktemp("page") / "page.html"
    file.write_bytes(page.page()[0])
    return Page(file)


def policy():
    text = page.page()[1]["Content-Security-Policy"]
    return {name: values for name, *values in (part.split() for part in text.split(";"))}


def test_the_page_loads_nothing_from_elsewhere(parsed):
    text = page.page()[0].decode()
    assert not re.search(r"(https?:)?//[\w.]", text)
    assert all(address.startswith("#") for address in parsed.references)
    assert not re.search(r"@import|url\(|innerHTML|insertAdjacentHTML|document\.write|\beval\b|localStorage", text)


def test_the_policy_allows_the_own_script_and_style_only(parsed):
    allowed = policy()
    assert allowed["default-src"] == ["'none'"]
    assert allowed["connect-src"] == ["'self'"]
    assert allowed["img-src"] == ["blob:"]
    assert allowed["frame-ancestors"] == allowed["base-uri"] == allowed["form-action"] == ["'none'"]
    text = page.page()[0].decode()
    for tag in ("script", "style"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert allowed[f"{tag}-src"] == [f"'sha256-{digest}'"]
    # What a hash does not cover, the policy refuses: such a page would not work.
    assert not re.search(r'\s(style|on\w+)="', text)


def test_every_control_has_a_label_and_every_id_is_unique(parsed):
    labels = {attributes.get("for") for tag, attributes in parsed.tags if tag == "label"}
    controls = {attributes["id"] for tag, attributes in parsed.tags if tag in ("input", "select")}
    assert len(controls) == 4
    assert controls <= labels
    assert len(parsed.ids) == len(set(parsed.ids))
    assert {"lang": "en"} in [attributes for tag, attributes in parsed.tags if tag == "html"]
    assert any(attributes.get("aria-live") == "polite" for _, attributes in parsed.tags)


def test_the_page_is_answered_with_its_headers():
    (route,) = page.routes()
    assert route.path == "/"
    answer = asyncio.run(route.endpoint(None))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; ")
    assert answer.body == page.page()[0]
