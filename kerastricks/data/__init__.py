"""Image data sets, from files or arrays to batches: `load("path/to/images", augment="flip | pad_crop(4)")`."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = [
    "Fitting",
    "ImageData",
    "LongTail",
    "PipelineProfile",
    "PixelStatistics",
    "PreviewReport",
    "decode_image",
    "fit_image",
    "fold",
    "folds",
    "load",
    "long_tail_counts",
    "long_tail_indices",
    "pack",
    "pooled",
    "preview",
    "profile_pipeline",
    "write_long_tail",
]

if TYPE_CHECKING:
    from kerastricks.data.cross_validation import fold, folds, pooled
    from kerastricks.data.decoding.decode import decode_image, fit_image
    from kerastricks.data.fitting import Fitting
    from kerastricks.data.image_data import ImageData
    from kerastricks.data.inspection.previewing import PreviewReport, preview
    from kerastricks.data.inspection.profile_report import PipelineProfile
    from kerastricks.data.inspection.profiling import profile_pipeline
    from kerastricks.data.loading import load
    from kerastricks.data.long_tail import LongTail, long_tail_counts, long_tail_indices, write_long_tail
    from kerastricks.data.sources.packing import pack
    from kerastricks.data.statistics import PixelStatistics
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {
            "Fitting": "fitting",
            "ImageData": "image_data",
            "LongTail": "long_tail",
            "PipelineProfile": "inspection.profile_report",
            "PixelStatistics": "statistics",
            "PreviewReport": "inspection.previewing",
            "decode_image": "decoding.decode",
            "fit_image": "decoding.decode",
            "fold": "cross_validation",
            "folds": "cross_validation",
            "load": "loading",
            "long_tail_counts": "long_tail",
            "long_tail_indices": "long_tail",
            "pack": "sources.packing",
            "pooled": "cross_validation",
            "preview": "inspection.previewing",
            "profile_pipeline": "inspection.profiling",
            "write_long_tail": "long_tail",
        },
        former={
            "PlanReport": "is now kerastricks.data.PipelineProfile",
            "plan": "is now kerastricks.data.profile_pipeline",
        },
    )
