"""Images that sources at remote addresses are tried with, and what makes their faults pass quickly."""

import shutil

import numpy as np
from conftest import write_image

from kerastricks import data, remote

NAMES = ("pets", "pets.zip", "list.csv", "packed", "tars")


def write_images(root):
    """Two classes of eight images, names with spaces and accents; a table, a zip and a packed folder of them."""
    rows = ["file,label,weight,group"]
    for label, name in enumerate(("big cat", "dog")):
        for number in range(8):
            file = write_image(root / "pets" / name / f"é {number}%.png", (60 + 90 * label, 90, 90), (6, 6), number)
            rows.append(f"pets/{name}/{file.name},{name},{1 + number % 2},{name}{number // 2}")
    (root / "list.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    shutil.make_archive(str(root / "pets"), "zip", root / "pets")
    data.pack(root / "pets", root / "packed", shard_mb=0.002)
    data.pack(root / "pets", root / "tars", format="webdataset", shard_mb=0.002)
    return root


def load_all(folder):
    """The local sources, by name."""
    return {name: data.load(folder / name, batch_size=4) for name in NAMES}


def give_up_quickly(monkeypatch, tmp_path):
    """Short pauses between attempts, and a cache of its own."""
    monkeypatch.setenv("KERASTRICKS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "DELAYS", (0.01, 0.01, 0.01))
    monkeypatch.setattr(remote, "TIMEOUT_SECONDS", 5.0)


def same(one, other):
    assert one.fingerprint == other.fingerprint
    assert (one.name, one.class_names) == (other.name, other.class_names)
    for split in ("train", "validation", "test"):
        assert one.files(split) == other.files(split)
        batches = [data.train_from(0).take(3) if split == "train" else getattr(data, split) for data in (one, other)]
        for pair in zip(*batches, strict=True):
            assert len(pair[0]) == len(pair[1])
            assert all(np.array_equal(a, b) for a, b in zip(*pair, strict=True))
