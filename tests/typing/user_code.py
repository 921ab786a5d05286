"""A notebook as a user would write it. Never run: tests/test_typing.py has mypy read it.

Keras has no type information, so that a model is `Any` to mypy; all that is kerastricks's own has a type.
"""

from typing import Any, assert_type

import kerastricks
from kerastricks import ensemble, models, schedules, training
from kerastricks.data.image_data import ImageData
from kerastricks.ensemble import Choice, Combination, Member
from kerastricks.initializers import HeNormal
from kerastricks.layers import StochasticDepth
from kerastricks.metrics import Estimate
from kerastricks.runs import EnsembleReport, Evaluation, RunRecord, SeriesRecord
from kerastricks.search import SearchRecord

# Images
data = kerastricks.data.load("digits", augment="pad_crop(1)", batch_size=64)
assert_type(data, ImageData)
assert_type(data.class_names, tuple[str, ...])
assert_type(data.image_shape, tuple[int, int, int])
assert_type(data.labels("test").shape, tuple[Any, ...])

# Training
config = training.Config(data="digits", epochs=3, learning_rate=0.05)
assert_type(config, training.Config)
assert_type(config.epochs, int | None)
first = models.create("plain_cnn", data.image_shape, classes=len(data.class_names))
second = models.create("mlp", data.image_shape, classes=len(data.class_names))
for model in (first, second):
    training.fit(model, data, config, progress_line=False)

# One layer, one initializer, one schedule
layer = StochasticDepth(0.1)
assert_type(layer, StochasticDepth)
assert_type(HeNormal(seed=1), HeNormal)
schedule = schedules.OneCycle(peak=0.1, total_steps=1_000, warmup_steps=300)
assert_type(schedule, schedules.OneCycle)

# An ensemble
members = [Member(first, "first", data.class_names), Member(second, "second", data.class_names)]
assert_type(members[0].classes, int)
outputs = ensemble.member_outputs(members).predict(data.validation)
choice = ensemble.choose(outputs.transpose(1, 0, 2), data.labels("validation"), ["first", "second"])
assert_type(choice, Choice)
assert_type(choice.combination, Combination)
assert_type(choice.candidates[0].log_loss, Estimate)
ensemble.combine(members, choice.combination).save("ensemble.keras")
ensemble.combine(members, "mean").save("mean.keras")

# Jobs
run = kerastricks.runs.train("digits", model="plain_cnn", epochs=3, out="saved_models", name="digits")
assert_type(run, RunRecord)
assert_type(run.summary.accuracy, float)
assert_type(run.summary.class_names, list[str])
assert_type(run.config, training.Config)
score = kerastricks.runs.evaluate(run, "images.zip")
assert_type(score, Evaluation)
assert_type(score.log_loss, float)
series = kerastricks.runs.train_series("digits", config, seeds=3)
assert_type(series, SeriesRecord)
together = kerastricks.runs.ensemble([run, "saved_models/other"], method="mean", temperatures=True)
assert_type(together, RunRecord)
combined = together.summary.ensemble
if combined is not None:
    assert_type(combined, EnsembleReport)
    assert_type(combined.method, str)
    assert_type(combined.members[0].weight, float | None)
    assert_type([one.gain.low for one in combined.candidates], list[float])
assert_type(kerastricks.runs.distill(together, model="mlp", epochs=3), RunRecord)
rebalanced = kerastricks.runs.rebalance(run, metric="macro_f1")
assert_type(rebalanced.run, RunRecord)
assert_type(rebalanced.report.test_after.macro_f1, float)
search = kerastricks.search.tune("digits", trials=5, oracle="random")
assert_type(search, SearchRecord)
