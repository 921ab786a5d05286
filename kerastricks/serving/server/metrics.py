"""Metrics for Prometheus, and the access log."""

import json
import os
import re
import uuid
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Observer:
    """Counts requests and logs them.

    Args:
        names: of the models that are known; requests for others are counted together.
        access_log: whether each request is printed as a line of JSON.
    """

    def __init__(self, names: Any, access_log: bool) -> None:
        self._names = names
        self._access_log = access_log
        # With several processes each writes files that any of them adds up.
        self._shared = "PROMETHEUS_MULTIPROC_DIR" in os.environ
        self.registry = CollectorRegistry()
        registry = None if self._shared else self.registry
        labels = ("api", "model", "code")
        self._requests = Counter("kerastricks_requests_total", "Requests answered.", labels, registry=registry)
        self._seconds = Histogram(
            "kerastricks_request_seconds", "Time to answer.", ("api", "model"), buckets=_SECONDS, registry=registry
        )
        self._running = Gauge(
            "kerastricks_requests_running", "Requests that wait or run.", registry=registry, multiprocess_mode="livesum"
        )
        self._ready = Gauge(
            "kerastricks_ready", "1 if it takes requests.", registry=registry, multiprocess_mode="livemin"
        )

    def done(self, api: str, model: str, code: str, seconds: float, request_id: str, **more: Any) -> None:
        """Count and log a request that was answered.

        Args:
            api: "rest", "v2", "grpc" ...
            model: that it names; "" for none.
            code: HTTP status or gRPC code.
            seconds: that it took.
            request_id: of the client, or made.
            more: for the log.
        """
        known = model if model in self._names() else ""
        self._requests.labels(api, known, code).inc()
        self._seconds.labels(api, known).observe(seconds)
        if self._access_log:
            line = {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "request_id": request_id,
                "api": api,
                "model": model[:200],
                "code": code,
                "ms": round(seconds * 1000, 2),
                **more,
            }
            try:
                print(json.dumps(line), flush=True)
            except OSError:  # its reader is gone, or the disk is full: requests go on
                self._access_log = False

    def text(self, running: int, ready: bool) -> bytes:
        """All figures in Prometheus's format."""
        self._running.set(running)
        self._ready.set(int(ready))
        registry = self.registry
        if self._shared:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)
        return generate_latest(registry)


def request_id(given: str) -> str:
    """The id that a client gives its request, or a new one where that is none."""
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
