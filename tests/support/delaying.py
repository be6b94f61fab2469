"""An HTTP server whose delays are the same for everyone who asks it: a reference for load tests.

    python -m tests.support.delaying [--stall-every N]

prints its port. Its n-th answer comes DELAYS[n] seconds after the request, over and over; at every
N-th request it stops for STALL_SECONDS, and nothing is read or answered meanwhile.
"""

import argparse
import asyncio
import random
import sys
import time
from typing import cast

import httptools
import uvloop

DELAYS = [0.03 + 0.0009 * place for place in range(100)]  # 30 … 119 ms
STALL_SECONDS = 0.4
BODY = b'{"model_name":"iris","model_version":"0123456789ab","id":"","outputs":[]}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


class Server:
    """Counts the requests of all connections."""

    def __init__(self, stall_every: int, delays: list[float]) -> None:
        self.stall_every = stall_every
        self.delays = delays
        self.seen = 0

    def delay(self) -> float:
        self.seen += 1
        if self.stall_every and self.seen % self.stall_every == 0:
            time.sleep(STALL_SECONDS)
        return self.delays[self.seen % len(self.delays)]


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        delay = self.server.delay()
        if delay:
            asyncio.get_running_loop().call_later(delay, self.transport.write, ANSWER)
        else:
            self.transport.write(ANSWER)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--stall-every", type=int, default=0)
    parser.add_argument("--at-once", action="store_true")
    options = parser.parse_args()
    shuffled = [0.0] if options.at_once else random.Random(1).sample(DELAYS, len(DELAYS))
    state = Server(options.stall_every, shuffled)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(state), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
