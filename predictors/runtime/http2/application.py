"""What a connection asks of those who answer its requests."""

from typing import Any, Protocol

from predictors.runtime.http2.header_blocks import Field
from predictors.runtime.http2.sender import Sender
from predictors.runtime.http2.stream import Stream


class Application(Protocol):
    """What answers the requests of a connection."""

    max_streams: int
    """Requests that one connection may have open."""

    def parse(self, fields: list[Field]) -> Any:
        """Read a request's head; equal heads may be read once. Raise StreamFault if malformed."""

    def open(self, connection: Sender, stream_id: int, head: Any) -> Stream:
        """Begin a request."""
