"""The catalog's figures are those of the models, and those that were published."""

from math import prod

import keras
import numpy as np
import pytest

from kerastricks.models import CATALOG, create
from kerastricks.models.catalog import APPLICATIONS, MODELS, PREFIX
from kerastricks.models.summary import count_flops

pytestmark = pytest.mark.tensorflow_only


def built(name, side, classes):
    """Zeros are quicker than draws for hundreds of millions of weights."""
    return create(name, (side, side, 3), classes, initializer="zeros")


def parameters(model):
    return sum(prod(weight.shape) for weight in model.trainable_weights)


@pytest.mark.parametrize("name", CATALOG)
def test_catalog_counts_weights_and_multiply_adds(name):
    entry = CATALOG[name]
    model = built(name, entry.input_size, entry.classes)
    assert (parameters(model), count_flops(model)) == (entry.parameters, entry.flops)


@pytest.mark.parametrize(
    ("spec", "classes", "published"),
    [
        # PyTorch's model zoo, which counts trainable weights as here.
        ("resnet_18(variant='original')", 1000, 11_689_512),
        ("resnet_34(variant='original')", 1000, 21_797_672),
        ("resnet_50(variant='original')", 1000, 25_557_032),
        ("resnet_50(variant='b')", 1000, 25_557_032),
        ("vgg_11(dense=(4096, 4096))", 1000, 132_868_840),
        ("vgg_16(dense=(4096, 4096))", 1000, 138_365_992),
    ],
)
def test_weights_are_as_many_as_published(spec, classes, published):
    assert parameters(built(spec, 224, classes)) == published


@pytest.mark.parametrize(
    ("spec", "billions"),
    [  # Bag of Tricks, table 5; VGG's 16 layers as PyTorch's documentation has them; model B of He et al., table 3
        ("resnet_50(variant='original')", 3.8),
        ("resnet_50(variant='b')", 4.1),
        ("resnet_50(variant='c')", 4.3),
        ("resnet_50(variant='d')", 4.3),
        ("vgg_16(dense=(4096, 4096))", 15.5),
        ("plain_22", 23.2),
    ],
)
def test_multiply_adds_are_as_many_as_published(spec, billions):
    assert count_flops(built(spec, 224, 1000)) / 1e9 == pytest.approx(billions, abs=0.06)


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("resnet_20", 0.27),
        ("resnet_32", 0.46),
        ("resnet_56", 0.85),
        ("resnet_110", 1.7),
        ("wide_resnet_16_8", 11.0),
        ("wide_resnet_28_10", 36.5),
        ("wide_resnet_40_4", 8.9),
        ("airbench", 1.97),
    ],
)
def test_small_models_have_the_papers_weights(name, millions):
    digits = 2 if millions < 2 and name != "resnet_110" else 1
    assert round(CATALOG[name].parameters / 1e6, digits) == pytest.approx(millions, abs=0.51 * 10**-digits)


def test_rows_say_what_they_are_counted_at():
    for name, entry in CATALOG.items():
        assert entry.classes == (10 if entry.input_size == 32 else 1000), name
        assert entry.summary, name
        assert entry.paper, name
        assert isinstance(entry.weights, tuple), name
    assert set(MODELS) == {*CATALOG, *(PREFIX + name for name in APPLICATIONS)}


@pytest.mark.slow
@pytest.mark.parametrize("name", CATALOG)
def test_every_model_as_it_is_trains_a_step_and_is_saved(name, tmp_path):
    model = create(name, (32, 32, 3), 3)
    images = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype("float32")
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    assert np.isfinite(float(model.train_on_batch(images, np.array([0, 1, 2, 0]))))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict_on_batch(images), model.predict_on_batch(images), atol=1e-5)
