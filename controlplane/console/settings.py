"""Where the console asks, and what it may do."""

import hashlib
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from controlplane.store.s3 import Store

TOKEN_BYTES = 24
TOKEN_LENGTH = 32
"""Characters; an address with it fits into 80 columns."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One console's addresses and rights."""

    token: str = field(repr=False)
    gateway: str = ""
    """The inference gateway's base URL."""
    prometheus: str = ""
    """Prometheus' base URL; empty: there is none."""
    store: Store | None = field(default=None, repr=False)
    """Where versions are published; None: unknown."""
    read_only: bool = False
    kubeconfig: Path | None = None
    """Of the engines of rollouts that are started here."""
    logs: Path | None = None
    """The folder of their logs; None: none is started here, as in a pod."""
    pushgateway: str = ""
    """Where they push verdicts."""
    command: str = "./serin"
    """How a person types the verbs."""

    @property
    def cookie(self) -> str:
        """The cookie's value: knowing it does not tell the token of the address."""
        return hashlib.sha256(b"serin console " + self.token.encode()).hexdigest()


def token(path: Path | None) -> str:
    """A file's token, or a new one; it is kept so that an open page survives a restart."""
    if path is not None:
        try:
            kept = path.read_text("utf-8").strip()
        except OSError:
            kept = ""
        if len(kept) >= TOKEN_LENGTH:
            return kept
    fresh = secrets.token_urlsafe(TOKEN_BYTES)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(fresh + "\n", "utf-8")
    return fresh
