"""The port of /metrics: prometheus_client's own server keeps a thread for each client for ever."""

import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

MAX_SCRAPES = 8  # at a time; one more ends the oldest, which nobody waits for
SCRAPE_SECONDS = 5.0  # for each read and write of a socket

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class _Handler(WSGIRequestHandler):
    timeout = SCRAPE_SECONDS  # of the socket

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
        """Write no line a scrape."""


class _Server(ThreadingMixIn, WSGIServer):
    """A thread a scrape, of which there are few."""

    daemon_threads = True
    request_queue_size = 1_024  # with five, a client that comes behind a crowd waits for seconds

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._open: deque[socket.socket] = deque()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.append(request)
        while len(self._open) > MAX_SCRAPES:
            _hang_up(self._open.popleft())
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        with suppress(ValueError):  # it was hung up on
            self._open.remove(request)
        super().close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left or was hung up on is no fault."""


def _hang_up(request: socket.socket) -> None:
    try:
        request.shutdown(socket.SHUT_RDWR)  # wakes its thread, which closes it
    except OSError:
        return  # it is closed


def start(host: str, port: int, app: WsgiApp) -> None:
    """Answer GET /metrics in a thread of its own."""
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    kind = type("Server", (_Server,), {"address_family": family})
    server: WSGIServer = make_server(str(address[0]), port, app, kind, _Handler)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
