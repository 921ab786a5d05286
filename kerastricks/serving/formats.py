"""Formats of exports, and which of them can be quantised; known without TensorFlow."""

import importlib.util

from kerastricks.errors import ConfigError, MissingExtraError

FORMATS = ("saved_model", "onnx", "litert")
QUANTIZATIONS = ("dynamic", "int8")
_PACKAGES = {"onnx": ("tf2onnx", "onnxruntime"), "litert": ("ai_edge_litert",)}


def check_format(format: str, quantize: str | None = None) -> None:
    """Refuse what no run can be exported as.

    Args:
        format: "saved_model", "onnx" or "litert".
        quantize: None, or "dynamic" or "int8" for "litert".

    Raises:
        ConfigError: for an unknown format or quantisation, or one that the format does not have.
        MissingExtraError: where a package of the extra `export` is not installed.
    """
    if format not in FORMATS:
        raise ConfigError(f"format must be one of {', '.join(FORMATS)}. Received: format={format!r}")
    if quantize not in (None, *QUANTIZATIONS):
        raise ConfigError(f"quantize must be one of {', '.join(QUANTIZATIONS)}. Received: quantize={quantize!r}")
    if quantize is not None and format != "litert":
        raise ConfigError(f"quantize={quantize} is for the format litert only. Received: format={format}")
    for package in _PACKAGES.get(format, ()):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package.replace("_", "-"), "export")
