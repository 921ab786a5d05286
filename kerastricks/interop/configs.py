"""The JSON of models: parsed within limits, and every class, function, number and text in it checked."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from kerastricks.errors import ModelFileError
from kerastricks.interop.allowed import (
    PLAIN,
    REFUSED,
    TENSOR_OPERATION,
    is_custom,
    known_class,
    known_function,
    names_in,
)
from kerastricks.interop.report import MOST_FINDINGS, FileFinding, LayerSummary, shortened

MOST_JSON = 8_000_000  # bytes
MOST_LEVELS = 64
MOST_SIZE = 2**28  # units, filters and the like
MOST_ELEMENTS = 2**32  # of a shape, unknown dimensions left out
_COVERED = 2**20  # from here on a size needs as many stored parameters

# A string of any form, ended or not, or a bracket. Possessive, so that no input makes it scan twice.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[{]|[\]}]', re.DOTALL)
_ADDRESS = re.compile(r"(?<![a-z0-9])[a-z][a-z0-9+.-]{1,20}://", re.IGNORECASE)
_SIZES = names_in("""
    units filters input_dim output_dim num_heads num_query_heads num_key_value_heads key_dim value_dim head_dim n rank
    height width num_tokens num_bins max_tokens depth_multiplier num_units depth units_per_head groups size pool_size
    output_sequence_length kernel_size strides dilation_rate padding cropping crop_size
""")
_LOOKUPS = frozenset(("StringLookup", "IntegerLookup", "TextVectorization", "IndexLookup"))
_ACTIVATIONS = frozenset(("activation", "recurrent_activation", "hidden_activation"))


class JSONRefusedError(ValueError):
    """JSON beyond the limits, or that readers may understand differently."""


def parse_limited(data: bytes) -> Any:
    """Parse JSON from a file of anybody, checking size and depth before it is parsed.

    Args:
        data: UTF-8, at most `MOST_JSON` bytes, `MOST_LEVELS` levels deep, without duplicate keys, NaN or infinity.

    Raises:
        JSONRefusedError: beyond a limit, with duplicate keys or numbers that are not finite.
        ValueError: where it is no JSON.
    """
    if len(data) > MOST_JSON:
        raise JSONRefusedError(f"JSON of {len(data):,} bytes (at most {MOST_JSON:,})")
    level = 0
    for token in _TOKEN.finditer(data):
        first = token[0][0]
        if first in b"[{":
            level += 1
            if level > MOST_LEVELS:
                raise JSONRefusedError(f"JSON nested deeper than {MOST_LEVELS} levels")
        elif first in b"]}":
            level -= 1
    return json.loads(
        data.decode("utf-8"),
        object_pairs_hook=_without_duplicates,
        parse_constant=_refuse_constant,
        parse_int=_integer,
        parse_float=_finite,
    )


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise JSONRefusedError(f"duplicate key {shortened(twice)}, which readers understand differently")
    return record


def _refuse_constant(text: str) -> float:
    raise JSONRefusedError(f"the number {text}, which is not finite")


def _integer(text: str) -> int:
    if len(text) > 20:
        raise JSONRefusedError(f"a whole number of {len(text):,} digits")
    return int(text)


def _finite(text: str) -> float:
    if len(text) > 400 or not math.isfinite(value := float(text)):
        raise JSONRefusedError(f"the number {shortened(text)}, which is not finite")
    return value


@dataclass
class ConfigCheck:
    """Findings and custom objects of the JSON of a model; `check` may be called for several documents.

    Args:
        parameters: number of stored parameters, which sizes are compared with; None where no weights are stored.
    """

    parameters: int | None
    findings: list[FileFinding] = field(default_factory=list)
    custom: dict[str, None] = field(default_factory=dict)

    def check(self, document: Any, source: str) -> None:
        """Check every object, number and text of a parsed document; findings name the path in it.

        Args:
            document: dictionaries, lists and plain values, at most `MOST_LEVELS` deep.
            source: the entry or attribute that it is from.
        """
        if not isinstance(document, dict | None) or (isinstance(document, dict) and not document):
            self._refuse("malformed", source, "is no configuration")
        self._visit(document, f"{source}: $", "")

    def _visit(self, value: Any, where: str, key: str) -> None:
        if isinstance(value, dict):
            if "class_name" in value:
                self._check_object(value, where)
            self._check_covered(value, where)
            for name, item in value.items():
                self._visit(item, f"{where}.{shortened(name, 60)}", name)
        elif isinstance(value, list):
            if (key == "shape" or key.endswith("_shape")) and _elements(value) > MOST_ELEMENTS:
                self._refuse("absurd_number", where, f"a shape of {shortened(str(value))}: too many elements")
            for index, item in enumerate(value):
                if key in _SIZES or not isinstance(item, int | float):
                    self._visit(item, f"{where}[{index}]", key)
        elif isinstance(value, str):
            if address := _ADDRESS.search(value):
                self._refuse("address", where, f"an address ({shortened(value[address.start() :])})")
            elif key in _ACTIVATIONS and value and not known_function(value, None):
                self._custom(value, where, "function")
        elif isinstance(value, int | float) and key in _SIZES and abs(value) >= MOST_SIZE:
            self._refuse("absurd_number", where, f"{value:,} is beyond reason (below {MOST_SIZE:,})")

    def _refuse(self, code: str, where: str, why: str) -> None:
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(FileFinding(code=code, where=where, why=why))

    def _custom(self, name: str, where: str, kind: str) -> None:
        if len(self.custom) < MOST_FINDINGS:
            self.custom[shortened(name)] = None
        self._refuse("unknown_object", where, f"{kind} {shortened(name)} is none of Keras, its addons or kerastricks")

    def _check_object(self, value: dict[str, Any], where: str) -> None:
        name, module, registered = value["class_name"], value.get("module"), value.get("registered_name")
        config = value.get("config")
        if not (isinstance(name, str) and all(one is None or isinstance(one, str) for one in (module, registered))):
            self._refuse("malformed", where, "class_name, module and registered_name must be text")
            return
        bare = name.rpartition(">")[2]
        if bare in REFUSED or (registered or "").rpartition(">")[2] in REFUSED:
            self._refuse("code", where, f"{bare} {REFUSED.get(bare, 'is registered as a layer that is refused')}")
        elif name in PLAIN and module is None and registered is None:
            return
        elif name == "function":
            named = config if isinstance(config, str) else str(registered)
            if not (known_function(named, module) and (registered in (None, "function") or _same(registered, named))):
                self._custom(f"{module}.{named}" if module not in (None, "builtins") else named, where, "function")
            elif is_custom(named):
                self.custom[named] = None
        elif not known_class(name, module, registered):
            full = registered or name
            shown = full if ">" in full or not module else f"{module}.{name}"
            self._custom(shown, where, "class")
        else:
            if is_custom(registered or name):
                self.custom[registered or name] = None
            self._check_settings(bare, _dictionary(config), where)

    def _check_settings(self, name: str, config: dict[str, Any], where: str) -> None:
        """Check the settings of classes that can do more than others."""
        if name == "TFOpLambda" and not TENSOR_OPERATION.fullmatch(str(config.get("function"))):
            self._refuse("code", where, f"TFOpLambda calls {shortened(str(config.get('function')))}")
        if name in _LOOKUPS:
            for key in ("vocabulary", "vocabulary_file", "idf_weights"):
                if isinstance(config.get(key), str) and config[key]:
                    self._refuse("vocabulary_path", f"{where}.config.{key}", f"{name} reads {shortened(config[key])}")

    def _check_covered(self, config: dict[str, Any], where: str) -> None:
        """Refuse layers whose weights would be many times what is stored: building them takes the memory."""
        units = [config.get(key) for key in ("units", "filters", "num_heads")]
        units.append(_product(config.get("input_dim"), config.get("output_dim")))
        units.append(_product(config.get("num_heads"), config.get("key_dim")))
        largest = max((one for one in units if isinstance(one, int)), default=0)
        if self.parameters is not None and largest >= max(_COVERED, self.parameters + 1):
            self._refuse("absurd_number", where, f"{largest:,} units or weights, with {self.parameters:,} stored")


def _same(registered: str | None, named: str) -> bool:
    return (registered or "").rpartition(">")[2] == named.rpartition(">")[2]


def _dictionary(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _product(first: Any, second: Any) -> int:
    return first * second if isinstance(first, int) and isinstance(second, int) else 0


def _elements(shape: list[Any]) -> int:
    return math.prod(max(abs(size), 1) for size in shape if isinstance(size, int))


def layers_of(config: Any) -> Iterator[tuple[LayerSummary, tuple[str, ...]]]:
    """Layers of a model's configuration, those of nested models after the model they are in.

    Args:
        config: the parsed configuration: a dictionary with `class_name` and `config`.

    Yields:
        Summaries without parameters, each with the names from the outermost model down to the layer.
    """
    pending: list[tuple[Any, tuple[str, ...]]] = [(layer, ()) for layer in reversed(_inner_layers(config))]
    while pending:
        layer, outer = pending.pop()
        if not isinstance(layer, dict):
            continue
        settings = _dictionary(layer.get("config"))
        name = str(settings.get("name") or layer.get("name") or "")
        path = (*outer, name)
        class_name = str(layer.get("registered_name") or layer.get("class_name"))
        yield LayerSummary(name="/".join(path), class_name=class_name), path
        pending += [(inner, path) for inner in reversed(_inner_layers(layer))]


def _inner_layers(config: Any) -> list[Any]:
    inner = _dictionary(config).get("config")
    # A list: Sequential of Keras 1 and early Keras 2.
    layers = inner if isinstance(inner, list) else _dictionary(inner).get("layers")
    return layers if isinstance(layers, list) else []


def read_training(config: Any) -> tuple[dict[str, Any] | None, tuple[str, ...], tuple[str, ...]]:
    """Optimizer with its settings, losses and metrics of a compile or training configuration."""
    if not isinstance(config, dict):
        return None, (), ()
    stored = config.get("optimizer") or config.get("optimizer_config")
    if isinstance(stored, str):
        stored = {"class_name": stored}
    optimizer = None if not isinstance(stored, dict) else _settings_of(stored)
    metrics = [name for key in ("metrics", "weighted_metrics") for name in _object_names(config.get(key))]
    return optimizer, tuple(_object_names(config.get("loss"))), tuple(metrics)


def _settings_of(stored: dict[str, Any]) -> dict[str, Any]:
    """Class and plain settings of an optimizer or schedule, nested ones as dictionaries."""
    config = _dictionary(stored.get("config"))
    settings: dict[str, Any] = {"class": str(stored.get("registered_name") or stored.get("class_name"))}
    for key, value in config.items():
        if isinstance(value, dict) and "class_name" in value:
            settings[key] = _settings_of(value)
        elif value is None or isinstance(value, bool | int | float | str):
            settings[key] = value
    return settings


def _object_names(stored: Any) -> Iterator[str]:
    """Names of losses or metrics: texts, functions, classes, in lists and dictionaries by output."""
    if isinstance(stored, str):
        yield stored
    elif isinstance(stored, dict) and "class_name" in stored:
        config = stored.get("config")
        inner = config.get("fn") if isinstance(config, dict) else config
        name = str(stored.get("registered_name") or stored["class_name"])
        yield f"{inner}" if name in ("function", "MeanMetricWrapper") and isinstance(inner, str) else name
    elif isinstance(stored, dict | list):
        for item in stored.values() if isinstance(stored, dict) else stored:
            yield from _object_names(item)


def decode_config(data: bytes, where: str, findings: list[FileFinding]) -> Any:
    """Parse JSON of a model file: None, with a finding, where it is refused.

    Raises:
        ModelFileError: where it is no JSON.
    """
    try:
        return parse_limited(data)
    except JSONRefusedError as refused:
        findings.append(FileFinding(code="json", where=where, why=str(refused)))
        return None
    except (ValueError, RecursionError):
        raise ModelFileError(f"{where}: is damaged (not JSON): copy the file again") from None
