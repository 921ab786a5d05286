"""Writes what tensorflow-addons 0.23 computes into .npz files. Run by record.py, in an environment of its own.

A file is a table of cases: entries "CASE/WHAT" for arrays, "CASE/scalars" for arguments and moments; and `versions`.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa

PACKAGES = ("tensorflow", "tensorflow-addons", "keras", "numpy")
DRAWS = 200_000


def normal(seed, *shape, mean=0.0, stddev=1.0):
    return np.random.default_rng(seed).normal(mean, stddev, shape).astype("float32")


def rrelu():
    bounds = {
        "default": (1 / 8, 1 / 3),
        "from_zero": (0.0, 0.5),
        "no_spread": (0.25, 0.25),
        "wide": (0.1, 1.0),
        "swapped": (1 / 3, 1 / 8),  # accepted without a word
    }
    inputs = np.concatenate([[-1e4, -1.0, -1e-6, 0.0, 1e-6, 1.0, 1e4], normal(0, 4, 5).ravel()]).astype("float32")
    for index, (case, (lower, upper)) in enumerate(bounds.items()):
        slopes = -tfa.activations.rrelu(-tf.ones(DRAWS), lower, upper, training=True, seed=index).numpy()
        slopes = slopes.astype("float64")
        yield (
            case,
            {
                "lower": lower,
                "upper": upper,
                "inputs": inputs,
                "evaluation": tfa.activations.rrelu(inputs, lower, upper, training=False),
                "training_draws": DRAWS,
                "training_mean": slopes.mean(),
                "training_variance": slopes.var(),
                "training_minimum": slopes.min(),
                "training_maximum": slopes.max(),
            },
        )


def maxout():
    shapes = {
        "dense": ((3, 12), 4, -1),
        "one_unit": ((2, 5), 1, -1),
        "all_units": ((2, 5), 5, -1),
        "images": ((2, 3, 4, 6), 2, -1),
        "channels_first": ((2, 6, 3, 4), 3, 1),
        "height": ((2, 4, 3, 2), 2, -3),
    }
    for index, (case, (shape, units, axis)) in enumerate(shapes.items()):
        inputs = normal(10 + index, *shape)
        yield (
            case,
            {
                "num_units": units,
                "axis": axis,
                "inputs": inputs,
                "outputs": tfa.layers.Maxout(units, axis)(inputs),
            },
        )


def weight_normalization():
    keras = tf.keras.layers
    layers = {
        "dense": (lambda: keras.Dense(5), (6, 7)),
        "dense_relu_no_bias": (lambda: keras.Dense(4, activation="relu", use_bias=False), (6, 3)),
        "conv": (lambda: keras.Conv2D(4, 3, padding="same"), (3, 5, 4, 2)),
        "conv_strides": (lambda: keras.Conv2D(3, (2, 3), strides=2, activation="tanh"), (4, 5, 6, 2)),
    }
    for index, (case, (make, shape)) in enumerate(layers.items()):
        inputs = normal(20 + index, *shape, mean=0.5, stddev=2.0)
        for data_init in (False, True):
            inner = make()
            inner.build(tf.TensorShape(shape))
            kernel = normal(30 + index, *inner.kernel.shape, stddev=0.7)
            units = kernel.shape[-1]
            stored = {"data_init": data_init, "inputs": inputs, "kernel": kernel}
            if inner.use_bias:  # the paper starts from no bias when the data set it
                stored["bias_before"] = normal(40 + index, units, stddev=0.0 if data_init else 1.0)
            inner.set_weights([kernel, *([stored["bias_before"]] if inner.use_bias else [])])
            layer = tfa.layers.WeightNormalization(inner, data_init=data_init)
            stored["first_outputs"] = layer(inputs)  # sets g, and the bias where data_init
            stored["initialized_g"] = layer.g.numpy()
            if inner.use_bias:
                stored["initialized_bias"] = inner.bias.numpy()
            g = normal(50 + index, units)
            layer.g.assign(g)
            stored |= {"g": g, "outputs": layer(inputs)}
            yield f"{case}_{'data' if data_init else 'norm'}", stored


def stochastic_depth():
    for index, survival in enumerate((0.5, 0.8, 0.1, 1.0)):
        shortcut, residual = normal(60 + index, 3, 2, 4), normal(70 + index, 3, 2, 4)
        layer = tfa.layers.StochasticDepth(survival)
        np.random.seed(index)  # Keras 2 takes the seed of each draw from here
        one = tf.ones((4, 1))
        draws = 2000
        kept = np.array([layer([0 * one, one], training=True).numpy().ravel() for _ in range(draws)], "float64")
        yield (
            f"survival_{survival}",
            {
                "survival_probability": survival,
                "shortcut": shortcut,
                "residual": residual,
                "inference": layer([shortcut, residual], training=False),
                "training_draws": draws,
                "training_mean": kept[:, 0].mean(),
                "training_variance": kept[:, 0].var(),
                "training_spread_within_batch": np.ptp(kept, axis=1).max(),
            },
        )


def cyclical_rates():
    schedules = tfa.optimizers
    kinds = {
        "triangular": (schedules.TriangularCyclicalLearningRate, "cycle", {}),
        "triangular2": (schedules.Triangular2CyclicalLearningRate, "cycle", {}),
        "triangular2_iterations": (schedules.Triangular2CyclicalLearningRate, "iterations", {}),
        "exponential": (schedules.ExponentialCyclicalLearningRate, "iterations", {"gamma": 0.97}),
        "exponential_cycle": (schedules.ExponentialCyclicalLearningRate, "cycle", {"gamma": 0.9}),
    }
    # Whole steps beyond three cycles, and fractions; float32, as the exponential one takes no integer tensor.
    steps = np.concatenate([np.arange(65), [0.5, 7.25, 8.75, 100, 1000]]).astype("float32")
    for case, (schedule, mode, more) in kinds.items():
        for low, high, step_size in ((0.1, 1.0, 8.0), (1e-4, 6e-3, 5.0)):
            rate = schedule(low, high, step_size, scale_mode=mode, **more)
            yield (
                f"{case}_{step_size:g}",
                {
                    "initial_learning_rate": low,
                    "maximal_learning_rate": high,
                    "step_size": step_size,
                    "scale_mode": mode,
                    "steps": steps,
                    "rates": [rate(tf.constant(step)).numpy() for step in steps],
                    **more,
                },
            )


def averages(optimizer, arguments, seed):
    """Weights and averages after each step of plain SGD over fixed gradients; row 0 is the start."""
    steps, rate = 16, 0.1
    weights, gradients = normal(seed, 5), normal(seed + 1, steps, 5)
    variable = tf.Variable(weights)
    wrapped = optimizer(tf.keras.optimizers.legacy.SGD(rate), **arguments)
    trail, averaged = [weights], []
    for gradient in gradients:
        wrapped.apply_gradients([(tf.constant(gradient), variable)])
        trail.append(variable.numpy())
        averaged.append(wrapped.get_slot(variable, "average").numpy())
    return {**arguments, "learning_rate": rate, "gradients": gradients, "weights": trail, "averages": averaged}


def moving_average():
    settings = {
        "decay": {"average_decay": 0.9},
        "start": {"average_decay": 0.9, "start_step": 5},
        "dynamic": {"average_decay": 0.5, "dynamic_decay": True},
        "dynamic_start": {"average_decay": 0.5, "dynamic_decay": True, "start_step": 4},
        "num_updates": {"average_decay": 0.9, "num_updates": 3},
    }
    for index, (case, arguments) in enumerate(settings.items()):
        yield case, averages(tfa.optimizers.MovingAverage, arguments, 80 + 2 * index)


def swa():
    for index, (start, period) in enumerate(((0, 1), (0, 3), (4, 2), (5, 10), (20, 1))):
        arguments = {"start_averaging": start, "average_period": period}
        yield f"start_{start}_period_{period}", averages(tfa.optimizers.SWA, arguments, 100 + 2 * index)


def packed(case, values):
    """One entry per array, float32, and one with all scalars as JSON: an entry costs more than what is in it."""
    values = {what: np.asarray(value) for what, value in values.items()}
    scalars = {what: value.item() for what, value in values.items() if value.ndim == 0}
    arrays = {f"{case}/{what}": value.astype("float32") for what, value in values.items() if value.ndim}
    return {f"{case}/scalars": np.array(json.dumps(scalars)), **arrays}


def main(out):
    for write in (rrelu, maxout, weight_normalization, stochastic_depth, cyclical_rates, moving_average, swa):
        entries = {"versions": np.array([f"{package}=={version(package)}" for package in PACKAGES])}
        for case, values in write():
            entries |= packed(case, values)
        np.savez_compressed(Path(out) / f"{write.__name__}.npz", **entries)


if __name__ == "__main__":
    main(sys.argv[1])
