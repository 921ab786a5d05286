"""Well-filled and rare classes: the threshold, the images of each part, and what cannot be divided."""

import numpy as np
import pytest

from kerastricks.errors import ConfigError
from kerastricks.finetuning.class_parts import rows_of, second_part, split_classes
from kerastricks.finetuning.settings import Settings
from kerastricks.finetuning.two_parts import balanced_batches

pytestmark = pytest.mark.tensorflow_only


def split(counts, **how):
    return split_classes(counts, [f"c{number}" for number in range(len(counts))], **how)


def best_cut(counts):
    """Otsu's cut of the sorted logarithms, the least within-group sum of squares; the number of rare classes."""
    logs = np.sort(np.log(counts))
    within = [np.var(logs[:cut]) * cut + np.var(logs[cut:]) * (len(logs) - cut) for cut in range(1, len(logs))]
    return 1 + int(np.argmin(within))


def test_classes_are_divided_by_otsus_threshold_on_the_logarithms():
    generator = np.random.default_rng(0)
    for _ in range(50):
        counts = generator.permutation(np.unique(np.exp(generator.uniform(1, 7, 9)).astype(int) + 2))
        if best_cut(counts) == len(counts) - 1:  # the well-filled part would be a single class
            continue
        parts = split(counts)
        assert len(parts.rare) == best_cut(counts)
        assert counts[list(parts.rare)].max() < parts.below <= counts[list(parts.well_filled)].min()
        assert sorted(parts.rare + parts.well_filled) == list(range(len(counts)))


def test_a_tail_that_falls_evenly_is_halved_whatever_the_number_of_images():
    for most in (500, 5000):
        tail = [round(most * 50 ** (-number / 9)) for number in range(10)]
        assert split(tail).well_filled == (0, 1, 2, 3, 4)


def test_classes_with_as_many_images_are_in_one_part():
    assert split([90, 10, 90, 10, 10]).rare == (1, 3, 4)


def test_the_threshold_can_be_given():
    assert split([500, 400, 60, 40], rare_below=50).rare == (3,)
    assert split([100, 99, 98], rare_below=99).rare == (2,)


def test_the_second_part_has_all_rare_images_and_no_more_of_a_well_filled_class():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 3], [50, 40, 7, 4]))
    parts = split([50, 40, 7, 4])
    assert np.bincount(labels[second_part(labels, parts, 0)]).tolist() == [7, 7, 7, 4]
    np.testing.assert_array_equal(second_part(labels, parts, 0), second_part(labels, parts, 0))
    assert not np.array_equal(second_part(labels, parts, 0), second_part(labels, parts, 1))
    np.testing.assert_array_equal(second_part(labels, parts, 0, rare_only=True), np.flatnonzero(labels >= 2))
    np.testing.assert_array_equal(rows_of(labels, parts.well_filled), np.flatnonzero(labels < 2))


@pytest.mark.parametrize(
    ("counts", "how", "message"),
    [
        ([100, 90, 80], {}, "classes have 80 to 100 training images each, so none is rare: take plan last or all"),
        ([100, 90, 9, 0], {}, "class 'c3' has no training image"),
        ([100, 90, 9, 1], {}, "class 'c3' has one training image"),
        ([900, 9, 8], {}, "the well-filled part is a single class, 'c0'"),
        ([900, 800, 9], {"rare_only": True}, "the rare part is a single class, 'c2'"),
        (
            [900, 800, 9],
            {"rare_below": 5},
            "no class has fewer than rare_below=5 training images: give a number from 10",
        ),
        ([900, 800, 9], {"rare_below": 1000}, "every class has fewer than rare_below=1,000"),
    ],
)
def test_classes_that_cannot_be_divided_are_named_with_the_way_out(counts, how, message):
    with pytest.raises(ConfigError) as caught:
        split(counts, **how)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_single_rare_class_is_trained_on_beside_the_others():
    assert split([900, 800, 9]).rare == (2,)


def test_the_classifier_is_balanced_once():
    assert balanced_batches("") == "class_aware_batches"
    assert balanced_batches("label_aware_smoothing") == "class_aware_batches | label_aware_smoothing"
    for balances in ("upsample", "class_weights | focal", "balanced_softmax"):
        assert balanced_batches(balances) == balances


def test_settings_of_two_stage_go_with_no_other_plan():
    assert Settings.from_dict(Settings(strategy="two_stage", rare_below=20).as_dict()).rare_below == 20
    with pytest.raises(ConfigError, match="rare_below is of plan two_stage: leave it out"):
        Settings(strategy="decoupled", rare_below=20)
    with pytest.raises(ConfigError, match="rare_only is of plan two_stage"):
        Settings(rare_only=True)
    with pytest.raises(ConfigError, match="rare_below must be 1 or more"):
        Settings(strategy="two_stage", rare_below=0)
