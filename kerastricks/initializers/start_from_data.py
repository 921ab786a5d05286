"""The starts that need images, all at once."""

from dataclasses import dataclass
from typing import Any

import keras

from kerastricks.initializers.data_driven import check_model, take_images
from kerastricks.initializers.lsuv_initializer import LSUV
from kerastricks.initializers.lsuv_kernels import STARTS, is_marked, kernels_of
from kerastricks.initializers.lsuv_pass import LSUVPass, named_layers
from kerastricks.initializers.lsuv_report import LSUVReport, LSUVRow
from kerastricks.initializers.patch_whitening import whiten_patches


@dataclass(frozen=True)
class DataStart:
    """What `start_from_data` did; false if nothing, and as text a line or a table.

    Args:
        whitened: whether a convolution was set to whiten patches.
        lsuv: the report on the layers that were marked `LSUV`; None without such.
    """

    whitened: bool
    lsuv: LSUVReport | None

    def __bool__(self) -> bool:
        return self.whitened or self.lsuv is not None

    def __str__(self) -> str:
        parts = ["the first convolution whitens patches"] if self.whitened else []
        parts += [str(self.lsuv)] if self.lsuv else []
        return "\n".join(parts) or "no layer starts from data"


def start_from_data(model: keras.Model, images: Any) -> DataStart:
    """Sets the kernels whose initializer asks for data: `PatchWhitening` first, then those marked `LSUV`.

    A model with neither is left as it is, and calling it again changes nothing: the marks are replaced by
    initializers of Keras's own, so that the saved model loads without kerastricks. LSUV's own seeds hold.

    Args:
        model: a functional or sequential model, built; changed in place.
        images: (N, height, width, C) as the model takes them. `PatchWhitening` sees all of them, a few thousand are
            plenty; LSUV 256, evenly spread.

    Returns:
        A `DataStart`: whether patches were whitened, and LSUV's report.

    Raises:
        UsageError: a ValueError, for a model with marked layers that `lsuv` would not take, or that asks for
            `PatchWhitening` elsewhere than in one convolution of its own.
        DataError: a ValueError, for images that are not finite or do not fit the model.

    Example:
        >>> import kerastricks, numpy
        >>> start = kerastricks.initializers.LSUV()
        >>> model = kerastricks.models.create("plain_cnn(widths=(8,))", (8, 8, 1), 2, initializer=start)
        >>> images = numpy.random.default_rng(0).uniform(0, 255, (64, 8, 8, 1)).astype("float32")
        >>> done = kerastricks.initializers.start_from_data(model, images)
        >>> done.whitened, done.lsuv.converged
        (True, True)
    """
    whitened = whiten_patches(model, images)
    layers = dict(named_layers(model))
    wrappers = {name: layer for name, layer in layers.items() if isinstance(layer, keras.layers.Wrapper)}
    inside = {f"{name}/{wrapper.layer.name}": wrapper.layer for name, wrapper in wrappers.items()}
    report = None
    if any(is_marked(kernel) for layer in [*layers.values(), *inside.values()] for kernel in kernels_of(layer)):
        check_model(model)
        seen = take_images(images, model.inputs[0].shape, max_images=256)
        one_pass = LSUVPass(tolerance=0.1, max_rounds=10, orthonormal=True, seed=None)
        one_pass.run(model, seen, is_marked)
        wrapped = [
            (name, kernel) for name, layer in inside.items() for kernel in kernels_of(layer) if is_marked(kernel)
        ]
        rows = one_pass.rows + [LSUVRow(name, kernel.kind, note="inside a wrapper") for name, kernel in wrapped]
        report = LSUVReport(tuple(rows), len(seen), one_pass.tolerance, one_pass.max_rounds)
    for layer in [*layers.values(), *inside.values()]:
        for name in STARTS:
            if isinstance(getattr(layer, name, None), LSUV):
                setattr(layer, name, keras.initializers.Orthogonal())
    return DataStart(whitened, report)
