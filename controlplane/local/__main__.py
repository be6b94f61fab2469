"""The supervisor's process: `python -m controlplane.local --port 8080 --notify 5`.

Started by `serin up`, in a session of its own. Tells the starter one line through the notify pipe,
"ok" or the sentence that says why not, and then runs until SIGTERM.
"""

import argparse
import asyncio
import contextlib
import errno
import logging
import os
import signal
import sys

from controlplane.errors import SerinError
from controlplane.local.node import processes
from controlplane.local.supervisor import Supervisor
from controlplane.statefolder import Home, hold, home, read_json, tidy_logs


async def supervise(where: Home, port: int, notify: int) -> None:
    """Hold the lock, start everything, run until a signal, stop everything."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    hold(where)
    # What a killed supervisor left: on Linux the kernel has ended it already.
    processes.sweep(read_json(where.state).get("processes", ()), str(where.path))
    where.state.unlink(missing_ok=True)
    tidy_logs(where)

    supervisor = Supervisor(where, port)
    loop.add_signal_handler(signal.SIGHUP, supervisor.wake)
    loop.add_signal_handler(signal.SIGCHLD, supervisor.child_ended)
    stopped = asyncio.create_task(told.wait())
    try:
        started = asyncio.create_task(supervisor.start())
        await asyncio.wait({started, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if started.done():
            await started
            running = asyncio.create_task(supervisor.run())
            supervisor.wake()
            await _tell(notify, "ok")
            await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
            supervisor.stopping.set()
            supervisor.wake()
            await running
        else:
            started.cancel()
            await asyncio.gather(started, return_exceptions=True)
    finally:
        stopped.cancel()
        try:
            await supervisor.stop()
        finally:
            where.state.unlink(missing_ok=True)
            where.desired.unlink(missing_ok=True)
            where.lock.write_text("", "utf-8")


def main() -> int:
    """Run the supervisor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="gateway port; 0 = any free")
    parser.add_argument("--notify", type=int, required=True, help="pipe to the starter")
    options = parser.parse_args()
    os.set_inheritable(options.notify, False)  # noqa: FBT003  the os module's own
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    # One line for each of Prometheus' answers, four of five lines of the log otherwise.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    processes.raise_file_limit()
    log = logging.getLogger("controlplane.local")
    try:
        asyncio.run(supervise(home(), options.port, options.notify))
    except SerinError as error:
        log.error("%s", error)  # noqa: TRY400  the sentence says it
        return _failed(options.notify, str(error))
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return _failed(options.notify, f"The disk is full ({home().path}): free some space.")
        log.exception("The supervisor failed")
        return _failed(options.notify, f"{error.strerror}: {error.filename}.")
    return 0


async def _tell(notify: int, line: str) -> None:
    with contextlib.suppress(OSError):  # the starter may be gone
        os.write(notify, f"{line}\n".encode())
        os.close(notify)


def _failed(notify: int, sentence: str) -> int:
    with contextlib.suppress(OSError):
        os.write(notify, f"{sentence}\n".encode())
    return 1


if __name__ == "__main__":
    sys.exit(main())
