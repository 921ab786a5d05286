"""The gRPC server: all services on one port."""

import grpc
from grpc_health.v1 import health_pb2_grpc

from kerastricks.serving.server import grpc_open_inference, grpc_tensorflow
from kerastricks.serving.server.engine import Engine
from kerastricks.serving.server.grpc_methods import Observer, Service
from kerastricks.serving.server.open_inference_messages import SERVICE


def create(
    engine: Engine,
    max_message_bytes: int = 32 << 20,
    token: str | None = None,
    observe: Observer | None = None,
    reuse_port: bool = False,
) -> grpc.aio.Server:
    """The server of TensorFlow Serving's services, of the Open Inference Protocol's, and of gRPC's health checks.

    To be called in the event loop that serves. The caller adds ports, plain or with TLS, starts it, and stops it when
    the engine has drained.

    Args:
        engine: runs the requests.
        max_message_bytes: largest request; others are refused with RESOURCE_EXHAUSTED. Answers have no limit.
        token: that clients send as metadata, `authorization: Bearer TOKEN`; None for none. Health checks need none.
        observe: called after each request with its method, the model that it names ("" for none), the name of its code,
            seconds, and its id: the client's metadata `x-request-id`, or a new one.
        reuse_port: whether other processes may listen on the same port.
    """
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", int(reuse_port)),
        ]
    )
    service = Service(engine, token, observe)
    server.add_generic_rpc_handlers(
        (
            service.handler(grpc_tensorflow.PREDICTION_SERVICE, grpc_tensorflow.PREDICTION_METHODS),
            service.handler(grpc_tensorflow.MODEL_SERVICE, grpc_tensorflow.MODEL_METHODS),
            service.handler(SERVICE, grpc_open_inference.methods(engine)),
        )
    )
    health_pb2_grpc.add_HealthServicer_to_server(grpc_open_inference.Health(engine), server)
    return server
