"""Searches the values a training depends on, with keras-tuner's oracles."""

from kerastricks.lazy import attach

__all__ = [
    "ClassifierHyperModel",
    "DataFacts",
    "OptunaObjective",
    "Parameter",
    "Space",
    "TrialRecord",
    "default_space",
    "load_space",
]

__getattr__, __dir__, load_all = attach(
    __name__,
    {
        "ClassifierHyperModel": "hyper_model",
        "DataFacts": "data_facts",
        "OptunaObjective": "optuna_objective",
        "Parameter": "space.parameter",
        "Space": "space.space",
        "TrialRecord": "trial_record",
        "default_space": "space.defaults",
        "load_space": "space.space_file",
    },
)
