"""The reader of PyTorch's files: what is right in, and nothing else."""

import io
import random
import resource
import struct
import zipfile

import keras
import numpy as np
import pytest
from torch_bytes import (
    ORDERED,
    dump,
    integer,
    machine,
    name,
    numbers,
    old,
    old_file,
    read,
    refusal,
    sizes,
    state,
    storage,
    tensor,
    text,
    zip_file,
)

from kerastricks.errors import WeightsError
from kerastricks.weights import read_torch_file

tensorflow_only = pytest.mark.tensorflow_only
D = name(*ORDERED)


@tensorflow_only
@pytest.mark.parametrize("form", ["old", "zip"])
def test_tensors_come_back_with_their_numbers(tmp_path, form):
    arrays = {
        "a.weight": numbers(24).reshape(2, 3, 4),
        "b": numbers(5, "<f8"),
        "half": numbers(3, "<f2"),
        "steps": np.array(7, "<i8"),
        "bytes": numbers(4, "|u1"),
        "none": np.zeros((0, 3), "<f4"),
    }
    found = read(tmp_path, dump(arrays, form))
    assert list(found) == list(arrays)
    for key, array in arrays.items():
        np.testing.assert_array_equal(found[key], array, strict=True)
        assert not found[key].flags.writeable


@tensorflow_only
def test_a_tensor_is_a_view_with_offset_and_strides(tmp_path):
    found = read(tmp_path, old(state({"t": tensor("0", 6, (2, 2), (1, 2), 1)})))
    np.testing.assert_array_equal(found["t"], [[1, 3], [2, 4]])


@tensorflow_only
def test_bfloat16_becomes_float32(tmp_path):
    halves = np.array([0x3F80, 0xC000, 0x3E80], "<u2")  # 1, -2, 0.25
    found = read(tmp_path, old_file(state({"t": tensor("0", 3, (3,), kind="BFloat16Storage")}), {"0": halves}))
    np.testing.assert_array_equal(found["t"], np.array([1, -2, 0.25], "float32"), strict=True)


@tensorflow_only
def test_a_checkpoint_gives_its_state_dict_and_a_parameter_its_tensor(tmp_path):
    parameter = name("torch._utils", "_rebuild_parameter") + b"(" + tensor("0", 6, (6,)) + b"\x88" + b"}" + b"tR"
    inner = state({"w": parameter})[2:-1]
    found = read(tmp_path, old(b"\x80\x02}" + text("epoch") + b"K\x05s" + text("state_dict") + inner + b"s."))
    np.testing.assert_array_equal(found["w"], numbers(6))


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="torch is imported before TensorFlow there alone")
@pytest.mark.parametrize("zipped", [False, True])
def test_what_torch_saves_is_read(tmp_path, zipped):
    import torch

    torch.manual_seed(0)
    base = torch.randn(4, 6)
    tensors = {
        "base": base,
        "row": base[1],
        "turned": base.t(),
        "half": base.half(),
        "brain": base.bfloat16(),
        "wide": base.double(),
        "mask": base > 0,
        "count": torch.tensor(3),
        "parameter": torch.nn.Parameter(base * 2),
    }
    path = tmp_path / "x.pth"
    torch.save(tensors, path, _use_new_zipfile_serialization=zipped)
    found = read_torch_file(path)
    for key, expected in tensors.items():
        expected = expected.detach()
        expected = expected.float() if expected.dtype == torch.bfloat16 else expected
        np.testing.assert_array_equal(found[key], expected.numpy(), strict=True)
    torch.save(torch.nn.Sequential(torch.nn.Linear(3, 2)).state_dict(), path, _use_new_zipfile_serialization=zipped)
    assert {key: value.shape for key, value in read_torch_file(path).items()} == {"0.weight": (2, 3), "0.bias": (2,)}


@tensorflow_only
@pytest.mark.parametrize(
    ("size", "shape", "strides", "offset"),
    [
        (6, (7,), None, 0),
        (6, (6,), None, 1),
        (6, (2, 3), (3, 2), 0),
        (6, (0,), (1,), 7),
        (6, (), (), 6),
        (6, (1000,), (0,), 0),  # the one that would become large
        (6, (2**40, 2**40), (0, 0), 0),
        (6, (2,), (2**61,), 0),
        (6, (3,), (-1,), 5),
        (6, (-1,), (1,), 0),
        (6, (2,), (1, 1), 0),
        (6, (1,) * 9, (1,) * 9, 0),
        (6, (6,), (1,), 2**70),
    ],
)
def test_a_tensor_stays_inside_its_storage(tmp_path, size, shape, strides, offset):
    program = tensor("0", size, (1,)).replace(sizes((1,)) * 2, b"")  # rebuilt below, with any numbers
    start = program.index(b"tQ") + 2
    strides = strides if strides is not None else tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
    program = program[:start] + integer(offset) + sizes(shape) + sizes(strides) + b"\x89" + D + b")RtR"
    assert "a tensor" in refusal(tmp_path, old(state({"t": program})))


@tensorflow_only
@pytest.mark.parametrize("declared", [5, 7, 2**40, 2**61])
@pytest.mark.parametrize("form", ["old", "zip"])
def test_a_storage_has_the_size_it_says(tmp_path, form, declared):
    last = b"N" if form == "old" else b""
    data = (old_file if form == "old" else zip_file)(
        state({"t": tensor("0", declared, (1,), last=last)}), {"0": numbers(6)}
    )
    assert "storage" in refusal(tmp_path, data)


@tensorflow_only
def test_a_size_beyond_the_file_is_not_allocated(tmp_path):
    data = old_file(state({"t": tensor("0", 2**60, (1,))}), {"0": numbers(6)})
    data = data.replace(struct.pack("<q", 6), struct.pack("<q", 2**60))
    assert "ends after" in refusal(tmp_path, data)


@tensorflow_only
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order": ["1"]}, "the list of its storages"),
        ({"order": []}, "the list of its storages"),
        ({"order": ["0", "0"]}, "the list of its storages"),
        ({"machine_program": machine(little_endian=False)}, "byte order"),
        ({"machine_program": b"\x80\x02}."}, "byte order"),
        ({"machine_program": b"\x80\x02K\x01."}, "byte order"),
        ({"end": b"x"}, "1 bytes follow the last storage"),
    ],
)
def test_an_old_file_that_contradicts_itself(tmp_path, change, message):
    data = old_file(state({"t": tensor("0", 6, (6,))}), {"0": numbers(6)}, **change)
    assert message in refusal(tmp_path, data)


@tensorflow_only
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"K\x01", "no dictionary"),
        (b"}", "no dictionary"),
        (b"]", "no dictionary"),
        (tensor("0", 6, (6,)), "no dictionary"),
        (b"}" + text("epoch") + b"K\x05s", "'epoch' is no tensor"),
        (b"}K\x01" + tensor("0", 6, (6,)) + b"s", "'1' is no tensor"),
        (b"}" + text("storage") + storage("0", 6) + b"s", "'storage' is no tensor"),
    ],
)
def test_what_is_no_dictionary_of_tensors(tmp_path, content, message):
    storages = {"0": numbers(6)} if b"storage" in content else {}
    assert message in refusal(tmp_path, old_file(b"\x80\x02" + content + b".", storages))


@tensorflow_only
def test_a_zip_that_is_no_file_of_pytorchs(tmp_path):
    program, storages = state({"t": tensor("0", 6, (6,), last=b"")}), {"0": numbers(6)}
    good = zip_file(program, storages)
    assert "compressed" in refusal(tmp_path, zip_file(program, {"0": numbers(6)}, compression=zipfile.ZIP_DEFLATED))
    assert "byte order" in refusal(tmp_path, zip_file(program, storages, byteorder=b"big"))
    assert "bytes follow its pickle" in refusal(tmp_path, zip_file(program + b"x", storages))
    assert "missing" in refusal(tmp_path, zip_file(program, {"1": numbers(6)}))
    assert "another size" in refusal(tmp_path, zip_file(program, {"0": numbers(7)}))
    assert "the file is damaged" in refusal(tmp_path, good + b"x")
    assert "not one data.pkl" in refusal(
        tmp_path, zip_file(program, storages, root="x/data.pkl/y").replace(b"data.pkl", b"data.txt")
    )
    file = io.BytesIO(good)
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("archive/data/0", numbers(6).tobytes())
    assert "not one data.pkl" in refusal(tmp_path, file.getvalue())
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", program)
        archive.writestr("b/data.pkl", program)
    assert "not one data.pkl" in refusal(tmp_path, file.getvalue())


@tensorflow_only
@pytest.mark.parametrize("form", ["old", "zip"])
def test_a_file_cut_anywhere_or_changed_anywhere_is_one_line(tmp_path, form):
    data = dump({"a": numbers(6), "b.weight": numbers(8, "<f8").reshape(2, 4)}, form)
    path = tmp_path / "file.pth"
    for end in range(len(data)):
        assert "file.pth" in refusal(tmp_path, data[:end])
    draws = random.Random(0)
    values = [0, 1, ord("("), ord("."), ord("R"), ord("c"), 127, 255]
    for _ in range(3000):
        changed = bytearray(data)
        for _ in range(draws.choice([1, 1, 2, 8])):
            changed[draws.randrange(len(changed))] = draws.choice([*values, draws.randrange(256)])
        path.write_bytes(changed)
        try:
            found = read_torch_file(path)
        except WeightsError as error:
            refused = str(error)
        else:
            refused = ""
            assert sum(array.nbytes for array in found.values()) <= 2 * len(data)
        assert "\n" not in refused


@tensorflow_only
def test_a_bomb_is_refused_before_it_grows(tmp_path):
    deep = b"\x80\x02)" + b"\x85" * 900_000 + b"."  # a tuple in a tuple in a tuple
    assert "no dictionary" in refusal(tmp_path, old_file(deep, {}))
    many = b"\x80\x02(" + b"}" * 2_000_000 + b"t."
    assert "instructions" in refusal(tmp_path, old(many))
    doubled = b"\x80\x02)q\x00" + b"h\x00\x86q\x00" * 100  # each one twice in the next
    assert "no dictionary" in refusal(tmp_path, old_file(doubled + b".", {}))
    for key in (doubled, deep[:-1]):  # neither is hashed
        for made in (b"}", D + b")R"):
            for set_item in (b"s", b"u"):
                end = made + (b"(" if set_item == b"u" else b"") + key[2:] + b"N" + set_item + b"."
                assert "a dictionary's key" in refusal(tmp_path, old(b"\x80\x02" + end))
        assert "no storage" in refusal(tmp_path, old(key + b"Q."))
        assert "positional argument" in refusal(tmp_path, old(b"\x80\x02" + D + key[2:] + b"\x85R."))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "memo index" in refusal(tmp_path, old(b"\x80\x02Nr\xff\xff\xff\xff."))  # a memory of 2^32 places
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


@tensorflow_only
def test_a_dictionary_that_holds_itself_is_no_dictionary_of_tensors(tmp_path):
    assert "is no tensor" in refusal(tmp_path, old_file(b"\x80\x02}q\x00" + text("a") + b"h\x00s.", {}))


@tensorflow_only
@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"hello", b"\x80\x02", b"\x89HDF\r\n\x1a\n", b"\x80\x04K\x01."])
def test_other_files(tmp_path, data):
    assert "file.pth" in refusal(tmp_path, data)


@tensorflow_only
def test_a_path_that_is_no_file(tmp_path):
    for path in (tmp_path / "nowhere.pth", tmp_path):
        with pytest.raises(WeightsError, match="is no file"):
            read_torch_file(path)
