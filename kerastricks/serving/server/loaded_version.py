"""One version of a model in memory: a session in which requests of several clients run as one batch."""

import threading
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import attr_value_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from kerastricks.data.sources.headers import read_header
from kerastricks.errors import first_line
from kerastricks.serving.server.options import ServeOptions
from kerastricks.serving.server.status import ServingError, from_tensorflow

DEFAULT = "serving_default"
_IMAGES_AT_ONCE = 2  # large ones that are decoded at a time: each takes hundreds of megabytes
_LARGE = 4_000_000  # pixels
_large_images = threading.BoundedSemaphore(_IMAGES_AT_ONCE)
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
        try:
            with graph.as_default():
                meta = v1.saved_model.loader.load(self._session, [v1.saved_model.SERVING], str(folder))
                self.signatures: dict[str, meta_graph_pb2.SignatureDef] = {
                    key: one for key, one in meta.signature_def.items() if not key.startswith("__")
                }
                self._calls = {key: _Call(self._session, one, options) for key, one in self.signatures.items()}
                self._images = self._image_call()
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
        """Free its memory."""
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

    def run(
        self, signature_name: str, inputs: Mapping[str, np.ndarray], outputs: Collection[str] = ()
    ) -> dict[str, np.ndarray]:
        """Answer a request; blocks until its batch has run.

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
        if self._images is not None and list(call.inputs) == ["bytes"] and key != "decode":
            return self._images.run(inputs["bytes"], names)
        if self._images is not None and key == "classify":
            found = self._images.run(_encoded_images(inputs["inputs"]), ("classes", "probabilities"))
            return {name: found[{"scores": "probabilities"}.get(name, name)] for name in names}
        if key == "decode" and self._images is not None:
            check_images(inputs["bytes"], self._options.max_pixels)
        return call.run(inputs, names)

    def _image_call(self) -> "_ImageCall | None":
        """Encoded images to classes, where the SavedModel has the signatures of `export_saved_model`."""
        calls = self._calls
        contract = {DEFAULT: ["bytes"], "decode": ["bytes"], "tensor": ["images"], "classify": ["inputs"]}
        if any(key not in calls or list(calls[key].inputs) != names for key, names in contract.items()):
            return None
        if set(calls[DEFAULT].outputs) != set(calls["tensor"].outputs) or not calls["tensor"].batches:
            return None
        return _ImageCall(self._session, calls["decode"], calls["tensor"], self._options)

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
    """The function of a signature, batched where all inputs and outputs have a row per example."""

    def __init__(self, session: Any, signature: meta_graph_pb2.SignatureDef, options: ServeOptions) -> None:
        graph = session.graph
        self._session = session
        self._options = options
        self._callables: dict[tuple[str, ...], Any] = {}
        self.inputs = {name: graph.get_tensor_by_name(signature.inputs[name].name) for name in sorted(signature.inputs)}
        self.alone = {name: graph.get_tensor_by_name(one.name) for name, one in sorted(signature.outputs.items())}
        self.operation = next(iter(self.alone.values())).op if self.alone else None
        self.variables = [] if self.operation is None else _variables(self.operation)
        self.batches = self._can_batch()
        self.outputs = self.alone
        if self.batches:
            self.outputs = self.batched(dict(self.inputs))

    def _can_batch(self) -> bool:
        tensors = [*self.inputs.values(), *self.alone.values()]
        return (
            bool(self.inputs)
            and self.operation is not None
            and self.operation.type in ("StatefulPartitionedCall", "PartitionedCall")
            and all(one.op is self.operation for one in self.alone.values())
            and all(one.shape.rank and one.shape[0] is None for one in tensors)
            and {one.name for one in self.inputs.values()}
            == {one.name for one in self.operation.inputs if one.op.type == "Placeholder"}
        )

    def batched(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Outputs of the signature's function over the rows of several requests."""
        assert self.operation is not None
        of_name = {self.inputs[name].name: tensor for name, tensor in inputs.items()}
        captured = [one for one in self.operation.inputs if one.name not in of_name]
        places = [of_name[one.name] for one in self.operation.inputs if one.name in of_name]
        function = self.operation.get_attr("f").name
        found = tf.raw_ops.BatchFunction(
            in_tensors=places,
            captured_tensors=captured,
            f=attr_value_pb2.NameAttrList(name=function),
            # One queue for pixels and for images that were decoded: its thread wakes a thousand times a second.
            shared_name=function,
            num_batch_threads=1,
            max_batch_size=self._options.max_batch,
            batch_timeout_micros=round(self._options.batch_delay * 1e6),
            max_enqueued_batches=max(10, self._options.queue),
            Tout=[one.dtype for one in self.operation.outputs],
        )
        return {name: found[one.value_index] for name, one in self.alone.items()}

    def check(self, inputs: Mapping[str, np.ndarray], outputs: Collection[str]) -> None:
        """Refuse names, dtypes and shapes that are not the signature's."""
        if set(inputs) != set(self.inputs):
            raise ServingError(
                "INVALID_ARGUMENT", f"inputs must be {', '.join(self.inputs)}. Received: {', '.join(sorted(inputs))}"
            )
        for name in outputs:
            if name not in self.alone:
                raise ServingError("INVALID_ARGUMENT", f"output {name!r}: the signature has {', '.join(self.alone)}")
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
        if self.batches and len({len(array) for array in inputs.values()}) > 1:
            raise ServingError("INVALID_ARGUMENT", "all inputs must have as many rows")

    def run(self, inputs: Mapping[str, np.ndarray], names: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Values of the outputs in `names`."""
        rows = len(next(iter(inputs.values()))) if self.batches else 1
        if not self.batches or rows == 0:
            return self._values(inputs, names, self.alone, "alone")
        most = self._options.max_batch
        parts = [{key: one[start : start + most] for key, one in inputs.items()} for start in range(0, rows, most)]
        try:
            found = [self._values(part, names, self.outputs, "") for part in parts]
        except ServingError as error:
            # Another request of the batch may be to blame.
            if error.code != "INVALID_ARGUMENT":
                raise
            found = [self._values(part, names, self.alone, "alone") for part in parts]
        return found[0] if len(found) == 1 else {name: np.concatenate([one[name] for one in found]) for name in names}

    def _values(
        self, inputs: Mapping[str, np.ndarray], names: tuple[str, ...], tensors: Mapping[str, Any], kind: str
    ) -> dict[str, np.ndarray]:
        call = self._callables.get((kind, *names))
        if call is None:
            feeds = list(self.inputs.values())
            call = self._session.make_callable([tensors[name] for name in names], feed_list=feeds)
            self._callables[(kind, *names)] = call
        return dict(zip(names, answer(call, [inputs[name] for name in self.inputs]), strict=True))


class _ImageCall:
    """Encoded images to classes: each request decodes its own, and their pixels run as one batch."""

    def __init__(self, session: Any, decode: _Call, tensor: _Call, options: ServeOptions) -> None:
        self._session = session
        self._options = options
        self._decode = decode
        self._bytes = decode.inputs["bytes"]
        self._outputs = tensor.batched({"images": tf.cast(decode.alone["images"], tf.float32)})
        self._callables: dict[tuple[str, ...], Any] = {}

    def run(self, contents: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Values of the outputs in `names`; an image that is none is refused with its index."""
        lock = check_images(contents, self._options.max_pixels)
        call = self._callables.get(names)
        if call is None:
            call = self._session.make_callable([self._outputs[name] for name in names], feed_list=[self._bytes])
            self._callables[names] = call
        most = self._options.max_batch
        try:
            with lock:
                parts = [answer(call, [contents[start : start + most]]) for start in range(0, len(contents), most)]
        except ServingError as error:
            raise self._named(contents, error) from None
        if not parts:
            raise ServingError("INVALID_ARGUMENT", "no image: give at least one")
        values = parts[0] if len(parts) == 1 else [np.concatenate(one) for one in zip(*parts, strict=True)]
        return dict(zip(names, values, strict=True))

    def _named(self, contents: np.ndarray, error: ServingError) -> ServingError:
        """The error with the index of the image that is to blame."""
        if error.code != "INVALID_ARGUMENT":
            return error
        for index in range(len(contents)):
            try:
                self._decode.run({"bytes": contents[index : index + 1]}, ("images",))
            except ServingError as its:
                return ServingError(its.code, f"image {index}: {its}")
        return error


def check_images(contents: np.ndarray, max_pixels: int) -> AbstractContextManager[Any]:
    """Read the headers of encoded images, and return what to hold while they are decoded.

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
    return _large_images if largest > _LARGE else nullcontext()


def answer(call: Any, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """Call a session, with errors that a client can be told."""
    try:
        return call(*inputs)
    except tf.errors.OpError as error:
        raise from_tensorflow(error) from None
    except (RuntimeError, TypeError, ValueError) as error:  # a closed session; an array that cannot be fed
        closed = "closed" in str(error).lower()
        raise ServingError("UNAVAILABLE" if closed else "INVALID_ARGUMENT", first_line(error)[:300]) from None


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


def _variables(operation: Any) -> list[Any]:
    return [one for one in operation.inputs if one.op.type == "VarHandleOp"]
