"""SpatialPyramidPooling: the cells of He et al. 2014, on every backend."""

import keras
import numpy as np
import pytest

from kerastricks.layers import SpatialPyramidPooling


def pooled(maps, levels):
    """Cells from floor(i a / n) to ceil((i + 1) a / n), one after the other."""
    height, width = maps.shape[1:3]
    features = []
    for level in levels:
        for i in range(level):
            for j in range(level):
                rows = slice(i * height // level, -(-(i + 1) * height // level))
                columns = slice(j * width // level, -(-(j + 1) * width // level))
                features.append(maps[:, rows, columns].max(axis=(1, 2)))
    return np.concatenate(features, axis=1)


@pytest.mark.parametrize("size", [(7, 7), (14, 14), (19, 19), (13, 9), (6, 14), (2, 3), (1, 1)])
def test_cells_are_those_of_the_paper(size):
    maps = np.random.default_rng(0).normal(size=(2, *size, 3)).astype("float32")
    found = keras.ops.convert_to_numpy(SpatialPyramidPooling((7, 3, 2, 1))(maps))
    np.testing.assert_allclose(found, pooled(maps, (7, 3, 2, 1)), atol=1e-6)


def test_one_model_takes_images_of_any_size():
    inputs = keras.Input((None, None, 2))
    model = keras.Model(inputs, SpatialPyramidPooling((3, 1))(inputs))
    assert model.output_shape == (None, 20)
    for size in ((9, 9), (10, 7)):
        maps = np.random.default_rng(0).normal(size=(2, *size, 2)).astype("float32")
        np.testing.assert_allclose(model.predict_on_batch(maps), pooled(maps, (3, 1)), atol=1e-6)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("levels", [(), (0,), (2.0,), (True,)])
def test_levels_are_whole_numbers(levels):
    with pytest.raises(ValueError, match="levels must be 1 or more whole numbers"):
        SpatialPyramidPooling(levels)


@pytest.mark.tensorflow_only
def test_needs_maps():
    with pytest.raises(ValueError, match=r"needs maps .* Received: shape \(None, 4\)"):
        SpatialPyramidPooling().build((None, 4))
