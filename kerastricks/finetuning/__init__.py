"""Fine-tuning that measures the data, chooses its own strategy and carries it out in stages."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = ["Backbone", "Settings", "finetune", "open_backbone"]

if TYPE_CHECKING:
    from kerastricks.finetuning.backbone import Backbone, open_backbone
    from kerastricks.finetuning.procedure import finetune
    from kerastricks.finetuning.settings import Settings
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {"Backbone": "backbone", "Settings": "settings", "finetune": "procedure", "open_backbone": "backbone"},
        former={
            "linear_probe": "is now kerastricks.probes.linear_probe",
            "logme": "is now kerastricks.probes.logme",
            "nearest_centroid": "is now kerastricks.probes.nearest_centroid",
        },
    )
