"""Hostile HDF5 files and folders of SavedModels."""

import json
import os

import h5py
import numpy as np
from hostile import archive, case, old, old_config, weights


def hdf5(name, code, change):
    """A case whose weights differ."""

    def build(path):
        archive(path, data=weights(change))

    build.__name__ = name
    case(code)(build)


# The HDF5 file.
TRAP = "/proc/self/kerastricks_trap"


def _cycle(file):
    file["layers/dense/again"] = file["layers"]


def _external_values(file):
    file.create_dataset("a", (10,), "f4", external=[(TRAP, 0, 40)])


def _virtual(file):
    layout = h5py.VirtualLayout((10,), "f4")
    layout[:] = h5py.VirtualSource(TRAP, "a", (10,))
    file.create_virtual_dataset("a", layout)


def _declared(file):
    file.create_dataset("a", (4096, 1024, 1024), "f4")


def _declared_in_chunks(file):
    file.create_dataset("a", (4096, 1024, 1024), "f4", chunks=(1, 64, 64), fillvalue=1)


def _many_declared(file):
    for number in range(20):
        file.create_dataset(f"a{number}", (200_000,), "f4")


def _large_chunk(file):
    file.create_dataset("a", (1,), "f4", maxshape=(None,), chunks=(100_000_000,))


def _references(file):
    file.create_dataset("a", data=[file["layers"].ref], dtype=h5py.ref_dtype)


def _region(file):
    file["layers"].attrs["region"] = file["layers/dense/vars/0"].regionref[:1]


def _named_type(file):
    file["a"] = np.dtype("float32")


def _deep(file):
    for _ in range(3000):
        file = file.create_group("a")


def _user_link(file):
    file["soft"] = h5py.SoftLink("/layers/dense")


hdf5("soft_link", "link", _user_link)
hdf5("groups_without_end", "size", _deep)
hdf5("soft_link_to_nowhere", "link", lambda file: file.__setitem__("a", h5py.SoftLink("/nowhere")))
hdf5("external_link", "link", lambda file: file.__setitem__("a", h5py.ExternalLink(TRAP, "/a")))
hdf5("hard_link_cycle", "link", _cycle)
hdf5("shared_data_set", "link", lambda file: file.__setitem__("b", file["layers/dense/vars/0"]))
hdf5("external_values", "link", _external_values)
hdf5("virtual_data_set", "link", _virtual)
hdf5("declared_and_not_stored", "size", _declared)
hdf5("declared_in_chunks", "size", _declared_in_chunks)
hdf5("many_declared", "size", _many_declared)
hdf5("large_chunk", "size", _large_chunk)
hdf5("object_references", "dtype", _references)
hdf5("region_reference", "dtype", _region)
hdf5("compound_type", "dtype", lambda file: file.create_dataset("a", data=np.zeros(2, [("a", "f4"), ("b", "i4")])))
hdf5("complex_numbers", "dtype", lambda file: file.create_dataset("a", data=np.zeros(2, "complex64")))
hdf5("texts_as_data", "dtype", lambda file: file.create_dataset("a", data=["x", "y"], dtype=h5py.string_dtype()))
hdf5("ragged_data", "dtype", lambda file: file.create_dataset("a", (2,), dtype=h5py.vlen_dtype("f4")))
hdf5("named_type", "dtype", _named_type)
hdf5("compressed_data", "filter", lambda file: file.create_dataset("a", data=np.zeros(1000), compression="gzip"))
hdf5("other_filter", "filter", lambda file: file.create_dataset("a", data=np.zeros(1000), compression="lzf"))


@case("link", suffix=".h5")
def old_external_link(path):
    old(path, change=lambda file: file.__setitem__("model_weights/evil", h5py.ExternalLink(TRAP, "/a")))


# The folder of a SavedModel.


def message(number, content):
    """A field of a message of protocol buffers."""
    if isinstance(content, str):
        content = content.encode()
    size, length = len(content), b""
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def saved_model(folder, operation="MatMul", metadata=None, inside=False):
    (folder / "variables").mkdir(parents=True)
    node = message(1, "node") + message(2, operation)
    function = message(2, message(1, message(3, node)))
    graph = message(2, function if inside else message(1, node))
    signature = message(5, message(1, "serving_default") + message(2, b""))
    (folder / "saved_model.pb").write_bytes(b"\x08\x01" + message(2, graph + signature))
    if metadata is not None:
        node = message(3, "root") + message(4, "_tf_keras_model") + message(5, json.dumps(metadata))
        (folder / "keras_metadata.pb").write_bytes(message(1, node))


for _name, _operation in {
    "graph_writes_a_file": "WriteFile", "graph_reads_a_file": "ReadFile", "graph_calls_python": "EagerPyFunc"
}.items():  # fmt: skip

    def _build(path, operation=_operation):
        saved_model(path, operation, inside=operation != "WriteFile")

    _build.__name__ = _name
    case("operation", suffix="")(_build)


@case("code", suffix="")
def lambda_in_the_metadata(path):
    saved_model(path, metadata={**old_config("Lambda", function=["4wE="]), "keras_version": "2.15.0"})


@case("link", suffix="")
def link_in_the_folder(path):
    saved_model(path)
    os.symlink("/etc/passwd", path / "variables" / "variables.index")


@case("entry", suffix="")
def script_in_the_folder(path):
    saved_model(path)
    (path / "run.py").write_text("")
