"""Probes of frozen features: linear probe, nearest centroid, LogME."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = ["LinearProbe", "linear_probe", "logme", "nearest_centroid", "stratified_folds", "stratified_sample"]

if TYPE_CHECKING:
    from kerastricks.probes.linear import LinearProbe, linear_probe
    from kerastricks.probes.rows import stratified_folds, stratified_sample
    from kerastricks.probes.transferability import logme, nearest_centroid
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {
            "LinearProbe": "linear",
            "linear_probe": "linear",
            "logme": "transferability",
            "nearest_centroid": "transferability",
            "stratified_folds": "rows",
            "stratified_sample": "rows",
        },
    )
