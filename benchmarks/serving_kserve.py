"""The model server of a user of KServe's Python SDK; runs in an environment of its own, without kerastricks.

python serving_kserve.py --model_name NAME --http_port PORT --grpc_port PORT --saved-model FOLDER
"""

import argparse
import asyncio
import base64
import logging

import tensorflow as tf
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer, model_server
from kserve.utils.utils import generate_uuid


class Classifier(Model):
    """A SavedModel."""

    def __init__(self, name: str, folder: str) -> None:
        super().__init__(name)
        self.folder = folder

    def load(self) -> bool:
        self.loaded = tf.saved_model.load(self.folder)
        self.signature = self.loaded.signatures["serving_default"]
        self.ready = True
        return True

    async def predict(self, payload: InferRequest, headers=None, response_headers=None) -> InferResponse:
        # REST has base64 in JSON (the SDK's binary extension makes text of BYTES), gRPC the bytes.
        images = [base64.b64decode(one) if isinstance(one, str) else one for one in payload.inputs[0].as_numpy()]
        probabilities = await asyncio.to_thread(self.classify, images)
        output = InferOutput("probabilities", list(probabilities.shape), "FP32")
        output.set_data_from_numpy(probabilities)
        return InferResponse(payload.id or generate_uuid(), self.name, [output])

    def classify(self, images):
        return self.signature(bytes=tf.constant(images))["probabilities"].numpy()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(parents=[model_server.parser])
    parser.add_argument("--saved-model", required=True)
    arguments = parser.parse_args()
    classifier = Classifier(arguments.model_name, arguments.saved_model)
    classifier.load()
    server = ModelServer(enable_latency_logging=False)
    # No line of log per request, as in the other servers; what makes the server sets levels, so after that.
    for name in ("kserve", "kserve.trace", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.WARNING)
    server.start([classifier])
