"""Where a model is asked: the address that is dialled, and the name that is asked for there."""

import ipaddress
import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from scripts.client.errors import RequestError, UsageError

NAMESPACE = "models"  # KServe's host for a model is <model>-<namespace>.<domain>
LOCAL_DOMAIN = "localhost"
API_KEY = "SERIN_API_KEY"
"""The environment variable with the key that a guarded model wants."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """One HTTP or HTTPS address; REST and gRPC share its port."""

    url: str
    """As it was given: scheme, host and port."""
    host: str
    port: int
    secure: bool

    @classmethod
    def parse(cls, url: str) -> "Gateway":
        """The gateway at `url`, where a missing scheme means http.

        Raises:
            UsageError: not an http(s) address.
        """
        parts = urlsplit(url if "://" in url else f"http://{url}")
        try:
            port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        except (KeyError, ValueError):
            raise UsageError(f"{url} is not an address like http://127.0.0.1:8080") from None
        if not parts.hostname or parts.path.strip("/"):
            raise UsageError(f"{url} is not an address like http://127.0.0.1:8080")
        address = f"{parts.scheme}://{parts.netloc}"
        return cls(address, parts.hostname, port, parts.scheme == "https")

    @property
    def local(self) -> bool:
        """Whether this machine is meant: localhost and all names below it (RFC 6761)."""
        return self.host == LOCAL_DOMAIN or self.host.endswith(f".{LOCAL_DOMAIN}")

    @property
    def direct(self) -> bool:
        """Whether no proxy belongs in between: this machine, or an IP address."""
        return self.local or self._is_number

    @property
    def dialled(self) -> str:
        """Host and port to connect to; most resolvers know no name below localhost."""
        host = "127.0.0.1" if self.local else self.host
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def authority(self, model: str) -> str:
        """The Host header (`:authority` in gRPC) that routes to `model`.

        A number and plain localhost know no models, so KServe's local host name is asked for there;
        a name that was given is asked for as it is.
        """
        if self._is_number or self.host == LOCAL_DOMAIN:
            return f"{model}-{NAMESPACE}.{LOCAL_DOMAIN}"
        return self.host

    @property
    def credentials(self) -> dict[str, str]:
        """The header with the API key of SERIN_API_KEY; empty without one.

        Raises:
            UsageError: no header can carry it. The message has no part of it.
        """
        key = os.environ.get(API_KEY, "").strip()
        if not key:
            return {}
        if not re.fullmatch(r"[ -~]{1,4096}", key):
            raise UsageError(
                f"{API_KEY} is no API key: expected 1 to 4096 visible ASCII characters"
            )
        return {"authorization": f"Bearer {key}"}

    def headers(self, model: str) -> dict[str, str]:
        """What every REST request to `model` carries."""
        return {"host": self.authority(model), **self.credentials}

    def locked_out(self, model: str) -> RequestError:
        """The error for a model that refuses the key, or its absence."""
        if self.credentials:
            return RequestError(f"{model} refuses the API key in {API_KEY}")
        return RequestError(
            f"{model} wants an API key: put one into the environment variable {API_KEY}"
        )

    @property
    def _is_number(self) -> bool:
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True
