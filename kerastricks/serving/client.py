"""Predictions of a model server for image files: that of `kerastricks serve`, or TensorFlow Serving with such a model.

It imports no TensorFlow.
"""

import base64
import collections
import itertools
import re
import urllib.parse
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import requests
import urllib3
from requests.adapters import HTTPAdapter

from kerastricks.addresses import public_url
from kerastricks.data.sources.headers import MAX_PIXELS, read_header
from kerastricks.errors import ServiceError, ServiceLostError, first_line
from kerastricks.serving.prediction import Prediction

_AT_ONCE = 4  # requests: the server makes batches of them
_MODEL = re.compile("(.*?)/v1/models/([^/:]+)(/(?:versions|labels)/[^/:]+)?(?::predict)?")
_OF_THE_FILE = (400, 413)  # statuses that say something about one image, not about all


class RemoteModel:
    """A classifier on a model server.

    Attempts that find the server busy, starting or unreachable are repeated a few times, later each time.

    Args:
        url: "http://HOST:PORT" where the server has one model, else "http://HOST:PORT/v1/models/NAME", which
            "/versions/NUMBER" or "/labels/LABEL" may follow.
        token: for a server that asks for one.
        timeout: seconds until a connection or an answer is given up.

    Raises:
        ServiceError: where the address is none, the server is not there, refuses the token, or has not this model.
        ServiceLostError: where the server fails.
    """

    def __init__(self, url: str, token: str | None = None, timeout: float = 60.0) -> None:
        self._timeout = timeout
        self._session = requests.Session()
        self._session.auth = _Bearer(token) if token else None
        retries = urllib3.Retry(
            connect=3, read=1, status=5, total=5, status_forcelist=(429, 503), allowed_methods=None,
            backoff_factor=0.2, backoff_jitter=0.1, backoff_max=5, raise_on_status=False,
        )  # fmt: skip
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retries, pool_maxsize=_AT_ONCE))
        server, name, version = split_url(url)
        self.url = f"{server}/v1/models/{name or self._only_model(server)}{version}"
        self.class_names: tuple[str, ...] = ()  # known from the first answer on

    def predict(self, files: Sequence[Path], max_pixels: int = MAX_PIXELS) -> Iterator[Prediction]:
        """Predict the class of each file, in order; a file that is no usable image gets its `error`.

        Raises:
            ServiceError: where the server refuses the token, or has not this model.
            ServiceLostError: where the server fails.
        """
        rest = iter(files)
        waiting: collections.deque[Future[Prediction]] = collections.deque()
        pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="predict")
        try:
            while True:
                for file in itertools.islice(rest, 2 * _AT_ONCE - len(waiting)):
                    waiting.append(pool.submit(self._predict, file, max_pixels))
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _predict(self, file: Path, max_pixels: int) -> Prediction:
        try:
            contents = file.read_bytes()
            read_header(contents, max_pixels)
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            return Prediction(file, error=reason)
        instance = {"bytes": {"b64": base64.b64encode(contents).decode()}}
        answer = self._ask(f"{self.url}:predict", {"instances": [instance]})
        if answer.status_code in _OF_THE_FILE:
            return Prediction(file, error=_reason(answer))
        content = self._content(answer)
        try:
            (found,) = content["predictions"]
            names = tuple(str(name) for name in found["classes"])
            label, probabilities = str(found["label"]), np.array(found["probabilities"], np.float32)
            if probabilities.shape != (len(names),):
                raise ValueError
        except (KeyError, TypeError, ValueError):
            raise ServiceError(f"{public_url(self.url)}: the answer is none of a classifier of kerastricks") from None
        if self.class_names not in ((), names):
            raise ServiceLostError(
                f"{public_url(self.url)}: the server has changed to a model of other classes: give /versions/NUMBER"
            )
        self.class_names = names
        return Prediction(file, label, probabilities)

    def _only_model(self, server: str) -> str:
        answer = self._ask(f"{server}/v2/repository/index", {})
        where = public_url(server)
        if answer.status_code in (404, 405, 501):
            raise ServiceError(f"{where}: the server does not list its models: give {where}/v1/models/NAME")
        content = self._content(answer)
        try:
            names = sorted({str(row["name"]) for row in content})
        except (KeyError, TypeError):
            raise ServiceError(f"{where}: is no model server: check the address") from None
        if len(names) != 1:
            there = f"the server has the models {', '.join(names)}" if names else "the server has no model"
            raise ServiceError(f"{where}: {there}: give {where}/v1/models/NAME")
        return urllib.parse.quote(names[0], safe="")

    def _ask(self, url: str, request: dict[str, Any]) -> requests.Response:
        where = public_url(url)
        try:
            answer = self._session.post(url, json=request, timeout=self._timeout, allow_redirects=False)
        except requests.Timeout:
            raise ServiceLostError(f"{where}: no answer within {self._timeout:g} seconds") from None
        except requests.ConnectionError as error:
            raise ServiceError(f"{where}: cannot be reached ({_cause(error)}): is the server running?") from None
        except (requests.RequestException, UnicodeError) as error:
            raise ServiceError(f"{where}: cannot be asked ({first_line(error)}): check the address") from None
        status = answer.status_code
        if status in (401, 403):
            raise ServiceError(f"{where}: {_reason(answer)}: give its token")
        if 300 <= status < 400:
            raise ServiceError(f"{where}: leads to {answer.headers.get('location', 'nowhere')}: give that address")
        if status in (429, 503):
            raise ServiceLostError(f"{where}: still busy after several attempts ({_reason(answer)})")
        if status >= 500 and status != 501:
            raise ServiceLostError(f"{where}: the server failed ({_reason(answer)})")
        return answer

    def _content(self, answer: requests.Response) -> Any:
        """The JSON of a good answer."""
        where = public_url(answer.url)
        if answer.status_code != 200:
            raise ServiceError(f"{where}: {_reason(answer)}")
        try:
            return answer.json()
        except ValueError:
            raise ServiceError(f"{where}: the answer is no JSON: is there a model server?") from None


class _Bearer(requests.auth.AuthBase):
    """Sends a token; unlike a header of the session it is not replaced by an entry of ~/.netrc."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """The request with the token."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def split_url(url: str) -> tuple[str, str | None, str]:
    """Split the address of a model into server, name and the rest.

    Returns:
        The server, "http://HOST:PORT"; the model's name, None where the address has none; "/versions/NUMBER",
        "/labels/LABEL" or "".

    Raises:
        ServiceError: where it is no such address.

    Example:
        >>> split_url("http://127.0.0.1:8501/v1/models/digits/versions/2")
        ('http://127.0.0.1:8501', 'digits', '/versions/2')
    """
    try:
        parts = urllib.parse.urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1) and url.isprintable()
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment:
        raise ServiceError(
            f"the address of a model must be http://HOST:PORT[/v1/models/NAME[/versions/NUMBER]]. "
            f"Received: {public_url(url)[:200]!r}"
        )
    url = url.rstrip("/")
    found = _MODEL.fullmatch(url)
    if found:
        return found[1], found[2], found[3] or ""
    if "/v1" in parts.path or "/v2" in parts.path:
        raise ServiceError(f"{public_url(url)}: must end in /v1/models/NAME[/versions/NUMBER], or be the server alone")
    return url, None, ""


def _reason(answer: requests.Response) -> str:
    """An error's message, in one line, for the one image of a request."""
    try:
        message = answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        message = None
    return first_line(str(message)).removeprefix("image 0: ") if message else f"{answer.status_code} {answer.reason}"


def _cause(error: BaseException) -> str:
    """The reason of the operating system, which is wrapped several times."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.strerror:
            return found.strerror
        reason = getattr(found, "reason", None) or next((one for one in found.args if isinstance(one, Exception)), None)
        found = reason if isinstance(reason, BaseException) else found.__cause__ or found.__context__
    return "no connection"
