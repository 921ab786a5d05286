"""The model class of a user of MLServer; runs in an environment of its own, without kerastricks."""

import asyncio

import tensorflow as tf
from mlserver import MLModel
from mlserver.codecs import Base64Codec, NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Classifier(MLModel):
    """A SavedModel from `parameters.uri`."""

    async def load(self) -> bool:
        self.loaded = tf.saved_model.load(self.settings.parameters.uri)
        self.signature = self.loaded.signatures["serving_default"]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        # REST has base64 in JSON (MLServer has no binary extension), gRPC the bytes, which the codec passes on.
        images = Base64Codec.decode_input(payload.inputs[0])
        probabilities = await asyncio.to_thread(self.classify, images)
        output = NumpyCodec.encode_output("probabilities", probabilities)
        return InferenceResponse(model_name=self.name, outputs=[output])

    def classify(self, images):
        return self.signature(bytes=tf.constant(images))["probabilities"].numpy()
