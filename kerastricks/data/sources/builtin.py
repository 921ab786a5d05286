"""Built-in data sets: digits of scikit-learn, MNIST's file format, and keras.datasets where there is a network."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from kerastricks.data.sources.names import BUILTIN_NAMES
from kerastricks.data.sources.source import Arrays, Source, arrays
from kerastricks.errors import DataError
from kerastricks.registry import Registry

FASHION_MNIST_CLASSES = (
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
DIGIT_CLASSES = tuple("0123456789")

BUILTIN = Registry("data set", {name: f"{__name__}:{name}" for name in BUILTIN_NAMES})


def digits() -> Source:
    """1,797 grey 8x8 digits of UCI's optical recognition set, shipped in scikit-learn, scaled to 0-255."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images = np.round(found.images * (255 / 16)).astype(np.uint8)
    return Source("digits", DIGIT_CLASSES, {"train": arrays(images, found.target, "digits")})


def mnist() -> Source:
    """70,000 grey 28x28 digits, from keras.datasets."""
    return _keras_dataset("mnist", DIGIT_CLASSES)


def fashion_mnist() -> Source:
    """70,000 grey 28x28 clothes; from Debian's package dataset-fashion-mnist if installed, else keras.datasets."""
    packaged = Path("/usr/share/datasets/fashion-mnist")
    if packaged.is_dir():
        return idx_source(packaged)
    return _keras_dataset("fashion_mnist", FASHION_MNIST_CLASSES)


def cifar10() -> Source:
    """60,000 colour 32x32 images in ten classes, from keras.datasets."""
    return _keras_dataset("cifar10", CIFAR10_CLASSES)


def cifar100() -> Source:
    """60,000 colour 32x32 images in a hundred classes, from keras.datasets."""
    return _keras_dataset("cifar100", tuple(f"class_{i:02d}" for i in range(100)))


def _keras_dataset(name: str, class_names: tuple[str, ...]) -> Source:
    import keras

    try:
        train, test = getattr(keras.datasets, name).load_data()
    except Exception as error:  # urllib's, ssl's and Keras's own have no common base
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{name} could not be downloaded ({reason}): get the images another way and give their folder or "
            f"zip: kerastricks train PATH"
        ) from None
    return Source(
        name, class_names, {"train": arrays(train[0], train[1], name), "test": arrays(test[0], test[1], name)}
    )


def is_idx_folder(path: Path) -> bool:
    """Whether a folder holds MNIST's four files."""
    return bool(list(path.glob("train-images*idx3*")))


def idx_source(path: Path) -> Source:
    """Read MNIST's file format: train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-..., plain or .gz.

    Raises:
        DataError: for a file that is missing or is not what its header says.
    """
    splits: dict[str, Arrays] = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images = _read_idx(path, f"{prefix}-images*idx3*", 3)
        labels = _read_idx(path, f"{prefix}-labels*idx1*", 1)
        splits[split] = arrays(images, labels, f"{path} ({split})")
    classes = int(splits["train"].labels.max()) + 1
    names = FASHION_MNIST_CLASSES if "fashion" in str(path).lower() and classes == 10 else DIGIT_CLASSES
    if classes != len(names):
        names = tuple(str(i) for i in range(classes))
    return Source(path.name, names, splits)


def _read_idx(folder: Path, pattern: str, dimensions: int) -> np.ndarray:
    found = sorted(folder.glob(pattern))
    if not found:
        raise DataError(f"{folder}: no file {pattern}: the four IDX files belong together")
    path = found[0]
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        zero, kind, found_dimensions = struct.unpack(">HBB", raw[:4])
        shape = struct.unpack(f">{dimensions}I", raw[4 : 4 + 4 * dimensions])
    except (OSError, EOFError, struct.error, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}): download it again") from None
    values = np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions)
    if (zero, kind, found_dimensions) != (0, 8, dimensions) or len(values) != int(np.prod(shape)):
        raise DataError(f"{path}: is no IDX file of {dimensions} dimensions of bytes, or is cut off: download it again")
    return values.reshape(shape) if dimensions == 3 else values.astype(np.int32)
