"""TensorFlow Serving's gRPC services, PredictionService and ModelService, with its own messages.

Regress, MultiInference and SessionRun are not served: gRPC answers UNIMPLEMENTED.

Reference:
    https://github.com/tensorflow/serving/tree/master/tensorflow_serving/apis
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from tensorflow.core.protobuf import error_codes_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    input_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    status_pb2,
)

from kerastricks.serving.server.engine import off_loop, values_size
from kerastricks.serving.server.grpc_methods import Method
from kerastricks.serving.server.loaded_version import LoadedVersion
from kerastricks.serving.server.models import Models
from kerastricks.serving.server.status import ServingError
from kerastricks.serving.server.tensor_protos import object_array, to_array, to_tensor

_CLASSIFY = "tensorflow/serving/classify"


async def predict(models: Models, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
    """Outputs of a signature for the tensors of a request; those in `output_filter`, where it names some."""
    inputs = await off_loop(
        request.ByteSize(), lambda: {name: to_array(name, tensor) for name, tensor in request.inputs.items()}
    )
    with _lease(models, request) as loaded:
        signature = request.model_spec.signature_name or "serving_default"
        found = await loaded.run(signature, inputs, sorted(set(request.output_filter)))
        response = predict_pb2.PredictResponse(model_spec=_spec(loaded, signature))

    def fill() -> None:
        for name, array in found.items():
            response.outputs[name].CopyFrom(to_tensor(array))

    await off_loop(values_size(found), fill)
    return response


async def classify(
    models: Models, request: classification_pb2.ClassificationRequest
) -> classification_pb2.ClassificationResponse:
    """Classes with scores for each example of a request."""
    examples = await off_loop(request.ByteSize(), _examples, request.input)
    with _lease(models, request) as loaded:
        signature = request.model_spec.signature_name or "serving_default"
        outputs = _classification_outputs(loaded, signature)
        found = await loaded.run(signature, {"inputs": object_array("inputs", examples, (len(examples),))}, outputs)
        response = classification_pb2.ClassificationResponse(model_spec=_spec(loaded, signature))
    for name, array in found.items():
        if array.ndim != 2 or len(array) != len(examples):
            raise ServingError(
                "INVALID_ARGUMENT", f"Expected {name} Tensor shape: [batch_size num_classes] but got {array.shape}"
            )
    await off_loop(values_size(found), _fill, response, found, len(examples))
    return response


def _fill(response: classification_pb2.ClassificationResponse, found: Mapping[str, np.ndarray], rows: int) -> None:
    labels = found["classes"].tolist() if "classes" in found else None
    scores = found["scores"].tolist() if "scores" in found else None
    for row in range(rows):
        classes = response.result.classifications.add().classes
        for column in range(len((labels or scores or [])[row])):
            one = classes.add()
            if labels is not None:
                one.label = labels[row][column].decode("utf-8", "replace")
            if scores is not None:
                one.score = scores[row][column]


def get_model_metadata(
    models: Models, request: get_model_metadata_pb2.GetModelMetadataRequest
) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """Signatures of a model, as the field `signature_def`."""
    if not request.metadata_field:
        raise ServingError("INVALID_ARGUMENT", "GetModelMetadataRequest must specify at least one metadata_field")
    for name in request.metadata_field:
        if name != "signature_def":
            raise ServingError("INVALID_ARGUMENT", f"Metadata field {name} is not supported")
    signatures = get_model_metadata_pb2.SignatureDefMap()
    with _lease(models, request) as loaded:
        for name, signature in loaded.signatures.items():
            signatures.signature_def[name].CopyFrom(signature)
        response = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=_spec(loaded))
    response.metadata["signature_def"].Pack(signatures)
    return response


def get_model_status(
    models: Models, request: get_model_status_pb2.GetModelStatusRequest
) -> get_model_status_pb2.GetModelStatusResponse:
    """State of the versions of a model."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for one in models.states(*_wanted(request)):
        state = get_model_status_pb2.ModelVersionStatus.State.Value(one.state)
        error = status_pb2.StatusProto(
            error_code=error_codes_pb2.Code.Value(one.error_code), error_message=one.error_message
        )
        response.model_version_status.add(version=one.version, state=state, status=error)
    return response


def reload_config(
    models: Models, request: model_management_pb2.ReloadConfigRequest
) -> model_management_pb2.ReloadConfigResponse:
    """Serve the models of another configuration."""
    if request.config.WhichOneof("config") != "model_config_list":
        raise ServingError(
            "INVALID_ARGUMENT",
            "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
            "supported",
        )
    models.reload(request.config)
    return model_management_pb2.ReloadConfigResponse(status=status_pb2.StatusProto(error_code=error_codes_pb2.OK))


def _model(request: Any) -> str:
    name: str = request.model_spec.name
    return name


PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
PREDICTION_METHODS = {
    "Classify": Method(classification_pb2.ClassificationRequest, classify, _model, place="queue"),
    "GetModelMetadata": Method(get_model_metadata_pb2.GetModelMetadataRequest, get_model_metadata, _model),
    "Predict": Method(predict_pb2.PredictRequest, predict, _model, place="queue"),
}
MODEL_SERVICE = "tensorflow.serving.ModelService"
MODEL_METHODS = {
    "GetModelStatus": Method(get_model_status_pb2.GetModelStatusRequest, get_model_status, _model),
    "HandleReloadConfigRequest": Method(model_management_pb2.ReloadConfigRequest, reload_config, place="thread"),
}


def _wanted(request: Any) -> tuple[str, int | None, str | None]:
    """Model, version and label of a request."""
    spec = request.model_spec
    if not spec.name:
        raise ServingError("INVALID_ARGUMENT", "Missing ModelSpec")
    choice = spec.WhichOneof("version_choice")
    return (
        spec.name,
        spec.version.value if choice == "version" else None,
        spec.version_label if choice == "version_label" else None,
    )


def _lease(models: Models, request: Any) -> AbstractContextManager[LoadedVersion]:
    return models.lease(*_wanted(request))


def _spec(loaded: LoadedVersion, signature: str = "") -> model_pb2.ModelSpec:
    """Model, version and signature that an answer is from."""
    spec = model_pb2.ModelSpec(name=loaded.name, signature_name=signature)
    spec.version.value = loaded.version
    return spec


def _examples(given: input_pb2.Input) -> list[bytes]:
    """Serialized examples; the context's features come first, so that an example's own take precedence."""
    kind = given.WhichOneof("kind")
    context = (
        given.example_list_with_context.context.SerializeToString() if kind == "example_list_with_context" else b""
    )
    examples = [context + one.SerializeToString() for one in getattr(given, kind).examples] if kind else []
    if not examples:
        raise ServingError("INVALID_ARGUMENT", "Input is empty.")
    return examples


def _classification_outputs(loaded: LoadedVersion, name: str) -> list[str]:
    """Outputs of a signature for Classify, with TensorFlow Serving's messages where it is for something else."""
    if name not in loaded.signatures:
        raise ServingError("INVALID_ARGUMENT", f"No signature was found with the name: {name}")
    signature = loaded.signatures[name]
    if signature.method_name != _CLASSIFY:
        raise ServingError(
            "INVALID_ARGUMENT",
            f"Expected classification signature method_name to be {_CLASSIFY}. Was: {signature.method_name}",
        )
    if list(signature.inputs) != ["inputs"]:
        raise ServingError("FAILED_PRECONDITION", "No classification inputs found in SignatureDef")
    found = [one for one in ("classes", "scores") if one in signature.outputs]
    if not found:
        raise ServingError(
            "FAILED_PRECONDITION", 'Expected classification signature outputs to contain "classes" or "scores"'
        )
    return found
