"""grpc.health.v1.Health, for Kubernetes' gRPC probes and for clients that balance by it.

Its messages are one field each, so they are bytes here: HealthCheckRequest.service is field 1, a
string; HealthCheckResponse.status is field 1, an enum.
https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

import asyncio

from predictors.runtime.dataplane.coalescer import Coalescer
from predictors.runtime.dataplane.service import Service
from predictors.runtime.grpc.call import Unary, UnaryCall
from predictors.runtime.grpc.streaming_call import StreamingCall
from predictors.runtime.v2.errors import InvalidRequest, NotFound, V2Error

_LOOK_SECONDS = 0.2  # how soon a watcher learns of a change
_SERVING, _NOT_SERVING, _SERVICE_UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"


class Health(Unary):
    """Whether the server, V2's service or the model takes requests."""

    def __init__(self, coalescer: Coalescer) -> None:
        self._coalescer = coalescer
        name = coalescer.service.model.name
        self._names = {"", "inference.GRPCInferenceService", name}
        self._changed = asyncio.Event()
        self._watchers = 0
        self._looking = False

    def answer(self, call: UnaryCall, message: bytes) -> None:
        """Check: NOT_FOUND for a service that is not here."""
        try:
            status = self._status(_name(message))
            if status == _SERVICE_UNKNOWN:
                raise NotFound("unknown service; this server has " + ", ".join(self._names - {""}))
        except V2Error as error:
            call.fail(error.grpc_code, str(error))
        else:
            call.answer(status)

    @property
    def _service(self) -> Service:
        return self._coalescer.service

    async def watch(self, call: StreamingCall) -> None:
        """Watch: the status now, and whenever it changes, until the client leaves."""
        message = await call.read()
        if message is None:
            raise InvalidRequest("expected one message, got none")
        name = _name(message)
        del message  # a watcher stays for hours: what it sent does not
        told = b""
        self._watchers += 1
        if not self._looking:
            self._look((self._service.ready, self._service.draining))
        try:
            while True:
                changed, status = self._changed, self._status(name)
                if status != told:
                    await call.write(status)
                    told = status
                if self._service.draining:  # a stream that never ends would hold up the shutdown
                    return
                await changed.wait()
        finally:
            self._watchers -= 1

    def _look(self, before: tuple[bool, bool]) -> None:
        """Wake all watchers on a change; one timer for all of them, while there are any."""
        now = (self._service.ready, self._service.draining)
        if now != before:
            self._changed.set()
            self._changed = asyncio.Event()
        self._looking = self._watchers > 0
        if self._looking:
            asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look, now)

    def _status(self, name: str | None) -> bytes:
        if name not in self._names:
            return _SERVICE_UNKNOWN
        return _SERVING if self._service.ready else _NOT_SERVING


def _name(message: bytes) -> str | None:
    """The service that is asked for; None where it can be none of ours."""
    if not message:
        return ""
    # A name longer than 127 bytes would have a longer length: none of ours is.
    if len(message) < 2 or message[0] != 0x0A or message[1] != len(message) - 2:
        return None
    return message[2:].decode(errors="replace")
