"""ModelInfer: calls go to the coalescer, with those of REST."""

from functools import partial

from predictors.runtime.dataplane.budget import Hold
from predictors.runtime.dataplane.coalescer import Caller, Coalescer
from predictors.runtime.dataplane.unpacking import RATIO
from predictors.runtime.grpc.call import Unary, UnaryCall
from predictors.runtime.v2.errors import Behind, V2Error
from predictors.runtime.v2.protobuf import decode_grpc, encode_grpc, parse_grpc
from predictors.runtime.v2.signature import Outputs, Request


class ModelInfer(Unary):
    """Every infer call over gRPC of one model server."""

    def __init__(self, coalescer: Coalescer) -> None:
        self._coalescer = coalescer

    def answer(self, call: UnaryCall, message: bytes) -> None:
        """Collect a call; past the queue's size it is refused on the spot."""
        self._collect(call, message, packed=False)

    def answer_packed(self, call: UnaryCall, message: bytes) -> None:
        self._collect(call, message, packed=True)

    def refuse(self, call: UnaryCall, error: V2Error) -> None:
        caller = GrpcCaller(self._coalescer, call, b"", packed=False)
        caller.service.begin(caller)
        self._coalescer.refuse(caller, error)

    def _collect(self, call: UnaryCall, message: bytes, *, packed: bool) -> None:
        coalescer = self._coalescer
        if coalescer.full():
            error = coalescer.turn_away()
            call.fail(error.grpc_code, str(error))
            return
        caller = GrpcCaller(coalescer, call, message, packed=packed)
        caller.service.begin(caller)
        if call.head.min_generation is not None:
            try:
                caller.service.check_generation(call.head.min_generation)
            except V2Error as error:
                coalescer.refuse(caller, error)
                return
        coalescer.collect(caller)


class GrpcCaller(Caller):
    """A call whose message is whole."""

    def __init__(
        self, coalescer: Coalescer, call: UnaryCall, message: bytes, *, packed: bool
    ) -> None:
        super().__init__("grpc")
        self.service = coalescer.service
        head = call.head
        self.client_id = head.client_id
        self.traceparent = head.traceparent
        self.shadow = head.shadow
        self._coalescer = coalescer
        self._call = call
        self._message = message
        self.deadline = call.deadline
        self.size = len(message) * RATIO if packed else len(message)
        self._packed = packed
        if call.hold is not None:
            self.hold, call.hold = call.hold, None

    @property
    def gone(self) -> bool:
        return self._call.closed

    def holding(self) -> Hold:
        if self.hold is None:
            self.hold = self._call.new_hold()
        return self.hold

    def decode(self) -> Request:
        service = self.service
        message, self._message = self._message, b""
        if self._packed:
            message = self._call.unpacked(message, self.holding())
        parsed = parse_grpc(message, service.model.signature)
        service.check_model(parsed.model_name, parsed.model_version)
        return decode_grpc(parsed, service.model.signature)

    def encode(self, request: Request, outputs: Outputs) -> bytes:
        model = self.service.model
        return encode_grpc(request, outputs, model.name, model.version)

    def send(self, answer: bytes) -> None:
        call = self._call
        call.on_lost = None
        if call.closed:
            self.release()
            return
        call.hold, self.hold = self.hold, None  # let go of once all is sent
        call.generation = self.service.generation
        call.answer(answer)

    def fail(self, error: V2Error) -> None:
        self.release()
        self._call.on_lost = None
        self._call.generation = self.service.generation
        self._call.fail(error.grpc_code, str(error), elsewhere=isinstance(error, Behind))

    def wait(self) -> None:
        self._call.on_lost = partial(self._coalescer.left, self)
