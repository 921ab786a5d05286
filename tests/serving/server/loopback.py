"""A model server on loopback for tests: a small classifier over REST and gRPC, in a thread with an event loop."""

import asyncio
import contextlib
import io
import threading
from pathlib import Path

import keras
import numpy as np
import uvicorn
from PIL import Image
from starlette.applications import Starlette

import kerastricks
from kerastricks.serving import export_saved_model
from kerastricks.serving.server import grpc_server, open_inference, rest
from kerastricks.serving.server.engine import Engine
from kerastricks.serving.server.models import Models
from kerastricks.serving.server.options import ServeOptions
from kerastricks.serving.server.status import ServingError

NAMES = ["cat", "dog", "owl"]
SHAPE = (8, 6, 3)
MODEL = "animals"


OPTIONS = {"max_batch": 4, "deadline": 20.0, "poll_seconds": 60.0, "access_log": False}


def export(folder):
    """A repository with one model; what the model predicts for an array of images."""
    keras.utils.set_random_seed(0)
    model = kerastricks.models.create("mlp(depth=1, width=4)", SHAPE, 3, mean=[120.0] * 3, std=[60.0] * 3)
    model.save(folder / "model.keras")
    export_saved_model(folder / "model.keras", NAMES, folder / "repository" / MODEL)
    return folder / "repository", model.predict_on_batch


@contextlib.contextmanager
def loaded(repository):
    """Its models, in memory."""
    models = Models(ServeOptions(repository, **OPTIONS), lambda line: None)
    models.update()
    yield models
    models.close()


def images(count=2):
    return np.random.default_rng(0).integers(0, 256, (count, *SHAPE)).astype("uint8")


def png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


async def _refused(request, error):
    return rest.refused(error)


class Loopback:
    """Serves until its `with` ends; `grpc` and `http` are its addresses, `done` the calls of the observer."""

    def __init__(self, models, **grpc_options):
        self.models = models
        self.engine = Engine(models, ServeOptions(Path(), **OPTIONS))
        self.done = []
        self._grpc_options = {"observe": lambda *one: self.done.append(one), **grpc_options}
        self._started = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),))

    def __enter__(self):
        self._thread.start()
        assert self._started.wait(30)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = grpc_server.create(self.engine, **self._grpc_options)
        self.grpc = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        app = Starlette(routes=open_inference.routes(self.engine), exception_handlers={ServingError: _refused})
        config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off")
        http = uvicorn.Server(config)
        http.capture_signals = contextlib.nullcontext
        running = asyncio.create_task(http.serve())
        while not http.started:
            await asyncio.sleep(0.01)
        self.http = f"127.0.0.1:{http.servers[0].sockets[0].getsockname()[1]}"
        self._started.set()
        await self._stop.wait()
        http.should_exit = True
        await running
        await server.stop(1)
