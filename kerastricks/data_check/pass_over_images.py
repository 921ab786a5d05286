"""The pass over all images: measures and hashes of each, in a stream, saved when it is interrupted."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from kerastricks.data.sources.source import UNREADABLE as READ_ERRORS
from kerastricks.data.sources.source import Arrays, Examples, Source
from kerastricks.data_check.measures import ROW, UNREADABLE, decode_upright, measure_contents, measure_pixels, to_image
from kerastricks.data_check.thumbnails import BYTES
from kerastricks.errors import DataError, first_line
from kerastricks.files import whole
from kerastricks.progress import Progress, silent

_FORMAT, _VERSION = "kerastricks data check", 1
_THREADS = os.cpu_count() or 1  # Pillow decodes outside Python's lock
_CHUNK = 64  # images between two looks at the clock
_SECONDS_BETWEEN_SAVES = 60.0
_SAVING_SHARE = 0.05  # of the time, at most


@dataclass(frozen=True)
class Listing:
    """The images of a source, in the order of its splits.

    Args:
        source: the source.
        names: (N,) names of files; indices in their split, where the images came as arrays.
        splits: names of its splits.
        split_numbers: (N,) index of the split of each.
        labels: (N,) class indices.
    """

    source: Source
    names: list[str]
    splits: tuple[str, ...]
    split_numbers: np.ndarray
    labels: np.ndarray

    @classmethod
    def of(cls, source: Source) -> "Listing":
        """List the images of a source."""
        names: list[str] = []
        for examples in source.splits.values():
            own = examples.names if examples.names is not None else range(len(examples))
            names += [str(name) for name in own]
        sizes = [len(examples) for examples in source.splits.values()]
        numbers = np.repeat(np.arange(len(sizes)), sizes)
        labels = np.concatenate([examples.labels for examples in source.splits.values()])
        return cls(source, names, tuple(source.splits), numbers, labels)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def groups(self) -> np.ndarray | None:
        """(N,) of str, the groups of the images; None where the source has none."""
        columns = [examples.groups for examples in self.source.splits.values() if examples.groups is not None]
        return np.concatenate(columns) if len(columns) == len(self.source.splits) else None

    @property
    def fingerprint(self) -> str:
        """Hash of names, splits and labels; contents are not read for it."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(json.dumps([self.source.class_names, self.splits]).encode())
        digest.update("\n".join(self.names).encode(errors="surrogateescape"))
        digest.update(self.split_numbers.astype("<i4").tobytes() + self.labels.astype("<i4").tobytes())
        return digest.hexdigest()

    def measure(self, index: int, max_pixels: int) -> tuple[np.ndarray, np.ndarray]:
        """Measure an image; see `measure_contents`."""
        examples, within = self.find(index)
        if isinstance(examples, Arrays):
            return measure_pixels(examples.part(within, within + 1)[0])
        return measure_contents(examples.read(within), max_pixels)

    def read_image(self, index: int) -> Image.Image:
        """Decode an image upright, a large JPEG at a fraction of its size.

        Raises:
            Exception: whatever its reader and decoder raise.
        """
        examples, within = self.find(index)
        if isinstance(examples, Arrays):
            return to_image(examples.part(within, within + 1)[0])
        return decode_upright(examples.read(within))

    def find(self, index: int) -> tuple[Examples, int]:
        """The split of an image, and its index there."""
        number = int(self.split_numbers[index])
        return self.source.splits[self.splits[number]], index - int(np.searchsorted(self.split_numbers, number))


@dataclass
class Measured:
    """The measures of the images of a listing.

    Args:
        rows: (N,) of `ROW`; state 0 for images that were not looked at yet.
        hashes: (N, BYTES) uint8.
        reasons: index of each unreadable image, and why it is one.
    """

    rows: np.ndarray
    hashes: np.ndarray
    reasons: dict[int, str]

    @classmethod
    def empty(cls, count: int) -> "Measured":
        """Measures of images of which none was looked at."""
        return cls(np.zeros(count, ROW), np.zeros((count, BYTES), np.uint8), {})

    @property
    def begun(self) -> int:
        """How many were looked at."""
        return int(np.count_nonzero(self.rows["state"]))

    def save(self, path: Path, fingerprint: str) -> None:
        """Write the state file, atomically."""
        done = np.flatnonzero(self.rows["state"])
        record = {
            "format": _FORMAT,
            "version": _VERSION,
            "data": fingerprint,
            "reasons": {str(index): reason for index, reason in self.reasons.items()},
        }
        with whole(path) as temporary, open(temporary, "wb") as file:
            text = np.frombuffer(json.dumps(record).encode(errors="surrogateescape"), np.uint8)
            rows = self.rows[done].view(np.uint8).reshape(len(done), ROW.itemsize)
            np.savez(file, record=text, done=done, rows=rows, hashes=self.hashes[done])

    @classmethod
    def read(cls, path: Path, fingerprint: str, count: int) -> "Measured":
        """Read a state file.

        Raises:
            DataError: for one that is damaged, or of other data.
        """
        try:
            with np.load(path, allow_pickle=False) as saved:
                record = json.loads(saved["record"].tobytes().decode(errors="surrogateescape"))
                known = record["format"] == _FORMAT and record["version"] == _VERSION
                if known and record["data"] != fingerprint:
                    raise DataError(
                        f"{path}: is the state of other data, or files came or went: give those data, or delete it"
                    )
                measured = cls.empty(count)
                done = saved["done"]
                measured.rows[done] = np.ascontiguousarray(saved["rows"]).view(ROW).reshape(-1)
                measured.hashes[done] = saved["hashes"]
                measured.reasons = {int(index): str(reason) for index, reason in record["reasons"].items()}
        except DataError:
            raise
        except Exception:  # NumPy's readers raise whatever a damaged file makes them
            known = False
        if not known:
            raise DataError(f"{path}: is no state that `kerastricks data` wrote, or damaged: name another file")
        return measured


def measure_images(
    listing: Listing,
    *,
    max_pixels: int,
    state: Path | None = None,
    keep: Callable[[Measured], None] | None = None,
    progress: Progress = silent,
) -> Measured:
    """Look at every image once.

    Args:
        listing: the images.
        max_pixels: an image of more is a decompression bomb.
        state: file of the measures so far: read where it is there, written every minute and when interrupted.
        keep: gets the measures so far when it is interrupted.
        progress: shows how far it is.

    Raises:
        DataError: for a state file of other data.
    """
    fingerprint = listing.fingerprint if state is not None else ""
    if state is not None and state.exists():
        measured = Measured.read(state, fingerprint, len(listing))
    else:
        measured = Measured.empty(len(listing))
    waiting = np.flatnonzero(measured.rows["state"] == 0)
    saved, took = time.monotonic(), 0.0
    try:
        with progress("looking at images", len(waiting)) as advance:
            for done in _each(listing, measured, waiting, max_pixels):
                advance(done)
                began = time.monotonic()
                if state is not None and began - saved > max(_SECONDS_BETWEEN_SAVES, took / _SAVING_SHARE):
                    measured.save(state, fingerprint)
                    saved = time.monotonic()
                    took = saved - began
    except KeyboardInterrupt:
        if state is not None:
            measured.save(state, fingerprint)
        if keep is not None:
            keep(measured)
        raise
    if state is not None and len(waiting):
        measured.save(state, fingerprint)
    return measured


def _each(listing: Listing, measured: Measured, waiting: np.ndarray, max_pixels: int) -> Iterator[int]:
    """Measure the images in chunks, several at a time; gives how many are done."""

    def measure(indices: np.ndarray) -> int:
        for index in indices.tolist():
            try:
                row, found = listing.measure(index, max_pixels)
            except READ_ERRORS as error:
                measured.reasons[index] = first_line(error)
                measured.rows["state"][index] = UNREADABLE
            else:
                measured.hashes[index] = found
                measured.rows[index] = row
        return len(indices)

    chunks = [waiting[start : start + _CHUNK] for start in range(0, len(waiting), _CHUNK)]
    executor = ThreadPoolExecutor(_THREADS)
    try:
        yield from executor.map(measure, chunks)
    finally:
        executor.shutdown(cancel_futures=True)
