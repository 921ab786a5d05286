"""Hostile archives and configurations."""

import json
import struct
import zipfile

import numpy as np
from hostile import METADATA, archive, case, config_of, layer, old, old_config, weights


def configured(name, code, *layers, raw=None, **more):
    """A case whose configuration differs."""

    def build(path):
        archive(path, config_of(*layers, **more), raw)

    build.__name__ = name
    case(code)(build)


def old_configured(name, code, kind, /, **config):
    def build(path):
        old(path, old_config(kind, **config))

    build.__name__ = name
    case(code, suffix=".h5")(build)


# The archive.


def with_entry(path, name, content=b"x", **fields):
    archive(path)
    with zipfile.ZipFile(path, "a") as file:
        entry = zipfile.ZipInfo(name)
        for field, value in fields.items():
            setattr(entry, field, value)
        file.writestr(entry, content)


for _name, _entry in {
    "unexpected_entry": "setup.py",
    "absolute_entry": "/tmp/kerastricks_was_here",
    "parent_entry": "assets/../../outside.txt",
    "backslash_entry": "assets\\..\\outside.txt",
    "drive_entry": "C:outside.txt",
    "control_entry": "assets/a\nb",
    "nested_parent_entry": "assets/a/../b",
    "other_case_entry": "CONFIG.JSON",
}.items():

    def _build(path, entry=_entry):
        with_entry(path, entry)

    _build.__name__ = _name
    case("entry")(_build)


@case("entry")
def duplicate_entry(path):
    archive(path)
    with zipfile.ZipFile(path, "a") as file:
        file.filelist[1].filename = "other"
        file.NameToInfo.pop("config.json")
        file.filelist[1].filename = "config.json"
        file.writestr("config.json", json.dumps(config_of(layer("Lambda"))))


@case("link")
def linked_entry(path):
    with_entry(path, "assets/link", b"/etc/passwd", external_attr=0o120777 << 16, create_system=3)


@case("link")
def device_entry(path):
    with_entry(path, "assets/device", b"", external_attr=0o020666 << 16, create_system=3)


@case("size")
def compressed_bomb(path):
    archive(path, data=weights(lambda file: file.create_dataset("a", data=np.zeros(2_000_000, "uint8"))), compression=8)


@case("size")
def bomb_of_json(path):
    archive(path, raw=b" " * 3_000_000 + json.dumps(config_of()).encode(), compression=zipfile.ZIP_DEFLATED)


@case("size")
def sum_of_small_bombs(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("metadata.json", METADATA)
        file.writestr("config.json", json.dumps(config_of()))
        file.writestr("model.weights.h5", weights())
        for number in range(40):
            file.writestr(f"assets/{number}", b"\0" * 900_000)


def patched(path, find, offset, value, every=False):
    """Overwrite bytes after the first (or each) place of a signature."""
    data = bytearray(path.read_bytes())
    at = data.find(find)
    while at >= 0:
        data[at + offset : at + offset + len(value)] = value
        at = data.find(find, at + 1) if every else -1
    path.write_bytes(data)


@case("entry")
def encrypted_entry(path):
    archive(path)
    patched(path, b"PK\1\2", 8, b"\1\0", every=True)
    patched(path, b"PK\3\4", 6, b"\1\0", every=True)


@case("header")
def header_with_another_name(path):
    archive(path)
    patched(path, b"PK\3\4", 30, b"METADATA.json")


@case("header")
def header_with_another_size(path):
    archive(path)
    patched(path, b"PK\3\4", 18, struct.pack("<LL", 5, 5))


@case("header")
def header_with_another_method(path):
    archive(path)
    patched(path, b"PK\3\4", 8, b"\x08\0")


@case("overlap")
def overlapping_entries(path):
    archive(path)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("assets/a", b"abc")
        file.filelist[-1].header_offset = file.filelist[1].header_offset


@case("entry")
def bytes_between_entries(path):
    archive(path)
    data = path.read_bytes()
    end = len(data) - 22
    start = struct.unpack_from("<L", data, end + 16)[0]
    tail = data[start:end] + data[end : end + 16] + struct.pack("<L", start + 100) + data[end + 20 :]
    path.write_bytes(data[:start] + b"#" * 100 + tail)


@case("entry")
def comment_of_the_archive(path):
    archive(path)
    with zipfile.ZipFile(path, "a") as file:
        file.comment = b"PK\5\6" + b"\0" * 18


@case("zip64")
def zip64_that_disagrees(path):
    archive(path)
    data = path.read_bytes()
    end = len(data) - 22
    _, _, _, here, entries, length, start, _ = struct.unpack_from("<4s4H2LH", data, end)
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, here - 1, entries - 1, length, start)
    path.write_bytes(data[:end] + record + struct.pack("<4sLQL", b"PK\6\7", 0, end, 1) + data[end:])


# The JSON.
configured("json_too_deep", "json", raw=b"[" * 100 + b"]" * 100)
configured("json_far_too_deep", "json", raw=b'{"a":' * 500_000)
configured("json_too_large", "json", raw=b"[" + b"1," * 4_500_000 + b"1]")
configured("json_duplicate_keys", "json", raw=b'{"class_name": "Sequential", "class_name": "Lambda", "config": {}}')
configured("json_nan", "json", raw=b'{"class_name": "Sequential", "config": {"a": NaN}}')
configured("json_infinity", "json", raw=b'{"class_name": "Sequential", "config": {"a": -Infinity}}')
configured("json_overflow", "json", raw=b'{"class_name": "Sequential", "config": {"a": 1e999}}')
configured("json_long_number", "json", raw=b'{"class_name": "Sequential", "config": {"a": ' + b"9" * 100_000 + b"}}")
configured("units_of_two_billion", "absurd_number", layer(units=2_000_000_000))
configured("units_beyond_the_weights", "absurd_number", layer(units=50_000_000))
configured("embedding_beyond_the_weights", "absurd_number", layer("Embedding", input_dim=100_000, output_dim=1000))
configured("absurd_shape", "absurd_number", layer("Reshape", target_shape=[100_000, 100_000, 100]))
configured("absurd_padding", "absurd_number", layer("ZeroPadding2D", padding=[[0, 999_999_999], [0, 0]]))
configured("absurd_input", "absurd_number", build_config={"input_shape": [None, 9_000_000_000]})

# Much of what is legal, so that only a limit ends it.
configured("numbers_without_end", "code", layer("Lambda"), layer("Normalization", mean=[1] * 1_000_000))
configured("unknown_without_end", "unknown_object", *[layer("A", "b")] * 20_000)

# Code, files and addresses in the configuration.
configured("lambda_layer", "code", layer("Lambda", function={"class_name": "__lambda__", "config": {"value": "4wE="}}))
configured("lambda_value", "code", layer(activation={"class_name": "__lambda__", "config": {"value": "4wEAAAA="}}))
configured("lambda_registered", "code", layer("Dense", "keras.layers", "Lambda"))
configured("lambda_in_a_wrapper", "code", layer("TimeDistributed", layer=layer("Lambda", function="f")))
configured("tfsm_layer", "code", layer("TFSMLayer", filepath="/tmp/model"))
configured("torch_module", "code", layer("TorchModuleWrapper", module="gASVIAAAAA=="))
configured("jax_layer", "code", layer("JaxLayer", call_fn="f"))
configured("flax_layer", "code", layer("FlaxLayer", module="m"))
configured("type_spec", "code", layer("Dense", spec={"class_name": "__typespec__", "module": "os", "config": []}))
configured("vocabulary_path", "vocabulary_path", layer("StringLookup", vocabulary="/etc/passwd"))
configured("text_vocabulary_path", "vocabulary_path", layer("TextVectorization", vocabulary="vocabulary.txt"))
configured("integer_vocabulary_path", "vocabulary_path", layer("IntegerLookup", vocabulary="../secret"))
configured("vocabulary_address", "address", layer("StringLookup", vocabulary=["http://198.51.100.7/x"]))
configured("file_address", "address", layer("Dense", units=2, note="file:///etc/passwd"))
configured("system_call", "unknown_object", layer("system", "os", command="true"))
configured("python_class", "unknown_object", layer("Popen", "subprocess", args=["true"]))
configured("get_file", "unknown_object", layer("get_file", "keras.utils", origin="x"))
configured("get_file_as_an_optimizer", "unknown_object", layer("get_file", "keras.utils", "Custom>Adam", origin="x"))
configured("function_of_keras_utils", "unknown_object",
           layer(activation={"class_name": "function", "module": "keras.utils", "config": "get_file"}))  # fmt: skip
configured("function_of_python", "unknown_object",
           layer(activation={"class_name": "function", "module": "builtins", "config": "eval"}))  # fmt: skip
_TWO_NAMES = {"class_name": "function", "module": "builtins", "config": "relu", "registered_name": "eval"}
configured("function_under_two_names", "unknown_object", layer(activation=_TWO_NAMES))
configured("unknown_activation", "unknown_object", layer(units=2, activation="os.system"))
configured("custom_class", "unknown_object", layer("Mine", "mine.layers", "Mine>Mine"))
configured("foreign_module_as_ours", "unknown_object", layer("system", "os", "kerastricks>Maxout"))
configured("foreign_module_as_addons", "unknown_object", layer("system", "os", "Addons>Maxout"))
configured("unknown_name_of_ours", "unknown_object", layer("Evil", "kerastricks.layers", "kerastricks>Evil"))
configured("relative_of_keras", "unknown_object", layer("Dense", "kerasx.layers"))
configured("loss_with_code", "code", compile_config={"loss": {"class_name": "__lambda__", "config": {"value": "4wE="}}})
configured("no_configuration", "malformed", raw=b"[]")
configured("class_name_is_no_text", "malformed", {"class_name": ["Lambda"], "config": {}})
old_configured("old_lambda", "code", "Lambda", function=["4wEAAAA=", None, None], function_type="lambda")
old_configured("old_tensor_function", "code", "TFOpLambda", function="io.read_file")
old_configured("old_python_function", "code", "TFOpLambda", function="py_function")
old_configured("old_graph_node", "code", "TensorFlowOpLayer", node_def="op: ReadFile")
old_configured("old_custom_class", "unknown_object", "MyLayer")


@case("json", suffix=".h5")
def old_json_too_deep(path):
    old(path, raw="[" * 100 + "]" * 100)
