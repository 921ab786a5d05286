"""A model server in a thread, and TensorFlow Serving's example model for it."""

import threading
from contextlib import contextmanager
from dataclasses import replace

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from kerastricks.serving.server import ServeOptions, serve


@contextmanager
def running(repository, **options):
    """A server in a thread, on free ports; gives where it listens."""
    chosen = replace(
        ServeOptions(repository, port=0, grpc_port=0, access_log=False, poll_seconds=0.05, drain=2.0), **options
    )
    found, lines, failed = [], [], []
    up, stop = threading.Event(), threading.Event()

    def ready(where):
        found.append(where)
        up.set()

    def run():
        try:
            serve(chosen, say=lines.append, ready=ready, stop=stop)
        except BaseException as error:
            failed.append(error)
        finally:
            up.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert up.wait(120)
        assert not failed, failed
        found[0].__dict__["lines"] = lines
        yield found[0]
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()
    assert not failed, failed


class HalfPlus(tf.Module):
    """TensorFlow Serving's example: y = x / 2 + c, also as a classification, and with inputs of several kinds."""

    def __init__(self, constant):
        super().__init__()
        self.constant = tf.Variable(float(constant))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def predict(self, x):
        return {"y": x / 2 + self.constant}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def classify(self, inputs):
        x = tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([], tf.float32)})["x"]
        return {"classes": tf.as_string(x[:, None], precision=1), "scores": x[:, None] / 2 + self.constant}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "tag"),
            tf.TensorSpec([None, None], tf.float32, "signal"),
            tf.TensorSpec([None, 2, 2], tf.int32, "sensor"),
        ]
    )
    def several(self, tag, signal, sensor):
        return {
            "tag_bytes": tag,
            "tag": tag,
            "total": tf.reduce_sum(signal, 1),
            "sensor": sensor,
            "flag": signal[:, 0] > 2,
        }

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32, "x")])
    def scalar(self, x):
        return {"y": x + self.constant}


def export_half_plus(folder, constant):
    """Write HalfPlus to MODEL/VERSION."""
    module = HalfPlus(constant)
    signatures = {
        "serving_default": module.predict,
        "classify_x": module.classify,
        "several": module.several,
        "scalar": module.scalar,
    }
    begun = folder.with_name(f".begun-{folder.name}")
    tf.saved_model.save(module, str(begun), signatures=signatures)
    path = begun / "saved_model.pb"
    found = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    found.meta_graphs[0].signature_def["classify_x"].method_name = "tensorflow/serving/classify"
    path.write_bytes(found.SerializeToString())
    begun.rename(folder)
