"""One HTTP request that ends: by its answer, after some seconds, or after some bytes."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from controlplane.console.sources.answer import SourceError

SECONDS = 8.0
BYTES = 16 * 2**20
_PLAIN = {"Accept-Encoding": "identity"}  # so that a limit of bytes is one of memory


@dataclass(frozen=True, slots=True)
class Reply:
    """A status and the whole body."""

    status: int
    body: bytes

    @property
    def is_error(self) -> bool:
        """Whether it is no success."""
        return self.status >= 300

    def text(self) -> str:
        """The body as text, whatever its bytes."""
        return self.body.decode("utf-8", "replace")

    def document(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            ValueError: It is none.
        """
        document = json.loads(self.body)
        if not isinstance(document, dict):
            raise ValueError("no JSON object")  # noqa: TRY004  as of a body that is no JSON
        return document


async def request(
    client: httpx.AsyncClient,
    who: str,
    method: str,
    url: str,
    *,
    seconds: float = SECONDS,
    limit_bytes: int = BYTES,
    headers: Mapping[str, str] | None = None,
    **options: Any,
) -> Reply:
    """Ask once.

    Args:
        client: Whose connections to use.
        who: The source, as an error names it.
        method: The HTTP method.
        url: Where.
        seconds: From the first byte sent to the last one read.
        limit_bytes: Of the body.
        headers: Sent with it.
        options: httpx's own.

    Raises:
        SourceError: There is no answer, or it is too long.
    """
    sent = {**_PLAIN, **(headers or {})}
    try:
        async with (
            asyncio.timeout(seconds),
            client.stream(method, url, headers=sent, timeout=seconds, **options) as stream,
        ):
            body = bytearray()
            async for chunk in stream.aiter_raw():
                body += chunk
                if len(body) > limit_bytes:
                    raise SourceError(f"{who} answers with more than {limit_bytes:,} bytes.")
            return Reply(stream.status_code, bytes(body))
    except (TimeoutError, httpx.TimeoutException) as error:
        raise SourceError(f"{who} did not answer in {seconds:g} s.") from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        said = str(error) or type(error).__name__
        raise SourceError(f"{who} does not answer: {said[:300]}") from error
