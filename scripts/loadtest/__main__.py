"""The engine as a process: a plan on stdin, records on stdout; the end of stdin stops it early."""

import asyncio
import gc
import json
import os
import signal
import sys

import uvloop

from scripts.loadtest.engine import Engine
from scripts.loadtest.plan import END, MESSAGE, Plan


async def main() -> None:
    """Run one load."""
    loop = asyncio.get_running_loop()
    plan = Plan.read(sys.stdin.buffer.readline())
    # A transport of the pipe buffers: a reader that is slow for once delays no departure.
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, output)
    engine = Engine(plan, transport.write)
    loop.add_reader(sys.stdin.fileno(), engine.stop)
    # Nothing here makes cycles while it sends, and a collection would delay whatever is due.
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        await engine.run()
    except OSError as error:  # a timeout is one too
        text = json.dumps({"unreachable": error.strerror or "it gave no answer"}).encode()
        transport.write(MESSAGE.pack(END, len(text)) + text)
    transport.close()  # after what it still holds
    while transport.get_write_buffer_size():  # noqa: ASYNC110  transports tell nobody
        await asyncio.sleep(0.01)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the parent's to handle
    uvloop.run(main())
