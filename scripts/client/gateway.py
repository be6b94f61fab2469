"""Where a model is asked: the address that is dialled, and the name that is asked for there."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from scripts.client.errors import UsageError

NAMESPACE = "models"  # KServe's host for a model is <model>-<namespace>.<domain>
LOCAL_DOMAIN = "localhost"


@dataclass(frozen=True, slots=True)
class Gateway:
    """One HTTP or HTTPS address; REST and gRPC share its port."""

    url: str
    """Scheme, host and port, without a trailing slash."""
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
    def by_number(self) -> bool:
        """Whether the address names no model's host: an IP address, or this machine."""
        if self.host == LOCAL_DOMAIN:
            return True
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True

    def authority(self, model: str) -> str:
        """The Host header (`:authority` in gRPC) that routes to `model`.

        A number knows no models, so KServe's local host name is asked for there; a name that was
        given is asked for as it is.
        """
        if self.by_number:
            return f"{model}-{NAMESPACE}.{LOCAL_DOMAIN}"
        return self.host

    @property
    def target(self) -> str:
        """What a gRPC channel dials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"
