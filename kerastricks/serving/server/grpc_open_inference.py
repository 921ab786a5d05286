"""Open Inference Protocol v2 over gRPC, and gRPC's own health checks."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kerastricks.serving.server import open_inference_messages as messages
from kerastricks.serving.server.engine import Engine, off_loop, values_size
from kerastricks.serving.server.grpc_methods import Method
from kerastricks.serving.server.models import Models
from kerastricks.serving.server.open_inference_models import index, infer, is_ready, model_metadata, server_metadata
from kerastricks.serving.server.open_inference_tensors import (
    array_of_bytes,
    array_of_values,
    bytes_of_array,
    datatype_of_array,
)
from kerastricks.serving.server.status import ServingError

# The field of InferTensorContents that has the values of a datatype; FP16 is in raw contents only.
_CONTENTS = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
_HEALTH_SECONDS = 1.0  # between two looks at the models of a client that watches


async def model_infer(models: Models, request: Any) -> Any:
    """Answer a ModelInferRequest, with raw contents where its inputs have them."""
    inputs = await off_loop(request.ByteSize(), _inputs, request)
    outputs = [one.name for one in request.outputs]
    parameters = {key: getattr(one, one.WhichOneof("parameter_choice") or "") for key, one in _set(request.parameters)}
    version, found = await infer(models, request.model_name, request.model_version, inputs, outputs, parameters)
    response = messages.ModelInferResponse(model_name=request.model_name, model_version=version, id=request.id)
    await off_loop(values_size(found), _fill, response, found, bool(request.raw_input_contents))
    return response


def _fill(response: Any, found: Mapping[str, np.ndarray], is_raw: bool) -> None:
    datatypes = {name: datatype_of_array(array) for name, array in found.items()}
    is_raw = is_raw or "FP16" in datatypes.values()
    for name, array in found.items():
        tensor = response.outputs.add(name=name, datatype=datatypes[name], shape=array.shape)
        if is_raw:
            response.raw_output_contents.append(bytes_of_array(array))
        else:
            getattr(tensor.contents, _CONTENTS[datatypes[name]]).extend(array.reshape(-1).tolist())


def _inputs(request: Any) -> dict[str, np.ndarray]:
    """Arrays by name: all from raw contents, or all from typed ones."""
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise ServingError(
            "INVALID_ARGUMENT",
            f"raw_input_contents must have an entry for each of {len(request.inputs)} inputs. Received: {len(raw)}",
        )
    arrays: dict[str, np.ndarray] = {}
    for place, one in enumerate(request.inputs):
        if one.name in arrays:
            raise ServingError("INVALID_ARGUMENT", f"input {one.name}: is given twice")
        if raw and one.HasField("contents"):
            raise ServingError("INVALID_ARGUMENT", f"input {one.name}: has both contents and raw_input_contents")
        if raw:
            arrays[one.name] = array_of_bytes(one.name, one.datatype, one.shape, raw[place])
        else:
            arrays[one.name] = array_of_values(one.name, one.datatype, one.shape, _contents(one))
    return arrays


def _contents(tensor: Any) -> list[Any]:
    """Values of an input, from the field of its datatype."""
    fields = [field.name for field, values in tensor.contents.ListFields()]
    expected = _CONTENTS.get(tensor.datatype, "")
    if tensor.datatype == "FP16":
        raise ServingError("INVALID_ARGUMENT", f"input {tensor.name}: FP16 must be in raw_input_contents")
    if any(field != expected for field in fields):
        raise ServingError(
            "INVALID_ARGUMENT",
            f"input {tensor.name}: {tensor.datatype} must be in {expected or 'raw_input_contents'}. "
            f"Received: {', '.join(fields)}",
        )
    return list(getattr(tensor.contents, expected)) if expected else []


def _set(parameters: Any) -> Iterable[tuple[str, Any]]:
    """Parameters that have a value."""
    return [(key, one) for key, one in parameters.items() if one.WhichOneof("parameter_choice")]


def methods(engine: Engine) -> dict[str, Method]:
    """Methods of the service `inference.GRPCInferenceService`.

    Args:
        engine: that answers; while it drains, server and models are not ready.
    """

    def server_ready(models: Models, request: Any) -> Any:
        return messages.ServerReadyResponse(ready=not engine.draining and models.ready())

    def ready(models: Models, request: Any) -> Any:
        is_up = not engine.draining and is_ready(models, request.name, request.version)
        return messages.ModelReadyResponse(ready=is_up)

    def metadata(models: Models, request: Any) -> Any:
        return messages.ModelMetadataResponse(**model_metadata(models, request.name, request.version))

    def repository(models: Models, request: Any) -> Any:
        return messages.RepositoryIndexResponse(models=index(models, request.ready))

    return {
        "ServerLive": Method(messages.ServerLiveRequest, lambda models, _: messages.ServerLiveResponse(live=True)),
        "ServerReady": Method(messages.ServerReadyRequest, server_ready),
        "ServerMetadata": Method(
            messages.ServerMetadataRequest, lambda models, _: messages.ServerMetadataResponse(**server_metadata())
        ),
        "ModelReady": Method(messages.ModelReadyRequest, ready, lambda request: request.name),
        "ModelMetadata": Method(messages.ModelMetadataRequest, metadata, lambda request: request.name),
        "ModelInfer": Method(
            messages.ModelInferRequest, model_infer, lambda request: request.model_name, place="queue"
        ),
        "RepositoryIndex": Method(messages.RepositoryIndexRequest, repository),
    }


class Health(health_pb2_grpc.HealthServicer):
    """Health checks of gRPC: of the service "", which is the server, and of each model by its name.

    The models are asked when a client asks, so that an answer is never older than they are.

    Args:
        engine: while it drains, nothing is serving.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def Check(self, request: Any, context: Any) -> Any:
        """Answer once."""
        status = self._status(request.service)
        if status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, 'unknown service: "" is the server, others are models')
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(self, request: Any, context: Any) -> None:
        """Answer now and after each change, until the server drains."""
        last = None
        while True:
            is_last = self._engine.draining
            status = self._status(request.service)
            if status != last:
                await context.write(health_pb2.HealthCheckResponse(status=status))
            last = status
            if is_last:
                return
            await asyncio.sleep(_HEALTH_SECONDS)

    def _status(self, service: str) -> Any:
        statuses, models = health_pb2.HealthCheckResponse, self._engine.models
        if service and service not in models.names():
            return statuses.SERVICE_UNKNOWN
        try:
            is_up = is_ready(models, service, "") if service else models.ready()
        except ServingError:  # unloaded in the meantime
            is_up = False
        return statuses.SERVING if is_up and not self._engine.draining else statuses.NOT_SERVING
