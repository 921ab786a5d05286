"""Pictures as data URIs."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from kerastricks.charts.thumbnails import SIDE_PX, thumbnail

pytestmark = pytest.mark.tensorflow_only


def opened(uri):
    head, _, data = uri.partition(",")
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert head == f"data:image/{picture.format.lower()};base64"
    return picture


def test_small_images_keep_their_pixels():
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 1))
    shown = np.asarray(opened(thumbnail(image)))
    assert shown.shape == (SIDE_PX, SIDE_PX, 3)
    assert (shown[8::16, 8::16] == image).all()


@pytest.mark.parametrize("shape", [(300, 600, 3), (600, 300, 3), (2, 1000, 1)])
def test_large_images_are_small_files_of_their_proportions(shape):
    uri = thumbnail(np.random.default_rng(0).uniform(0, 255, shape))
    width, height = opened(uri).size
    assert max(width, height) == SIDE_PX
    assert (width > height) == (shape[1] > shape[0])
    assert len(uri) < 25_000


def test_a_map_colours_the_places_where_it_is_high():
    heat = np.zeros((4, 4))
    heat[:2] = 1
    shown = np.asarray(opened(thumbnail(np.full((8, 8, 3), 128), heat)), int)
    colour = np.ptp(shown, axis=2)
    assert colour[:32].mean() > 50
    assert colour[-16:].mean() < 10
