"""Pickles in files of PyTorch: nothing of them is run."""

import struct

import numpy as np
import pytest
from torch_bytes import (
    MAGIC,
    ORDERED,
    VERSION,
    integer,
    machine,
    name,
    numbers,
    old,
    read,
    refusal,
    state,
    storage,
    tensor,
    text,
    zip_file,
)

tensorflow_only = pytest.mark.tensorflow_only


# What is called for, and the word that the refusal has to hold.
EVIL = {
    "os.system": name("os", "system") + text("touch {mark}") + b"\x85R",
    "posix.system": name("posix", "system") + text("touch {mark}") + b"\x85R",
    "builtins.eval": name("builtins", "eval") + text("open('{mark}', 'w')") + b"\x85R",
    "builtins.getattr": name("builtins", "getattr") + b")R",
    "torch.load": name("torch", "load") + b")R",
    "torch.FloatStorage.__class__": name("torch", "FloatStorage.__class__") + b")R",
    "numpy.load": name("numpy", "load") + text("/etc/passwd") + b"\x85R",
    "collections.Counter": name("collections", "Counter") + b")R",
}
# Instructions of pickle that call, import or build otherwise: none is known.
FOREIGN = {
    "INST": b"(" + text("touch {mark}") + b"ios\nsystem\n",
    "OBJ": b"(" + name(*ORDERED) + b"o",
    "NEWOBJ": name(*ORDERED) + b")\x81",
    "NEWOBJ_EX": name(*ORDERED) + b")}\x92",
    "STACK_GLOBAL": text("os") + text("system") + b"\x93",
    "EXT1": b"\x82\x01",
    "EXT4": b"\x84\x01\x00\x00\x00",
    "PERSID": b"P0\n",
    "INT": b"I" + b"9" * 5000 + b"\n",
    "LONG": b"L" + b"9" * 5000 + b"L\n",
    "LONG4": b"\x8b\xff\xff\xff\x7f",
    "STRING": b"S'x'\n",
    "BINBYTES8": b"\x8e" + b"\xff" * 8,
    "BYTEARRAY8": b"\x96" + b"\xff" * 8,
    "FRAME": b"\x95" + b"\xff" * 8,
    "NEXT_BUFFER": b"\x97",
    "EMPTY_SET": b"\x8f",
    "MEMOIZE": b"\x94",
}


@tensorflow_only
@pytest.mark.parametrize("form", ["old", "zip"])
@pytest.mark.parametrize("called", EVIL)
def test_a_name_that_is_no_tensors_is_refused_and_not_run(tmp_path, called, form):
    mark = tmp_path / "mark"
    program = b"\x80\x02" + EVIL[called] + b"."
    raw = b"touch {mark}"
    program = program.replace(struct.pack("<I", len(raw)) + raw, text(f"touch {mark}")[1:])
    data = old(program) if form == "old" else zip_file(program, {})
    assert repr(called) in refusal(tmp_path, data)
    assert not mark.exists()


@tensorflow_only
@pytest.mark.parametrize("instruction", FOREIGN)
def test_other_instructions_are_refused(tmp_path, instruction):
    assert "the pickle instruction" in refusal(tmp_path, old(b"\x80\x02" + FOREIGN[instruction] + b"."))


@tensorflow_only
@pytest.mark.parametrize("place", range(5))
def test_every_part_of_an_old_file_is_read_so(tmp_path, place):
    parts = [MAGIC, VERSION, machine(), state({"t": tensor("0", 6, (6,))}), b"\x80\x02](" + text("0") + b"e."]
    parts[place] = b"\x80\x02" + EVIL["os.system"] + b"."
    message = refusal(tmp_path, b"".join(parts) + struct.pack("<q", 6) + numbers(6).tobytes())
    assert ("is no PyTorch file" if place == 0 else "'os.system'") in message


T = name("torch._utils", "_rebuild_tensor_v2")
D = name(*ORDERED)
FLOATS = name("torch", "FloatStorage")
WRONG_CALLS = {
    "a dictionary with arguments": D + text("x") + b"\x85R",
    "a call of what is no name": b"K\x01)R",
    "a call of a tensor": tensor("0", 6, (6,)) + b")R",
    "a call of a storage's type": name("torch", "FloatStorage") + b")R",
    "a call with a list": D + b"]R",
    "a tensor of nothing": T + b")R",
    "a tensor of no storage": T + b"(K\x00K\x00))\x89}tR",
    "a storage's type as storage": T + b"(" + name("torch", "FloatStorage") + b"K\x00))\x89}tR",
    "a parameter of no tensor": name("torch._utils", "_rebuild_parameter") + b"(K\x01\x88}tR",
    "attributes of a name": D + b"}b",
    "attributes of a tensor": tensor("0", 6, (6,)) + b"}b",
    "attributes of a number": b"K\x01}b",
    "another shape of a tensor": tensor("0", 6, (6,)) + b"N}" + text("shape") + integer(1000) + b"\x85s\x86b",
    "another function of a name": D + b"N}" + text("function") + T + b"s\x86b",
    "another class of a name": D + b"N}" + text("__class__") + FLOATS + b"s\x86b",
    "an entry of a tensor": tensor("0", 6, (6,)) + text("x") + b"K\x01s",
    "an entry of a name": D + text("__module__") + text("os") + b"s",
    "an entry of a tuple": b")" + text("x") + b"K\x01s",
    "a name as key": b"}" + D + b"K\x01s",
    "a tuple as key": b"})K\x01s",
    "an odd number of entries": b"}(" + text("x") + b"u",
    "a list's value in a dictionary": b"}K\x01a",
    "pop of nothing": b"R",
    "pop beyond the mark": b"K\x01K\x01(\x86",
    "a mark that is not there": b"t",
    "a memory that is not there": b"h\x07",
    "no value": b"",
    "an endless name": b"c" + b"a" * 300,
    "a string that is not UTF-8": b"X\x02\x00\x00\x00\xff\xfe",
    "half a surrogate pair": b"X\x03\x00\x00\x00\xed\xa0\x80",
    "protocol 5": b"\x80\x05N",
}


@tensorflow_only
@pytest.mark.parametrize("wrong", WRONG_CALLS)
def test_known_names_are_not_used_otherwise(tmp_path, wrong):
    assert "pickle" in refusal(tmp_path, old(b"\x80\x02" + WRONG_CALLS[wrong] + b"."))


@tensorflow_only
@pytest.mark.parametrize("left", [b"K\x01", b"(K\x01"])
def test_what_a_pickle_leaves_on_the_stack_is_not_used(tmp_path, left):
    program = b"\x80\x02" + left + state({"t": tensor("0", 6, (6,))})[2:]
    np.testing.assert_array_equal(read(tmp_path, old(program))["t"], numbers(6))


REFERENCES = {
    "a number": b"K\x00Q",
    "a string": text("0") + b"Q",
    "nothing": b")Q",
    "a list": b"]Q",
    "too many": b"(" + b"K\x00" * 9 + b"tQ",
    "another kind": b"(" + text("module") + FLOATS + text("0") + text("cpu") + b"K\x06NtQ",
    "a type by its name": b"(" + text("storage") + text("FloatStorage") + text("0") + text("cpu") + b"K\x06NtQ",
    "a key that is a number": b"(" + text("storage") + FLOATS + b"K\x00" + text("cpu") + b"K\x06NtQ",
    "a size that is a truth": b"(" + text("storage") + FLOATS + text("0") + text("cpu") + b"\x88NtQ",
    "a size below zero": b"(" + text("storage") + FLOATS + text("0") + text("cpu") + integer(-6) + b"NtQ",
    "a view of another": b"(" + text("storage") + FLOATS + text("0") + text("cpu") + b"K\x06)tQ",
    "two sizes": storage("0", 6) + b"0" * 0 + b"(" + storage("0", 5) + b"t\x86",
    "two types": b"(" + storage("0", 6) + storage("0", 6, "IntStorage") + b"t",
    "a type there is none of": storage("0", 6, "QInt8Storage"),
}


@tensorflow_only
@pytest.mark.parametrize("wrong", REFERENCES)
def test_references_out_of_the_pickle_are_storages_or_refused(tmp_path, wrong):
    message = refusal(tmp_path, old(b"\x80\x02" + REFERENCES[wrong] + b"."))
    assert "storage" in message or "QInt8Storage" in message
