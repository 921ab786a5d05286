"""Answers of the Open Inference Protocol as plain data: metadata, readiness, an index, and inference.

REST and gRPC write it down, each in its own form.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2

import kerastricks
from kerastricks.serving.server.models import Models
from kerastricks.serving.server.open_inference_tensors import datatype_of_tensorflow
from kerastricks.serving.server.status import ServingError

PLATFORM = "tensorflow_savedmodel"
_DEFAULT = "serving_default"
_STATES = {"AVAILABLE": "READY", "UNLOADING": "UNLOADING", "END": "UNAVAILABLE"}


def server_metadata() -> dict[str, Any]:
    """Name, version and extensions of this server."""
    extensions = ["binary_tensor_data", "model_repository"]
    return {"name": "kerastricks", "version": kerastricks.__version__, "extensions": extensions}


def model_metadata(models: Models, name: str, version: str) -> dict[str, Any]:
    """Versions that are served, and inputs and outputs of the signature serving_default.

    Args:
        models: of the server.
        name: of the model.
        version: its number; "" for the newest.

    Raises:
        ServingError: where there is no such model.
    """
    with models.lease(name, number(version)) as loaded:
        signatures = loaded.signatures
    signature = signatures.get(_DEFAULT) or signatures[min(signatures)]
    return {
        "name": name,
        "versions": [str(one.version) for one in models.states(name) if one.state == "AVAILABLE"],
        "platform": PLATFORM,
        "inputs": _tensors(signature.inputs),
        "outputs": _tensors(signature.outputs),
    }


def is_ready(models: Models, name: str, version: str) -> bool:
    """Whether a model, or one of its versions, answers requests.

    Raises:
        ServingError: where there is no such model.
    """
    return any(one.state == "AVAILABLE" for one in models.states(name, number(version)))


def index(models: Models, only_ready: bool) -> list[dict[str, str]]:
    """Versions of all models with their state, READY, LOADING, UNLOADING or UNAVAILABLE, and its reason."""
    found = [
        {
            "name": name,
            "version": str(one.version),
            "state": _STATES.get(one.state, "LOADING"),
            "reason": one.error_message,
        }
        for name in models.names()
        for one in models.states(name)
    ]
    return [one for one in found if one["state"] == "READY" or not only_ready]


async def infer(
    models: Models,
    name: str,
    version: str,
    inputs: Mapping[str, np.ndarray],
    outputs: Collection[str],
    parameters: Mapping[str, Any],
) -> tuple[str, dict[str, np.ndarray]]:
    """The version that answered, and its outputs in the order that was asked for.

    Args:
        models: of the server.
        name: of the model.
        version: its number; "" for the newest.
        inputs: arrays by name.
        outputs: those that are wanted; () for all.
        parameters: of the request; `signature_name` chooses a signature.

    Raises:
        ServingError: where they are not the model's.
    """
    with models.lease(name, number(version)) as loaded:
        signature = parameters.get("signature_name") or _signature(loaded.signatures, inputs, outputs)
        if not isinstance(signature, str):
            raise ServingError("INVALID_ARGUMENT", "parameter signature_name: must be a text")
        found = await loaded.run(signature, inputs, sorted(set(outputs)))
        return str(loaded.version), {name: found[name] for name in outputs or found}


def number(version: str) -> int | None:
    """A version's number; None for "", the newest.

    Raises:
        ServingError: NOT_FOUND where it is no number.
    """
    if not version:
        return None
    if not (version.isascii() and version.isdigit()) or len(version) > 19:
        raise ServingError("NOT_FOUND", f"no version is called {version[:40]!r}: versions are numbers")
    return int(version)


def _signature(
    signatures: Mapping[str, meta_graph_pb2.SignatureDef], inputs: Collection[str], outputs: Collection[str]
) -> str:
    """The only signature with these inputs and outputs, otherwise serving_default."""
    fitting = [
        name for name, one in signatures.items() if set(one.inputs) == set(inputs) and set(outputs) <= set(one.outputs)
    ]
    return fitting[0] if len(fitting) == 1 else _DEFAULT


def _tensors(infos: Mapping[str, meta_graph_pb2.TensorInfo]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "datatype": datatype_of_tensorflow(one.dtype),
            "shape": [-1] if one.tensor_shape.unknown_rank else [dim.size for dim in one.tensor_shape.dim],
        }
        for name, one in sorted(infos.items())
    ]
