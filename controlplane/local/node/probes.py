"""HTTP questions to processes of this machine: probes of pods, and Envoy's admin socket.

A probe is a handful of bytes each way, many times a second; a client library's start-up and
connection pool would cost more than the question.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from controlplane.local.controllers.plan import Probe
from controlplane.local.node.processes import LOOPBACK


async def passes(probe: Probe, port: int, env: Mapping[str, str]) -> bool:
    """Whether a probe succeeds now.

    Args:
        probe: What to ask.
        port: Where the container's port is on this machine.
        env: The container's variables, for a command.
    """
    loop = asyncio.get_running_loop()
    asked = asyncio.create_task(_answered(probe, port, env))
    try:
        due = loop.time() + probe.timeout_seconds
        done, _ = await asyncio.wait({asked}, timeout=probe.timeout_seconds)
        if not done:
            # This process may be late itself: it has as long again to read what came in time.
            done, _ = await asyncio.wait({asked}, timeout=loop.time() - due)
        return bool(done) and asked.result()
    finally:
        asked.cancel()


async def _answered(probe: Probe, port: int, env: Mapping[str, str]) -> bool:
    """What comes of a probe, however long it takes."""
    try:
        match probe.kind:
            case "tcpSocket":
                _, writer = await asyncio.open_connection(LOOPBACK, port)
                writer.close()
                return True
            case "exec":
                return await _succeeds(probe.command, env)
            case "grpc":
                return await _serves(port, probe.service)
        status, _ = await _exchange(port, probe.path, "GET", probe.headers)
    except (OSError, ValueError, IndexError, asyncio.IncompleteReadError):
        return False
    return 200 <= status < 400


async def _succeeds(command: Sequence[str], env: Mapping[str, str]) -> bool:
    """Run a command to its end; one that does not end in time is killed."""
    nothing = asyncio.subprocess.DEVNULL
    child = await asyncio.create_subprocess_exec(
        *command, env=env, stdin=nothing, stdout=nothing, stderr=nothing
    )
    try:
        return await child.wait() == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()


async def _serves(port: int, service: str) -> bool:
    """grpc.health.v1's Check, whose two messages are a field each."""
    import grpc

    name = service.encode()
    async with grpc.aio.insecure_channel(f"{LOOPBACK}:{port}") as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check", None, None)
        try:
            answer: bytes = await check(b"\x0a" + bytes([len(name)]) + name if name else b"")
        except grpc.aio.AioRpcError:
            return False
    return answer == b"\x08\x01"  # SERVING


async def ask(
    where: int | Path, path: str, timeout_seconds: float, method: str = "GET"
) -> tuple[int, bytes]:
    """Send one request to a loopback port or a Unix socket and read the answer: (status, body).

    A refused or broken connection, or silence for `timeout_seconds`, is status 0.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            return await _exchange(where, path, method)
    except (OSError, ValueError, IndexError, asyncio.IncompleteReadError, TimeoutError):
        return 0, b""


async def _exchange(
    where: int | Path, path: str, method: str, headers: Sequence[tuple[str, str]] = ()
) -> tuple[int, bytes]:
    if isinstance(where, Path):
        reader, writer = await asyncio.open_unix_connection(where)
    else:
        reader, writer = await asyncio.open_connection(LOOPBACK, where)
    try:
        fields = {"Host": LOOPBACK, "User-Agent": "kube-probe/serin", **dict(headers)}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {fields[name]}" for name in fields)]
        if not all(line.isprintable() for line in lines):
            raise ValueError("a line break in a probe's path or header")
        head = "\r\n".join([*lines, "Content-Length: 0", "Connection: close", "\r\n"])
        writer.write(head.encode())
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
