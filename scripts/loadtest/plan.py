"""What the engine is told, as JSON on its standard input, and how it writes what it records.

A record is one request: when it was planned, how much later it left and was answered, and how it
ended and which version answered, as numbers that earlier messages gave to the names.
"""

import base64
import json
import struct
from dataclasses import asdict, dataclass

from controlplane.simulation.load import Load

RECORD = struct.Struct("<dffHH")
"""planned, seconds since the start; departure and answer, seconds after that; outcome; version."""
MESSAGE = struct.Struct("<cI")
"""Kind and length of what follows: RECORDS, or NAMES and END, which are JSON."""
RECORDS, NAMES, END = b"R", b"N", b"E"
OK = "ok"
NO_VERSION = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """One load."""

    host: str
    """What is dialled."""
    port: int
    secure: bool
    authority: str
    """The name that is asked for, in Host or :authority; also the certificate's."""
    over_grpc: bool
    requests: tuple[bytes, ...]
    """Sent in turn: over REST with the head, over gRPC a message."""
    load: Load
    poisson: bool
    """Independent clients, or one request every 1/rate seconds."""
    seed: int
    connections: int
    timeout_seconds: float

    def dump(self) -> bytes:
        """One line."""
        document = asdict(self)
        document["requests"] = [base64.b64encode(one).decode() for one in self.requests]
        return json.dumps(document).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> "Plan":
        """What `dump` wrote."""
        document = json.loads(line)
        requests = tuple(base64.b64decode(one) for one in document.pop("requests"))
        load = document.pop("load")
        curve = Load(tuple(load["seconds"]), tuple(load["rates"]), load["duration"])
        return cls(requests=requests, load=curve, **document)
