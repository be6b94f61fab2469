"""MLServer with its adaptive batching, which is what it has for models that are slow per call."""

from scripts.benchmark.peer import Peer, Place, Start
from scripts.benchmark.peers.mlserver import LOADS, NEWEST_PYTHON, served


def start(place: Place) -> Start:
    """Up to 64 rows, waited for up to 5 ms."""
    return served(place, {"max_batch_size": 64, "max_batch_time": 0.005})


PEER = Peer(
    "MLServer batching",
    ("rest-json",),
    start,
    requirements="mlserver.txt",
    newest_python=NEWEST_PYTHON,
    loads=LOADS,
)
