"""Records of summary.json: read by their types and written unchanged, those of other versions too."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from kerastricks.errors import RunFolderError
from kerastricks.runs.json_record import JsonRecord

pytestmark = pytest.mark.tensorflow_only


@dataclass(frozen=True, kw_only=True)
class Wheel(JsonRecord):
    size: int
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RaceCar(JsonRecord):
    owner: str | None
    wheels: tuple[Wheel, ...] = field(metadata={"key": "tyres"})
    spare: Wheel | None = None
    by_name: dict[str, Wheel]
    either: list[int] | dict[str, int]
    more: dict[str, Any] = field(default_factory=dict)


CAR = {"owner": None, "tyres": [{"size": 3}, {"size": 4}], "by_name": {"left": {"size": 5}}, "either": [1, 2]}


def test_json_comes_back_with_its_keys_in_order():
    car = RaceCar.from_json(CAR)
    assert car.wheels == (Wheel(size=3), Wheel(size=4))
    assert car.by_name["left"].size == 5
    assert (car.owner, car.spare, car.either) == (None, None, [1, 2])
    assert list(car.to_json().items()) == list(CAR.items())
    assert RaceCar.from_json({**CAR, "spare": {"size": 6}}).spare == Wheel(size=6)


def test_fields_of_a_newer_version_are_kept_at_every_depth():
    newer = {**CAR, "tyres": [{"size": 3, "brand": "x"}], "more": 1}
    car = RaceCar.from_json(newer)
    assert (car.more, car.wheels[0].more) == ({"more": 1}, {"brand": "x"})
    assert car.to_json() == newer


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"tyres": []}, "is no race car: owner, by_name, either missing"),
        ({**CAR, "tyres": [{}]}, "is no wheel: size missing"),
        ({**CAR, "tyres": 4}, "is no race car: tyres is 4"),
        ({**CAR, "tyres": "ab"}, "is no race car: tyres is 'ab'"),
        ({**CAR, "by_name": [1]}, r"is no race car: by_name is \[1\]"),
        ({**CAR, "spare": [1]}, r"is no wheel: must be an object. Received: \[1\]"),
        (3, "is no race car: must be an object. Received: 3"),
    ],
)
def test_what_is_no_such_record_is_refused(record, message):
    with pytest.raises(RunFolderError, match=message):
        RaceCar.from_json(record)
