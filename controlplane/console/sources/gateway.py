"""V2 through the gateway, as any client: a model's metadata, requests, and streamed text."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from controlplane.console.sources import bounded
from controlplane.console.sources.answer import SourceError
from controlplane.console.sources.bounded import Reply

WHO = "The gateway"
INFER_SECONDS = 30.0
STREAM_SECONDS = 120.0
ANSWER_BYTES = 2 * 2**20
_ACCEPT = {"Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class Address:
    """A model behind the gateway."""

    model: str
    host: str
    """As the InferenceService's status.url names it."""
    url: str = ""
    """Where it is inside the cluster, without the gateway: status.address.url."""

    @property
    def path(self) -> str:
        """Where its V2 resource is."""
        return f"/v2/models/{quote(self.model, safe='')}"

    @classmethod
    def of(cls, service: Mapping[str, Any]) -> "Address":
        """From an InferenceService."""
        status = service.get("status") or {}
        url = str(status.get("url") or "")
        inside = str((status.get("address") or {}).get("url") or "").rstrip("/")
        return cls(str(service["metadata"]["name"]), urlsplit(url).hostname or "", inside)


class Gateway:
    """One inference gateway; without an address, each model's own inside the cluster."""

    def __init__(self, url: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        self._client = httpx.AsyncClient(trust_env=False, transport=transport)

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def metadata(self, address: Address) -> dict[str, Any]:
        """What a model takes and gives.

        Raises:
            SourceError: There is no answer.
        """
        reply = await self._ask("GET", address, "")
        try:
            document = reply.document()
        except ValueError as error:
            raise SourceError(f"{WHO} answers {reply.status}: {reply.text()[:300]}") from error
        if reply.is_error:
            raise SourceError(f"{WHO} answers {reply.status}: {document.get('error')}")
        return document

    async def infer(self, address: Address, body: Mapping[str, Any]) -> Reply:
        """Send a request.

        Raises:
            SourceError: There is no answer.
        """
        return await self._ask("POST", address, "/infer", seconds=INFER_SECONDS, json=dict(body))

    async def stream(self, address: Address, body: Mapping[str, Any]) -> AsyncIterator[bytes]:
        """The pieces of an answer as server-sent events, as they come.

        Raises:
            SourceError: There is no answer, or one that is too long.
        """
        sent = 0
        try:
            async with (
                asyncio.timeout(STREAM_SECONDS),
                self._client.stream(
                    "POST",
                    f"{self.base(address)}{address.path}/generate_stream",
                    json=dict(body),
                    headers=self._headers(address),
                    timeout=INFER_SECONDS,
                ) as stream,
            ):
                if stream.status_code != 200:
                    said = (await stream.aread())[:300].decode("utf-8", "replace")
                    raise SourceError(f"{WHO} answers {stream.status_code}: {said}")
                async for chunk in stream.aiter_raw():
                    sent += len(chunk)
                    if sent > ANSWER_BYTES:
                        raise SourceError(f"The answer has more than {ANSWER_BYTES:,} bytes.")
                    yield chunk
        except (TimeoutError, httpx.HTTPError, OSError) as error:
            said = str(error) or type(error).__name__
            raise SourceError(f"{WHO} does not answer: {said[:300]}") from error

    async def _ask(self, method: str, address: Address, path: str, **options: Any) -> Reply:
        return await bounded.request(
            self._client,
            WHO,
            method,
            f"{self.base(address)}{address.path}{path}",
            headers=self._headers(address),
            limit_bytes=ANSWER_BYTES,
            **options,
        )

    def base(self, address: Address) -> str:
        """Where a model's path begins.

        Raises:
            SourceError: Nowhere yet.
        """
        if not (self.url or address.url):
            raise SourceError(f"{address.model} has no address yet, so nothing can be asked of it.")
        return self.url or address.url

    def _headers(self, address: Address) -> dict[str, str]:
        # A cluster's gateway finds the model by its host; a laptop's knows both ways.
        by_host = self.url and address.host
        return {**_ACCEPT, **({"Host": address.host} if by_host else {})}
