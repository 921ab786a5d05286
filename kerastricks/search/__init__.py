"""Searches the values a training depends on, with keras-tuner's oracles."""

from kerastricks.lazy import attach

__all__ = [
    "ClassifierHyperModel",
    "DataFacts",
    "OptunaObjective",
    "Parameter",
    "SearchRecord",
    "Space",
    "TrialRecord",
    "default_space",
    "load_space",
    "tune",
]

__getattr__, __dir__, load_all = attach(
    __name__,
    {
        "ClassifierHyperModel": "hyper_model",
        "DataFacts": "data_facts",
        "OptunaObjective": "optuna_objective",
        "Parameter": "parameter",
        "SearchRecord": "search_record",
        "Space": "space",
        "TrialRecord": "trial_record",
        "default_space": "default_space",
        "load_space": "space_file",
        "tune": "tuning",
    },
)
