"""One version of a model in memory."""

import asyncio
import os
import threading
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from kerastricks.data.sources.headers import read_header
from kerastricks.errors import first_line
from kerastricks.serving.server.batching import Batches
from kerastricks.serving.server.engine import off_loop
from kerastricks.serving.server.options import ServeOptions
from kerastricks.serving.server.status import ServingError, from_tensorflow

DEFAULT = "serving_default"
_LARGE = 1_000_000  # pixels of an image that is decoded outside of batches
_HUGE = 4_000_000  # pixels of one of which two are decoded at a time: each takes hundreds of megabytes
_huge_images = threading.BoundedSemaphore(2)
_decoders = ThreadPoolExecutor(os.cpu_count(), "decoder")
# A session of its own restores variables by name, as TensorFlow Serving does: what it refuses is refused here too. And
# closing it frees everything, where functions of `tf.saved_model.load` leave a batching thread behind.
v1 = tf.compat.v1


class LoadedVersion:
    """A version of a model, ready for requests.

    Args:
        name: of the model.
        version: its number.
        folder: of the SavedModel.
        options: sizes of batches and images.

    Raises:
        ServingError: where the SavedModel is damaged, has no signature or does not answer its warm-up requests.
    """

    def __init__(self, name: str, version: int, folder: Path, options: ServeOptions) -> None:
        self.name = name
        self.version = version
        self._options = options
        graph = tf.Graph()
        config = v1.ConfigProto(allow_soft_placement=True, gpu_options=v1.GPUOptions(allow_growth=True))
        # It works for seconds on the branches of the decoder when a version comes, and the calls are no faster after.
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        self._session = v1.Session(graph=graph, config=config)
        self._calls: dict[str, _Call] = {}
        try:
            with graph.as_default():
                meta = v1.saved_model.loader.load(self._session, [v1.saved_model.SERVING], str(folder))
                self.signatures: dict[str, meta_graph_pb2.SignatureDef] = {
                    key: one for key, one in meta.signature_def.items() if not key.startswith("__")
                }
                self._calls = {key: _Call(self._session, one, options) for key, one in self.signatures.items()}
                self._has_images = self._has_image_signatures()
                self._refuse_uninitialized()
            if not self.signatures:
                raise ServingError("FAILED_PRECONDITION", "it has no signature")
        except (tf.errors.OpError, OSError, ValueError, KeyError, TypeError, RuntimeError, IndexError) as error:
            self.close()
            raise ServingError("FAILED_PRECONDITION", f"cannot be loaded: {first_line(error)[:300]}") from None
        except ServingError:
            self.close()
            raise

    def close(self) -> None:
        """Free its memory; requests that wait are refused."""
        for call in self._calls.values():
            call.batches.close()
        self._session.close()

    def signature(self, name: str) -> meta_graph_pb2.SignatureDef:
        """A signature by its name; "" is serving_default.

        Raises:
            ServingError: INVALID_ARGUMENT where there is none.
        """
        key = name or DEFAULT
        if key not in self.signatures:
            known = ", ".join(sorted(self.signatures))
            raise ServingError("INVALID_ARGUMENT", f"signature {key[:100]!r}: model {self.name} has {known}")
        return self.signatures[key]

    async def run(
        self, signature_name: str, inputs: Mapping[str, np.ndarray], outputs: Collection[str] = ()
    ) -> dict[str, np.ndarray]:
        """Answer a request, in a batch with others that wait.

        Args:
            signature_name: of the signature; "" is serving_default.
            inputs: an array for each input, of its dtype and shape; strings are object arrays of bytes.
            outputs: names of those that are wanted; () for all.

        Raises:
            ServingError: INVALID_ARGUMENT where inputs are not those of the signature, or an image is none.
        """
        self.signature(signature_name)
        key = signature_name or DEFAULT
        call = self._calls[key]
        call.check(inputs, outputs)
        names = tuple(sorted(set(outputs) or call.outputs))
        if self._has_images and list(call.inputs) == ["bytes"]:
            return await self._classes(inputs["bytes"], names, key)
        if self._has_images and key == "classify":
            contents = await off_loop(inputs["inputs"].size << 10, _encoded_images, inputs["inputs"])
            found = await self._classes(contents, ("classes", "probabilities"), DEFAULT)
            return {name: found[{"scores": "probabilities"}.get(name, name)] for name in names}
        return await call.run(inputs, names)

    async def _classes(self, contents: np.ndarray, names: tuple[str, ...], key: str) -> dict[str, np.ndarray]:
        """Outputs for encoded images; one that is none is refused with its index."""
        if not len(contents):
            raise ServingError("INVALID_ARGUMENT", "no image: give at least one")
        pixels = await off_loop(len(contents) << 10, check_images, contents, self._options.max_pixels)
        try:
            if pixels <= _LARGE:
                return await self._calls[key].run({"bytes": contents}, names)
            # Not in a batch, whose small images would wait for it.
            images = await asyncio.get_running_loop().run_in_executor(_decoders, self._decode, contents, pixels)
        except ServingError as error:
            if error.code != "INVALID_ARGUMENT":
                raise
            index = 0 if len(contents) == 1 else await asyncio.to_thread(self._bad_image, contents)
            raise ServingError(error.code, f"image {index}: {error}") from None
        if key == "decode":
            return {"images": images}
        return await self._calls["tensor"].run({"images": images.astype("float32")}, names)

    def _decode(self, contents: np.ndarray, pixels: int) -> np.ndarray:
        with _huge_images if pixels > _HUGE else nullcontext():
            return self._calls["decode"].values([contents], ("images",))[0]

    def _bad_image(self, contents: np.ndarray) -> int:
        """The index of the first image that cannot be decoded."""
        for index in range(len(contents)):
            try:
                self._decode(contents[index : index + 1], 0)
            except ServingError:
                return index
        return 0

    def _has_image_signatures(self) -> bool:
        """Whether the SavedModel has the signatures of `export_saved_model`, from encoded images to classes."""
        calls = self._calls
        contract = {DEFAULT: ["bytes"], "decode": ["bytes"], "tensor": ["images"], "classify": ["inputs"]}
        if any(key not in calls or list(calls[key].inputs) != names for key, names in contract.items()):
            return False
        return set(calls[DEFAULT].outputs) == set(calls["tensor"].outputs)

    def _refuse_uninitialized(self) -> None:
        """Refuse variables that the restore operation did not fill, before a client does."""
        handles = {one.name: one for call in self._calls.values() for one in call.variables}
        filled = self._session.run([tf.raw_ops.VarIsInitializedOp(resource=one) for one in handles.values()])
        empty = [name for name, is_filled in zip(handles, filled, strict=True) if not is_filled]
        if empty:
            raise ServingError(
                "FAILED_PRECONDITION",
                f"{len(empty)} variables are not restored by name, such as {empty[0].removesuffix(':0')}: TensorFlow "
                f"Serving cannot serve it either; export the run again with `kerastricks export RUN`",
            )


class _Call:
    """The function of a signature, in batches where all inputs and outputs have a row per example."""

    def __init__(self, session: Any, signature: meta_graph_pb2.SignatureDef, options: ServeOptions) -> None:
        graph = session.graph
        self._session = session
        self._max_batch = options.max_batch
        self._callables: dict[tuple[str, ...], Any] = {}
        self.inputs = {name: graph.get_tensor_by_name(signature.inputs[name].name) for name in sorted(signature.inputs)}
        self.outputs = {name: graph.get_tensor_by_name(one.name) for name, one in sorted(signature.outputs.items())}
        operations = {one.op for one in self.outputs.values()}
        self.variables = [one for op in operations for one in op.inputs if one.op.type == "VarHandleOp"]
        tensors = [*self.inputs.values(), *self.outputs.values()]
        self.has_rows = bool(self.inputs) and all(one.shape.rank and one.shape[0] is None for one in tensors)
        self.batches = Batches(self.values, options.max_batch, options.batch_delay)

    def check(self, inputs: Mapping[str, np.ndarray], outputs: Collection[str]) -> None:
        """Refuse names, dtypes and shapes that are not the signature's."""
        if set(inputs) != set(self.inputs):
            raise ServingError(
                "INVALID_ARGUMENT", f"inputs must be {', '.join(self.inputs)}. Received: {', '.join(sorted(inputs))}"
            )
        for name in outputs:
            if name not in self.outputs:
                raise ServingError("INVALID_ARGUMENT", f"output {name!r}: the signature has {', '.join(self.outputs)}")
        for name, array in inputs.items():
            expected, shape = self.inputs[name].dtype, self.inputs[name].shape
            if (expected.as_numpy_dtype if expected != tf.string else np.object_) != array.dtype.type:
                kind = "bytes" if array.dtype == object else array.dtype.name
                raise ServingError("INVALID_ARGUMENT", f"input {name}: must be {expected.name}. Received: {kind}")
            if not shape.is_compatible_with(array.shape):
                wanted = "(" + ", ".join("batch" if one is None else str(one) for one in shape) + ")"
                raise ServingError(
                    "INVALID_ARGUMENT", f"input {name}: must have the shape {wanted}. Received: {array.shape}"
                )
        if self.has_rows and len({len(array) for array in inputs.values()}) > 1:
            raise ServingError("INVALID_ARGUMENT", "all inputs must have as many rows")

    async def run(self, inputs: Mapping[str, np.ndarray], names: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Values of the outputs in `names`."""
        arrays = [inputs[name] for name in self.inputs]
        rows = len(arrays[0]) if self.has_rows else 0
        if rows == 0:
            found = await asyncio.to_thread(self.values, arrays, names)
        else:
            most = self._max_batch
            parts = [[one[start : start + most] for one in arrays] for start in range(0, rows, most)]
            answers = await asyncio.gather(*(asyncio.wrap_future(self.batches.submit(part, names)) for part in parts))
            found = answers[0] if len(answers) == 1 else [np.concatenate(one) for one in zip(*answers, strict=True)]
        return dict(zip(names, found, strict=True))

    def values(self, arrays: Sequence[np.ndarray], names: tuple[str, ...]) -> list[np.ndarray]:
        """Call the session with arrays for `inputs`, in their order, with errors that a client can be told."""
        call = self._callables.get(names)
        if call is None:
            fetches = [self.outputs[name] for name in names]
            call = self._session.make_callable(fetches, feed_list=list(self.inputs.values()))
            self._callables[names] = call
        try:
            found: list[np.ndarray] = call(*arrays)
            return found
        except tf.errors.OpError as error:
            raise from_tensorflow(error) from None
        except (RuntimeError, TypeError, ValueError) as error:  # a closed session; an array that cannot be fed
            closed = "closed" in str(error).lower()
            raise ServingError("UNAVAILABLE" if closed else "INVALID_ARGUMENT", first_line(error)[:300]) from None


def check_images(contents: np.ndarray, max_pixels: int) -> int:
    """Read the headers of encoded images, and return the pixels of the largest.

    Raises:
        ServingError: where one is no image, or has more pixels.
    """
    largest = 0
    for index, one in enumerate(contents):
        try:
            height, width, _ = read_header(one, max_pixels)
        except ValueError as error:
            raise ServingError("INVALID_ARGUMENT", f"image {index}: {first_line(error)}") from None
        largest = max(largest, height * width)
    return largest


def _encoded_images(examples: np.ndarray) -> np.ndarray:
    """The images in serialized `tf.train.Example`s."""
    contents = np.empty(len(examples), object)
    for index, one in enumerate(examples):
        try:
            values = tf.train.Example.FromString(one).features.feature["bytes"].bytes_list.value
        except Exception:  # protobuf's DecodeError is of no module that is public in all versions
            raise ServingError("INVALID_ARGUMENT", f"example {index}: must be a serialized tf.train.Example") from None
        if len(values) != 1:
            raise ServingError("INVALID_ARGUMENT", f"example {index}: must have one value in the bytes feature 'bytes'")
        contents[index] = values[0]
    return contents
