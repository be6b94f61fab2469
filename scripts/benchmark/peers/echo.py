"""The floor: uvicorn, and an application that sends the request's body back."""

from scripts.benchmark.peer import SERVERS, Peer, Place, Start


def start(place: Place) -> Start:
    """servers/echo.py, with the uvicorn, uvloop and httptools that Serin serves with."""
    return Start([place.python, "-P", SERVERS / "echo.py", str(place.http_port)])


PEER = Peer("uvicorn echo", ("rest-json",), start, echoes=True)
