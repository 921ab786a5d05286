"""Hyperparameter search with keras-tuner's oracles: spaces, trials in processes of their own, run folders."""

from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from kerastricks.search.hyper_model import ClassifierHyperModel
    from kerastricks.search.optuna_objective import OptunaObjective
    from kerastricks.search.search_record import SearchRecord
    from kerastricks.search.space.defaults import DataFacts, default_space
    from kerastricks.search.space.parameter import Parameter
    from kerastricks.search.space.space import Space
    from kerastricks.search.space.space_file import load_space
    from kerastricks.search.trial_record import TrialRecord
    from kerastricks.search.tuning import tune
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {
            "ClassifierHyperModel": "hyper_model",
            "DataFacts": "space.defaults",
            "OptunaObjective": "optuna_objective",
            "Parameter": "space.parameter",
            "SearchRecord": "search_record",
            "Space": "space.space",
            "TrialRecord": "trial_record",
            "default_space": "space.defaults",
            "load_space": "space.space_file",
            "tune": "tuning",
        },
    )
