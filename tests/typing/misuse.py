"""Mistakes that a type checker must find: tests/test_typing.py compares mypy's errors with the comments."""

import kerastricks
from kerastricks import ensemble, training
from kerastricks.layers import StochasticDephth  # error: attr-defined

print(StochasticDephth(0.1))
data = kerastricks.data.laod("digits")  # error: attr-defined
data = kerastricks.data.load("digits", augment=3)  # error: arg-type
print(data.clas_names)  # error: attr-defined
model = kerastricks.models.create("mlp", (8, 8))  # error: arg-type
training.fit(model, "digits")  # error: arg-type
training.fit(model, data, training.Config(epochs="3"))  # error: arg-type
training.fit(model, data, epochs=3)  # error: call-arg
kerastricks.schedules.OneCycle(peak=0.1)  # error: call-arg
ensemble.combine([model, model], 3)  # error: arg-type
ensemble.average([model, model])  # error: attr-defined
length: int = data.name  # error: assignment
kerastricks.runs.train("digits", epoch=3)  # error: call-arg
kerastricks.runs.train("digits", epochs="3")  # error: arg-type
print(kerastricks.runs.train("digits").summary.acuracy)  # error: attr-defined
