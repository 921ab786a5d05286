"""From a folder, a zip or arrays of images to batches: `load("path/to/images", augment="flip | pad_crop(4)")`."""

from kerastricks.lazy import attach

__all__ = [
    "Fitting",
    "ImageData",
    "PixelStatistics",
    "PlanReport",
    "PreviewReport",
    "decode_image",
    "fit_image",
    "fold",
    "folds",
    "load",
    "pack",
    "plan",
    "pooled",
    "preview",
]

__getattr__, __dir__, load_all = attach(
    __name__,
    {
        "Fitting": "fitting",
        "ImageData": "image_data",
        "PixelStatistics": "statistics",
        "PlanReport": "plan_report",
        "PreviewReport": "preview_report",
        "decode_image": "decoding.decode",
        "fit_image": "decoding.decode",
        "fold": "folds",
        "folds": "folds",
        "load": "loading",
        "pack": "sources.packing",
        "plan": "inspection.planning",
        "pooled": "cross_validation",
        "preview": "inspection.previewing",
    },
)
