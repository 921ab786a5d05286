"""The registry: names, lazily imported, with the nearest in its errors."""

import sys

import pytest

from kerastricks.data.sources.names import BUILTIN_NAMES
from kerastricks.errors import KerasTricksError, UnknownNameError, nearest
from kerastricks.registry import Registry

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module that notes when it is imported."""
    (tmp_path / "things_of_registry.py").write_text("first = object()\nsecond = object()\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "things_of_registry"
    sys.modules.pop("things_of_registry", None)


def test_names_are_sorted_and_counted():
    registry = Registry("op", {"b": "m:b", "a": "m:a", "c": "m:c"})
    assert list(registry) == ["a", "b", "c"]
    assert len(registry) == 3


def test_listing_and_checking_import_nothing(module):
    registry = Registry("op", {"one": f"{module}:first"})
    assert list(registry) == ["one"]
    assert "one" in registry
    registry.check("one")
    assert module not in sys.modules


def test_a_thing_is_imported_when_it_is_asked_for(module):
    registry = Registry("op", {"one": f"{module}:first", "two": f"{module}:second"})
    one = registry["one"]
    assert one is sys.modules[module].first
    assert registry["one"] is one
    assert registry["two"] is sys.modules[module].second


def test_one_can_register_ones_own():
    registry = Registry("op", {"b": "m:b"})

    @registry.register("a")
    def own():
        return 5

    assert registry["a"] is own
    assert own() == 5
    assert list(registry) == ["a", "b"]


def test_a_name_that_is_taken_is_refused():
    registry = Registry("op", {"a": "m:a"})
    with pytest.raises(ValueError, match="the op 'a' is registered already: choose another name"):
        registry.register("a")(object())
    assert list(registry) == ["a"]


def test_the_entries_given_are_not_changed():
    entries = {"a": "m:a"}
    Registry("op", entries).register("b")(1)
    assert entries == {"a": "m:a"}


@pytest.mark.parametrize("ask", [lambda registry, name: registry[name], lambda registry, name: registry.check(name)])
def test_an_unknown_name_gets_the_nearest_and_the_command(ask):
    registry = Registry("model", {"resnet_20": "m:a", "plain_cnn": "m:b"}, "kerastricks models")
    with pytest.raises(UnknownNameError) as error:
        ask(registry, "ResNet20")
    assert str(error.value) == (
        "no model is called 'ResNet20': did you mean resnet_20? (all of them: kerastricks models)"
    )


def test_without_a_near_name_all_are_listed():
    with pytest.raises(UnknownNameError, match=r"no op is called 'zzz': there is crop, flip$"):
        Registry("op", {"flip": "m:a", "crop": "m:b"})["zzz"]


def test_an_empty_registry_says_so():
    with pytest.raises(UnknownNameError, match="there is none"):
        Registry("op")["a"]


def test_an_unknown_name_is_an_error_of_kerastricks_and_a_value_error():
    assert issubclass(UnknownNameError, KerasTricksError)
    assert issubclass(UnknownNameError, ValueError)


def test_nearest_ignores_case_and_gives_at_most_three():
    known = ["Alpha1", "alpha2", "alpha3", "alpha4", "beta"]
    found = nearest("ALPHA1", known)
    assert found[0] == "Alpha1"
    assert len(found) == 3
    assert "beta" not in found


def test_every_entry_of_the_projects_registries_can_be_imported():
    from kerastricks.augment.ops import OPS
    from kerastricks.data.sources.builtin import BUILTIN

    assert tuple(BUILTIN) == BUILTIN_NAMES
    for registry in (OPS, BUILTIN):
        for name in registry:
            assert callable(registry[name]), name
