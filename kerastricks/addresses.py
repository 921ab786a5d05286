"""Addresses of files in object stores and on web servers, with their secrets and without.

What an address itself holds, a password or a query, serves in this process and is neither shown nor recorded.
"""

import importlib.util
import re

from kerastricks.errors import MissingExtraError

_URL = re.compile(r"(s3|s3a|gs|gcs|az|abfs|https?|memory)://(?:[^/?#]*@)?([^?#]*)(.*)", re.IGNORECASE | re.DOTALL)

_whole: dict[str, str] = {}  # public addresses to those with their secrets


def is_remote(source: object) -> bool:
    """Whether a source is an address of an object store or a web server."""
    return isinstance(source, str) and _URL.fullmatch(source) is not None


def public_url(url: str) -> str:
    """Strip user, password and query from an address; this process remembers them, and no other.

    Example:
        >>> public_url("https://me:secret@host/images.zip?token=1")
        'https://host/images.zip'
    """
    found = _URL.fullmatch(url)
    if found is None:
        return url
    public = f"{found[1].lower()}://{found[2]}"
    if public != url:
        _whole[public] = url
    return public


def with_secrets(url: str) -> str:
    """The address that this process knows for a public one; any other as it is."""
    return _whole.get(url, url)


def check_remote(url: str) -> None:
    """Raise MissingExtraError where fsspec is not installed; nothing is imported or asked for."""
    for package in ("fsspec", *(("s3fs",) if url.lower().startswith("s3") else ())):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, "remote")
