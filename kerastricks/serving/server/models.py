"""Models that are served, and their change while requests run."""

import contextlib
import ctypes
import gc
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerastricks.errors import first_line
from kerastricks.serving.server.loaded_version import LoadedVersion
from kerastricks.serving.server.options import ServeOptions
from kerastricks.serving.server.repository import ModelSource, configured, discover, read_config
from kerastricks.serving.server.status import ServingError
from kerastricks.serving.server.warming import warm_up


@dataclass(frozen=True)
class VersionState:
    """State of a version, in TensorFlow Serving's words.

    Args:
        version: its number.
        state: START, LOADING, AVAILABLE, UNLOADING or END.
        error_code: "OK", or gRPC's name of what went wrong.
        error_message: what went wrong.
    """

    version: int
    state: str
    error_code: str = "OK"
    error_message: str = ""


class _Version:
    """A version with the requests that use it."""

    def __init__(self, loaded: LoadedVersion) -> None:
        self.loaded = loaded
        self.requests = 0
        self.leaving = False


class Models:
    """All models of a repository.

    Args:
        options: the repository and what is served of it.
        say: called with a line for each version that comes, goes or is refused.
    """

    def __init__(self, options: ServeOptions, say: Callable[[str], None] = print) -> None:
        self._options = options
        self._say = say
        self._lock = threading.Lock()
        self._updating = threading.Lock()
        self._sources: dict[str, ModelSource] = {}
        self._versions: dict[str, dict[int, _Version]] = {}
        self._states: dict[str, dict[int, VersionState]] = {}
        self._refused: dict[Path, Any] = {}  # the file as it was when it was refused
        self._config = None if options.config_file is None else read_config(options.config_file)
        self._looked = False
        self._stop = threading.Event()
        self._watcher: threading.Thread | None = None

    def start(self) -> None:
        """Load what there is, and look for changes from then on."""
        self.update()
        self._watcher = threading.Thread(target=self._watch, name="repository", daemon=True)
        self._watcher.start()

    def close(self) -> None:
        """Stop looking, and free all models."""
        self._stop.set()
        if self._watcher is not None:
            self._watcher.join()
        with self._lock:
            leaving = [(one, number) for one, versions in self._versions.items() for number in versions]
        for name, number in leaving:
            self._unload(name, number, wait=False)

    def names(self) -> list[str]:
        """Names of the models."""
        with self._lock:
            return sorted(self._sources)

    def ready(self) -> bool:
        """Whether the repository has been looked at and a model answers, or there is none.

        One that cannot be loaded does not take the others out of service.
        """
        with self._lock:
            answers = any(not one.leaving for versions in self._versions.values() for one in versions.values())
            return self._looked and (answers or not self._sources)

    def states(self, name: str, version: int | None = None, label: str | None = None) -> list[VersionState]:
        """States of a model's versions, the newest first.

        Raises:
            ServingError: NOT_FOUND where there is none.
        """
        with self._lock:
            version = self._number(name, version, label)
            found = sorted(self._states.get(name, {}).values(), key=lambda one: -one.version)
        found = [one for one in found if version in (None, one.version)]
        if not found:
            raise ServingError("NOT_FOUND", f"Could not find any versions of model {name}")
        return found

    @contextlib.contextmanager
    def lease(self, name: str, version: int | None = None, label: str | None = None) -> Iterator[LoadedVersion]:
        """A version that stays in memory for as long as it is used.

        Args:
            name: of the model.
            version: its number; None for the newest that answers.
            label: its label instead.

        Raises:
            ServingError: NOT_FOUND where there is none.
        """
        with self._lock:
            number = self._number(name, version, label)
            versions = {key: one for key, one in self._versions.get(name, {}).items() if not one.leaving}
            number = max(versions, default=None) if number is None else number
            if number not in versions:
                wanted = f"{name}" if number is None else f"{name}, version {number}"
                raise ServingError("NOT_FOUND", f"Servable not found for request: {wanted}")
            its = versions[number]
            its.requests += 1
        try:
            yield its.loaded
        finally:
            with self._lock:
                its.requests -= 1
            del its

    def reload(self, config: Any) -> None:
        """Serve the models of a configuration from now on.

        Args:
            config: a ModelServerConfig; its base paths must be inside the repository.

        Raises:
            ServingError: where it cannot be followed; what was served stays.
        """
        if config.WhichOneof("config") != "model_config_list":
            raise ServingError("INVALID_ARGUMENT", "config: must be a model_config_list")
        configured(config, self._options.repository)
        self._config = config
        self.update()

    def update(self) -> None:
        """Load what came and unload what went."""
        with self._updating:
            repository = self._options.repository
            sources = discover(self._options) if self._config is None else configured(self._config, repository)
            with self._lock:
                # A model whose folder is gone for a moment, as on a disk of the network, goes on with what it has.
                self._sources = {**{name: one for name, one in self._sources.items() if self._stays(name)}, **sources}
                gone = [name for name in self._versions if name not in self._sources]
            for name in gone:
                self._keep_only(name, set())
            for source in sources.values():
                self._update_model(source)
            self._looked = True

    def _stays(self, name: str) -> bool:
        return self._config is None and bool(self._versions.get(name))

    def _update_model(self, source: ModelSource) -> None:
        wanted = source.wanted(self._options.repository)
        with self._lock:
            here = {number for number, one in self._versions.get(source.name, {}).items() if not one.leaving}
        for number, folder in sorted(wanted.items(), reverse=True):
            if number not in here and not self._stop.is_set() and self._load(source.name, number, folder):
                here.add(number)
        # The old one goes when a new one answers, never before.
        if here & set(wanted):
            self._keep_only(source.name, set(wanted))

    def _load(self, name: str, number: int, folder: Path) -> bool:
        seen = _fingerprint(folder)
        if self._refused.get(folder) == seen:
            return False
        self._set(name, VersionState(number, "LOADING"))
        began = time.monotonic()
        try:
            loaded = LoadedVersion(name, number, folder, self._options)
            try:
                warmed = warm_up(loaded, folder)
            except ServingError:
                loaded.close()
                raise
        except Exception as error:
            # Whatever a damaged SavedModel raises, the models that are served must not suffer.
            self._refused[folder] = seen
            code = error.code if isinstance(error, ServingError) else "UNKNOWN"
            self._set(name, VersionState(number, "END", code, first_line(error)))
            self._say(f"refused {name}/{number}: {first_line(error)}")
            return False
        self._refused.pop(folder, None)
        with self._lock:
            self._versions.setdefault(name, {})[number] = _Version(loaded)
        self._set(name, VersionState(number, "AVAILABLE"))
        self._say(f"serving {name}/{number} ({warmed} warm-up requests, {time.monotonic() - began:.1f} s)")
        return True

    def _keep_only(self, name: str, wanted: set[int]) -> None:
        with self._lock:
            leaving = [number for number in self._versions.get(name, {}) if number not in wanted]
            # Of versions that were refused those are remembered that are still there.
            for number in [one for one in self._states.get(name, {}) if one not in wanted and one not in leaving]:
                del self._states[name][number]
        for number in leaving:
            self._unload(name, number)

    def _unload(self, name: str, number: int, wait: bool = True) -> None:
        with self._lock:
            its = self._versions[name][number]
            its.leaving = True
        self._set(name, VersionState(number, "UNLOADING"))
        end = time.monotonic() + self._options.deadline
        while wait and its.requests and time.monotonic() < end:
            time.sleep(0.005)
        with self._lock:
            del self._versions[name][number]
            if not self._versions[name]:
                del self._versions[name]
            del self._states[name][number]
            if not self._states[name]:
                del self._states[name]
        its.loaded.close()
        del its
        gc.collect()  # graphs have cycles, and the next one needs their memory
        with contextlib.suppress(OSError, AttributeError):  # of glibc, which keeps most of what is freed
            ctypes.CDLL(None).malloc_trim(0)
        self._say(f"unloaded {name}/{number}")

    def _set(self, name: str, state: VersionState) -> None:
        with self._lock:
            self._states.setdefault(name, {})[state.version] = state

    def _number(self, name: str, version: int | None, label: str | None) -> int | None:
        if name not in self._sources:
            raise ServingError("NOT_FOUND", f"Could not find any versions of model {name}")
        if label is None:
            return version
        if label not in self._sources[name].labels:
            raise ServingError("NOT_FOUND", f"Unrecognized servable version label: {label}")
        return self._sources[name].labels[label]

    def _watch(self) -> None:
        while not self._stop.wait(self._options.poll_seconds):
            try:
                self.update()
            except Exception as error:  # a disk that is gone for a moment
                self._say(f"repository: {first_line(error)}")


def _fingerprint(folder: Path) -> Any:
    """Times and sizes of a version, which change when it is written anew."""
    found: list[tuple[int, int, int] | None] = []
    for name in ("saved_model.pb", "variables/variables.index"):
        try:
            status = (folder / name).stat()
            found.append((status.st_mtime_ns, status.st_size, status.st_ino))
        except OSError:
            found.append(None)
    return found
