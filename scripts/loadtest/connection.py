"""What the engine and its connections ask of each other, whatever the transport."""

from typing import Protocol


class Connection(Protocol):
    """Sends requests while it has room, and tells the engine of every answer."""

    listed: bool
    """Whether the engine has it among the free ones."""

    @property
    def has_room(self) -> bool:
        """Whether a request may be sent now."""
        ...

    def send(self, request: bytes, planned: float, now: float) -> None:
        """Send a request; there is room."""

    def expire(self, before: float) -> None:
        """Give up what left before this time."""

    def close(self) -> None:
        """Leave."""


class Owner(Protocol):
    """What a connection tells of: the engine."""

    largest_request: int
    """Bytes."""

    def opened(self, connection: Connection) -> None:
        """A connection may be used."""

    def closed(self, connection: Connection) -> None:
        """A connection ended; another takes its place."""

    def offer(self, connection: Connection) -> None:
        """Use a connection's room: for what waits longest, else for what comes next."""

    def answered(
        self, connection: Connection, planned: float, sent: float, outcome: str, version: str
    ) -> None:
        """A request ended."""

    def again(self, planned: float) -> None:
        """A request that the server has not begun, by its own word, goes to another connection."""

    def fail(self, why: str) -> None:
        """End the load: it cannot be what was asked for."""
