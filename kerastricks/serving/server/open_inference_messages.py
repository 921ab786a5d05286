"""Messages of the Open Inference Protocol's gRPC service, package `inference`.

They are made from the declarations below, in a descriptor pool of their own: a client library with the same package,
such as tritonclient's, can be imported into the same process.

Reference:
    https://github.com/kserve/open-inference-protocol, specification/protocol/open_inference_grpc.proto; the repository
    index, double_param and uint64_param are Triton Inference Server's.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICE = "inference.GRPCInferenceService"

_PARAMETERS = "map<InferParameter> parameters"
_VERSIONED = "string name = 1; string version = 2"
_TENSOR = (
    f"string name = 1; string datatype = 2; repeated int64 shape = 3; {_PARAMETERS} = 4; "
    "InferTensorContents contents = 5"
)
# Message: its fields as in a .proto file; a map's keys are strings, and "oneof" is of all fields of its message.
_DECLARATIONS = {
    "InferParameter": (
        "oneof parameter_choice; bool bool_param = 1; int64 int64_param = 2; string string_param = 3; "
        "double double_param = 4; uint64 uint64_param = 5"
    ),
    "InferTensorContents": (
        "repeated bool bool_contents = 1; repeated int32 int_contents = 2; repeated int64 int64_contents = 3; "
        "repeated uint32 uint_contents = 4; repeated uint64 uint64_contents = 5; repeated float fp32_contents = 6; "
        "repeated double fp64_contents = 7; repeated bytes bytes_contents = 8"
    ),
    "ModelInferRequest": (
        f"string model_name = 1; string model_version = 2; string id = 3; {_PARAMETERS} = 4; "
        "repeated ModelInferRequest.InferInputTensor inputs = 5; "
        "repeated ModelInferRequest.InferRequestedOutputTensor outputs = 6; repeated bytes raw_input_contents = 7"
    ),
    "ModelInferRequest.InferInputTensor": _TENSOR,
    "ModelInferRequest.InferRequestedOutputTensor": f"string name = 1; {_PARAMETERS} = 2",
    "ModelInferResponse": (
        f"string model_name = 1; string model_version = 2; string id = 3; {_PARAMETERS} = 4; "
        "repeated ModelInferResponse.InferOutputTensor outputs = 5; repeated bytes raw_output_contents = 6"
    ),
    "ModelInferResponse.InferOutputTensor": _TENSOR,
    "ModelMetadataRequest": _VERSIONED,
    "ModelMetadataResponse": (
        "string name = 1; repeated string versions = 2; string platform = 3; "
        "repeated ModelMetadataResponse.TensorMetadata inputs = 4; "
        "repeated ModelMetadataResponse.TensorMetadata outputs = 5"
    ),
    "ModelMetadataResponse.TensorMetadata": "string name = 1; string datatype = 2; repeated int64 shape = 3",
    "ModelReadyRequest": _VERSIONED,
    "ModelReadyResponse": "bool ready = 1",
    "RepositoryIndexRequest": "string repository_name = 1; bool ready = 2",
    "RepositoryIndexResponse": "repeated RepositoryIndexResponse.ModelIndex models = 1",
    "RepositoryIndexResponse.ModelIndex": "string name = 1; string version = 2; string state = 3; string reason = 4",
    "ServerLiveRequest": "",
    "ServerLiveResponse": "bool live = 1",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "string name = 1; string version = 2; repeated string extensions = 3",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "bool ready = 1",
}
_FIELD = re.compile(r"(?:(repeated) )?(map<)?([\w.]+)>? (\w+) = (\d+)")


def message_classes(package: str, declarations: Mapping[str, str]) -> dict[str, Any]:
    """Classes of messages, by name, in a descriptor pool of their own.

    Args:
        package: of protobuf.
        declarations: message to its fields, `[repeated] TYPE NAME = NUMBER; ...`; the names of nested messages have
            their parent's before a dot, which comes first.
    """
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    made: dict[str, Any] = {}
    for name, declaration in declarations.items():
        parent, _, own = name.rpartition(".")
        message = made[parent].nested_type.add(name=own) if parent else file.message_type.add(name=own)
        made[name] = message
        for field in _fields(declaration, f".{package}", f".{package}.{name}", message):
            message.field.append(field)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = {name: pool.FindMessageTypeByName(f"{package}.{name}") for name in declarations}
    return {name: message_factory.GetMessageClass(descriptor) for name, descriptor in found.items()}


def _fields(
    declaration: str, package: str, path: str, message: descriptor_pb2.DescriptorProto
) -> Iterator[descriptor_pb2.FieldDescriptorProto]:
    types = descriptor_pb2.FieldDescriptorProto
    for text in filter(None, declaration.split("; ")):
        if text.startswith("oneof "):
            message.oneof_decl.add(name=text.removeprefix("oneof "))
            continue
        match = _FIELD.fullmatch(text)
        assert match is not None, text
        repeated, is_map, kind, name, number = match.groups()
        field = types(name=name, number=int(number), label=types.LABEL_REPEATED if repeated else types.LABEL_OPTIONAL)
        if message.oneof_decl:
            field.oneof_index = 0
        if is_map:
            field.label = types.LABEL_REPEATED
            field.type = types.TYPE_MESSAGE
            field.type_name = f"{path}.{_entry(message, name, f'{package}.{kind}')}"
        elif f"TYPE_{kind.upper()}" in types.Type.keys():  # noqa: SIM118 - an enum of protobuf, no dictionary
            field.type = types.Type.Value(f"TYPE_{kind.upper()}")
        else:
            field.type = types.TYPE_MESSAGE
            field.type_name = f"{package}.{kind}"
        yield field


def _entry(message: descriptor_pb2.DescriptorProto, name: str, value: str) -> str:
    """Declare the entries of a map from strings to messages, and return their message's name."""
    types = descriptor_pb2.FieldDescriptorProto
    entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=types.LABEL_OPTIONAL, type=types.TYPE_STRING)
    entry.field.add(name="value", number=2, label=types.LABEL_OPTIONAL, type=types.TYPE_MESSAGE, type_name=value)
    return entry.name


_classes = message_classes("inference", _DECLARATIONS)
ModelInferRequest = _classes["ModelInferRequest"]
ModelInferResponse = _classes["ModelInferResponse"]
ModelMetadataRequest = _classes["ModelMetadataRequest"]
ModelMetadataResponse = _classes["ModelMetadataResponse"]
ModelReadyRequest = _classes["ModelReadyRequest"]
ModelReadyResponse = _classes["ModelReadyResponse"]
RepositoryIndexRequest = _classes["RepositoryIndexRequest"]
RepositoryIndexResponse = _classes["RepositoryIndexResponse"]
ServerLiveRequest = _classes["ServerLiveRequest"]
ServerLiveResponse = _classes["ServerLiveResponse"]
ServerMetadataRequest = _classes["ServerMetadataRequest"]
ServerMetadataResponse = _classes["ServerMetadataResponse"]
ServerReadyRequest = _classes["ServerReadyRequest"]
ServerReadyResponse = _classes["ServerReadyResponse"]
