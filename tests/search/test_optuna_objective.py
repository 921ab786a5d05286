"""The adapter for Optuna."""

import builtins
import math

import pytest

from kerastricks import data
from kerastricks.errors import MissingExtraError, SearchError
from kerastricks.search import OptunaObjective, Parameter, Space
from kerastricks.search.optuna_objective import suggest
from kerastricks.training import Config

BASE = Config(model="mlp(depth=1, width=8)", batch_size=64, epochs=2, learning_rate=0.05)
SPACE = Space(
    [
        Parameter("learning_rate", "float", min=0.01, max=0.5, sampling="log"),
        Parameter("optimizer", "choice", values=("sgd(momentum=0.9)", "adamw")),
        Parameter("weight_decay", "float", min=1e-3, max=0.1, sampling="log", when={"optimizer": ("adamw",)}),
        Parameter("label_smoothing", "fixed", values=(0.05,)),
    ]
)


class Trial:
    """What is used of an Optuna trial, with the choices made beforehand."""

    def __init__(self, prune=False, **values):
        self.values = values
        self.prune = prune
        self.suggested = []
        self.reports = []

    def _suggest(self, kind, name, arguments, more):
        self.suggested.append((kind, name, arguments, more))
        return self.values.get(name, arguments[0][0] if kind == "categorical" else arguments[0])

    def suggest_float(self, name, *arguments, **more):
        return self._suggest("float", name, arguments, more)

    def suggest_int(self, name, *arguments, **more):
        return self._suggest("int", name, arguments, more)

    def suggest_categorical(self, name, *arguments):
        return self._suggest("categorical", name, arguments, {})

    def report(self, value, step):
        self.reports.append((step, value))

    def should_prune(self):
        return self.prune


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", batch_size=64).limited(256)


@pytest.fixture(scope="module")
def objective(digits):
    return OptunaObjective(SPACE, BASE, digits)


def test_the_last_value_is_given_and_each_epoch_reported(objective):
    trial = Trial(optimizer="adamw", weight_decay=0.01)
    value = objective(trial)
    assert [step for step, _ in trial.reports] == [0, 1]
    assert value == trial.reports[-1][1]
    assert [(kind, name) for kind, name, *_ in trial.suggested] == [
        ("float", "learning_rate"), ("categorical", "optimizer"), ("float", "weight_decay"),
    ]  # fmt: skip
    assert objective(Trial(optimizer="adamw", weight_decay=0.01)) == pytest.approx(value, rel=1e-5)


@pytest.mark.tensorflow_only
def test_conditional_parameters_are_suggested_where_they_are_active(objective):
    trial = Trial(optimizer="sgd(momentum=0.9)")
    objective(trial)
    assert "weight_decay" not in [name for _, name, *_ in trial.suggested]


@pytest.mark.tensorflow_only
def test_divergence_is_nan(objective):
    bad = OptunaObjective(
        Space([Parameter("learning_rate", "choice", values=(1e20, 1e21))]),
        Config(model="mlp(depth=3)", batch_size=64, epochs=1, clip_norm=None, schedule="constant"),
        objective._data.source,
    )
    assert math.isnan(bad(Trial()))


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        (Parameter("clip_norm", "float", min=0.1, max=1), ("float", "clip_norm", (0.1, 1.0), {"log": False})),
        (Parameter("batch_size", "int", min=8, max=64, sampling="log"), ("int", "batch_size", (8, 64), {"log": True})),
        (Parameter("batch_size", "int", min=8, max=63, step=8), ("int", "batch_size", (8, 56), {"step": 8})),
        (
            Parameter("batch_size", "int", min=8, max=63, step=2, sampling="log"),
            ("categorical", "batch_size", ([8, 16, 32],), {}),
        ),
        (Parameter("model", "choice", values=("nin", "mlp")), ("categorical", "model", (["nin", "mlp"],), {})),
    ],
)
def test_each_kind_is_suggested_as_optuna_has_it(parameter, expected):
    trial = Trial()
    assert parameter.takes(suggest(trial, parameter))
    assert trial.suggested == [expected]


@pytest.mark.tensorflow_only
def test_steps_of_a_float_end_where_the_last_whole_one_does():
    trial = Trial()
    suggest(trial, Parameter("clip_norm", "float", min=0.0, max=0.35, step=0.1))
    kind, _, (low, high), more = trial.suggested[0]
    assert (kind, low, more) == ("float", 0.0, {"step": 0.1})
    assert high == pytest.approx(0.3)


@pytest.mark.tensorflow_only
def test_pruning_without_optuna_names_the_extra(objective, monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **more):
        if name == "optuna":
            raise ImportError(name)
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'kerastricks\[optuna\]'"):
        objective(Trial(prune=True))


@pytest.mark.tensorflow_only
def test_an_objective_that_nobody_logs_is_refused(digits):
    with pytest.raises(SearchError, match="'val_acuracy': did you mean val_accuracy"):
        OptunaObjective(SPACE, BASE, digits, "val_acuracy")


@pytest.mark.tensorflow_only
def test_a_study_optimizes_and_prunes(objective):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.ThresholdPruner(upper=0.0)  # whatever is reported is too much
    study = optuna.create_study(pruner=pruner, sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=2)
    assert [trial.state for trial in study.trials] == [optuna.trial.TrialState.PRUNED] * 2
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0), pruner=optuna.pruners.NopPruner())
    study.optimize(objective, n_trials=2)
    assert study.best_value == min(trial.value for trial in study.trials)
    for trial in study.trials:
        assert SPACE.active(trial.params) == {**trial.params, "label_smoothing": 0.05}
