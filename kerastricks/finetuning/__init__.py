"""Fine-tuning that measures the data, chooses its own plan and carries it out in stages."""

from kerastricks.lazy import attach

__all__ = ["Backbone", "Settings", "finetune", "linear_probe", "logme", "nearest_centroid", "open_backbone"]

__getattr__, __dir__, load_all = attach(
    __name__,
    {
        "Backbone": "backbone",
        "Settings": "settings",
        "finetune": "procedure",
        "linear_probe": "linear_probe",
        "logme": "logme",
        "nearest_centroid": "nearest_centroid",
        "open_backbone": "backbone",
    },
)
