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
    "load",
    "pack",
    "plan",
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
        "decode_image": "decode",
        "fit_image": "decode",
        "load": "load",
        "pack": "pack",
        "plan": "plan",
        "preview": "preview",
    },
)
