"""What a request can be refused for, with the status each transport answers.

V2Error
├── InvalidRequest          400  INVALID_ARGUMENT    breaks the protocol or the signature
│   ├── BodyTooLarge        413  RESOURCE_EXHAUSTED
│   ├── UnsupportedEncoding 415  UNIMPLEMENTED       content type or content encoding
│   └── WrongCardinality    400  UNIMPLEMENTED       no message or several, where gRPC wants one
├── NotFound                404  NOT_FOUND           no such model, version or path
│   └── WrongMethod         405  UNIMPLEMENTED
├── Overloaded              429  RESOURCE_EXHAUSTED  too many requests, or too much of them
│   └── QueueFull           429  RESOURCE_EXHAUSTED  the model's queue is full
├── ClientGone              499  CANCELLED           the client left before its turn came
├── InferenceFailed         500  INTERNAL            the model raised: the server's fault
├── NotReady                503  UNAVAILABLE         not loaded yet, or shutting down
│   └── Behind              503  UNAVAILABLE         another replica may answer it
└── DeadlineExceeded        504  DEADLINE_EXCEEDED   the client's deadline passed in the queue
"""


class V2Error(Exception):
    """A refusal with its HTTP status, gRPC code name and outcome label."""

    status = 500
    grpc_code = "INTERNAL"
    outcome = "error"


class InvalidRequest(V2Error):
    """The request breaks the protocol or the model's signature; the message names the tensor."""

    status = 400
    grpc_code = "INVALID_ARGUMENT"
    outcome = "invalid"


class BodyTooLarge(InvalidRequest):
    """The body or message, as sent or after decompression, is over its limit."""

    status = 413
    grpc_code = "RESOURCE_EXHAUSTED"


class UnsupportedEncoding(InvalidRequest):
    """The content type or content encoding is not one that V2 bodies come in."""

    status = 415
    grpc_code = "UNIMPLEMENTED"


class WrongCardinality(InvalidRequest):
    """A gRPC method that takes one message got none or several; gRPC's word for it is odd."""

    grpc_code = "UNIMPLEMENTED"


class NotFound(V2Error):
    """No such model, version or path on this server."""

    status = 404
    grpc_code = "NOT_FOUND"
    outcome = "invalid"


class WrongMethod(NotFound):
    """The path exists, the method does not."""

    status = 405
    grpc_code = "UNIMPLEMENTED"

    def __init__(self, message: str, allow: str) -> None:
        super().__init__(message)
        self.allow = allow


class Overloaded(V2Error):
    """Too much waits or is held already; trying again later may help."""

    status = 429
    grpc_code = "RESOURCE_EXHAUSTED"
    outcome = "rejected"


class QueueFull(Overloaded):
    """As many requests wait as may."""

    def __init__(self, model: str, size: int) -> None:
        super().__init__(f"model '{model}': its queue of {size} requests is full")


class ClientGone(V2Error):
    """The client left before its turn came, so nothing was computed."""

    status = 499
    grpc_code = "CANCELLED"
    outcome = "cancelled"


class InferenceFailed(V2Error):
    """The model raised on a valid request."""


class NotReady(V2Error):
    """The model is not loaded yet, or the server is shutting down."""

    status = 503
    grpc_code = "UNAVAILABLE"
    outcome = "unready"


class Behind(NotReady):
    """This replica does not serve what it should; another one may, and the gateway asks it."""


class DeadlineExceeded(V2Error):
    """The client's deadline passed while the request waited."""

    status = 504
    grpc_code = "DEADLINE_EXCEEDED"
    outcome = "deadline"
