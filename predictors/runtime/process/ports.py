"""TCP ports to serve on: taken by one process, or shared by the workers of one predictor."""

import socket


def listen(host: str, port: int, what: str, advice: str, *, share: bool = False) -> socket.socket:
    """A socket bound to a port, not listening yet.

    Args:
        host: an address of this machine.
        port: 0 takes any free one.
        what: REST or gRPC, for the message.
        advice: what to set instead where the port is taken.
        share: whether other sockets made so may be bound to it as well.

    Raises:
        OSError: the port is taken, or the address is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if share:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(
            f"{what} cannot listen on {host}:{port}: {error.strerror}; set {advice}"
        ) from error
    listener.setblocking(False)  # noqa: FBT003 - the socket module's own
    return listener


def reserve(host: str, port: int, what: str, advice: str) -> socket.socket:
    """Bind a port that others made with `share` may listen on, after seeing that nobody has it.

    Raises:
        OSError: as `listen` does.
    """
    listen(host, port, what, advice).close()  # SO_REUSEPORT would share it with a stranger
    return listen(host, port, what, advice, share=True)
