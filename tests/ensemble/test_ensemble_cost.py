"""What a model costs: medians of rounds in turn, and the size of its weights."""

import keras
import pytest

from kerastricks.ensemble import cost

pytestmark = pytest.mark.tensorflow_only


def network(units):
    return keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(units)])


def test_sizes_are_those_of_the_weights(monkeypatch):
    monkeypatch.setattr(cost, "_ONCE_S", 0.0)
    models = {"small": network(2), "large": network(10)}
    found = cost.costs(models, many=4)
    assert list(found) == ["small", "large"]
    assert [one.parameters for one in found.values()] == [34, 170]
    assert [one.megabytes for one in found.values()] == pytest.approx([34 * 4e-6, 170 * 4e-6])
    assert all(one.latency_ms > 0 and one.images_per_second > 0 for one in found.values())
    assert not models["small"].compiled  # the models themselves are left alone


def test_times_are_medians_that_a_pause_does_not_move(monkeypatch):
    """A call takes 2 ms for one image and 16 ms for 32; of the first model, and a hundredth of it for the second."""
    speeds, rounds, order = {2: 1.0, 10: 0.01}, {}, []

    def seconds(model, images, calls):
        units, size = model.output_shape[1], len(images)
        order.append(units)
        number = rounds[units, size] = rounds.get((units, size), 0) + 1
        pause = 5.0 if number in (3, 6) else 0.0
        return speeds[units] * (0.002 if size == 1 else 0.016) + pause

    monkeypatch.setattr(cost, "_seconds", seconds)
    slow, fast = cost.costs({"slow": network(2), "fast": network(10)}, many=32).values()
    assert (slow.latency_ms, fast.latency_ms) == pytest.approx((2.0, 0.02))
    assert (slow.images_per_second, fast.images_per_second) == pytest.approx((2000, 200_000))
    assert [order[place] for place in range(0, len(order), 2)][:6] == [2, 10, 2, 10, 2, 10]  # in turn
