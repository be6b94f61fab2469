"""HTTP questions to processes on loopback: probes of pods, and Envoy's admin port.

A probe is a handful of bytes each way, many times a second; a client library's start-up and
connection pool would cost more than the question.
"""

import asyncio
import contextlib

from controlplane.local.node.processes import LOOPBACK


async def ask(
    port: int, path: str, timeout_seconds: float, method: str = "GET"
) -> tuple[int, bytes]:
    """Send one request to loopback and read the answer: (status, body).

    A refused or broken connection, or silence for `timeout_seconds`, is status 0.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            return await _exchange(port, path, method)
    except (OSError, ValueError, IndexError, asyncio.IncompleteReadError, TimeoutError):
        return 0, b""


async def _exchange(port: int, path: str, method: str) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: {LOOPBACK}\r\nUser-Agent: kube-probe/serin\r\n"
            "Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status = int(head.split(" ", 2)[1])
        if "transfer-encoding: chunked" in head:
            return status, await _chunks(reader)
        return status, await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readline()).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    return body
