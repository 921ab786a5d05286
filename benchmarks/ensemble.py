"""Five ResNet-20 as one model: a loop of `predict`, our Keras model, and what is exported of it, at batch 1 and 256.

python benchmarks/ensemble.py [--members 5] [--batches 1 256] [--rounds 9] [--steps 40]

Members are trained for a few steps, so that their weights and statistics are of a training. Every row gives
probabilities of the same images, which are compared before the clock starts. TensorFlow backend; rows whose package is
not installed (onnxruntime and tf2onnx, ai-edge-litert) are left out and named.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from table import measure, show
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

import kerastricks
from kerastricks.training import device

NAMES = [f"class {index}" for index in range(10)]
TOLERANCE = 1e-5


def coloured(count, seed):
    """Images of ten colours under noise, and labels."""
    colours = np.random.default_rng(0).uniform(90, 160, (10, 3))
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 10, count)
    images = colours[labels][:, None, None] + generator.normal(0, 60, (count, 32, 32, 3))
    return np.clip(images, 0, 255).astype("float32"), labels


def train(seed, steps):
    """A ResNet-20 that tells these colours apart, nearly."""
    keras.utils.set_random_seed(seed)
    model = kerastricks.models.create("resnet_20", (32, 32, 3), 10, mean=127.5, std=60.0)
    model.compile(keras.optimizers.SGD(0.05, 0.9), "sparse_categorical_crossentropy")
    model.fit(*coloured(64 * steps, seed), batch_size=64, verbose=0)
    return model


def predict_loop(models):
    def run(images):
        return np.mean([model.predict(images, batch_size=len(images), verbose=0) for model in models], axis=0)

    return run


def on_batch(model, jit=False):
    """`predict_on_batch`, as one calls a model on images that are there."""
    model = keras.Model(model.inputs, model.outputs)
    model.compile(jit_compile=jit)
    return model.predict_on_batch


def saved_model(folder):
    loaded = tf.saved_model.load(str(folder))
    signature = loaded.signatures["tensor"]

    def run(images, _kept=loaded):
        return signature(images=tf.constant(images))["probabilities"].numpy()

    return run


def freeze(model, batch=None):
    """Variables as constants: batch normalisations can be folded into convolutions."""
    call = tf.function(lambda images: model(images, training=False))
    concrete = call.get_concrete_function(tf.TensorSpec([batch, *model.input_shape[1:]], tf.float32))
    return convert_variables_to_constants_v2(concrete)


def frozen_graph(model):
    frozen = freeze(model)

    def run(images):
        return frozen(tf.constant(images))[0].numpy()

    return run


def onnx_runtime(model):
    """Of the frozen graph: Keras's own ONNX export makes inputs of the constants of `Normalization`."""
    import onnxruntime
    import tf2onnx

    frozen = freeze(model)
    proto, _ = tf2onnx.convert.from_graph_def(
        frozen.graph.as_graph_def(), input_names=[frozen.inputs[0].name], output_names=[frozen.outputs[0].name]
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count()
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})[0]


def lite_rt(model, batch):
    from ai_edge_litert.interpreter import Interpreter

    content = tf.lite.TFLiteConverter.from_concrete_functions([freeze(model, batch)], None).convert()
    interpreter = Interpreter(model_content=content, num_threads=os.cpu_count())
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def run(images):
        interpreter.set_tensor(source, images)
        interpreter.invoke()
        return interpreter.get_tensor(target)

    return run


def rows_of(models, ensemble, folder, batch):
    """Name to a function from images to probabilities, and what is left out."""
    saved, folded = folder / "1", kerastricks.serving.fold_batch_norm(ensemble)
    makers = {
        "loop of model.predict": lambda: predict_loop(models),
        "ensemble.combine, predict_on_batch": lambda: on_batch(ensemble),
        "ensemble.combine, predict_on_batch, jit_compile": lambda: on_batch(ensemble, jit=True),
        "the same after fold_batch_norm": lambda: on_batch(folded),
        "SavedModel, signature tensor": lambda: saved_model(saved),
        "frozen graph": lambda: frozen_graph(folded),
        "ONNX Runtime": lambda: onnx_runtime(folded),
        "LiteRT": lambda: lite_rt(folded, batch),
    }
    rows, missing = {}, {}
    for name, make in makers.items():
        try:
            rows[name] = make()
        except ImportError as error:
            missing[name] = str(error)
    return rows, missing


def compare(rows, models, images):
    """The largest difference of each row to the loop; an error where it is no longer the same ensemble."""
    members = np.stack([model.predict_on_batch(images) for model in models])
    if np.abs(members - members.mean(axis=0)).max() < 1e-3:
        raise SystemExit("the members say the same: equal outputs would show nothing; give other --steps")
    expected = rows["loop of model.predict"](images)
    differences = {name: float(np.abs(run(images) - expected).max()) for name, run in rows.items()}
    wrong = {name: value for name, value in differences.items() if not value <= TOLERANCE}
    if wrong:
        raise SystemExit(f"outputs differ by more than {TOLERANCE}: {wrong}")
    return max(differences.values())


def timed(run, images, calls):
    def once():
        started = time.perf_counter()
        for _ in range(calls):
            run(images)
        return (time.perf_counter() - started) / calls * 1000

    return once


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 256])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=40, help="training steps of each member")
    arguments = parser.parse_args()
    models = [train(seed, arguments.steps) for seed in range(arguments.members)]
    ensemble = kerastricks.ensemble.combine(models)
    print(
        f"{device.describe()}; {os.cpu_count()} cores; {arguments.members} members of "
        f"{models[0].count_params():,} weights"
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        ensemble.save(folder / "ensemble.keras")
        kerastricks.serving.export_saved_model(folder / "ensemble.keras", NAMES, folder)
        for batch in arguments.batches:
            images, _ = coloured(batch, 1000)
            rows, missing = rows_of(models, ensemble, folder, batch)
            difference = compare(rows, models, images)
            calls = {name: 1 if batch > 8 or name.startswith("loop") else 20 for name in rows}
            found = measure({name: timed(run, images, calls[name]) for name, run in rows.items()}, arguments.rounds)
            loop = "loop of model.predict"
            show(f"batch {batch}, outputs equal at {difference:.1g}", "ms", found, loop)
            faster = {
                name: np.median([a / b for a, b in zip(found[loop], values, strict=True)])
                for name, values in found.items()
            }
            print("\ntimes as fast as the loop: " + "; ".join(f"{name} {value:.3g}" for name, value in faster.items()))
            for name, reason in missing.items():
                print(f"left out: {name} ({reason})")


if __name__ == "__main__":
    main()
