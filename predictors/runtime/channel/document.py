"""What s3://models/<model>/channels/<name>/state.json says.

One generation is committed: every replica serves its version from `activate_at` on. A second one
may be proposed: replicas prepare it, and nobody serves it until it is committed. Numbers only rise,
those of proposals that came to nothing included, so that no report can be taken for another's.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

STRICT, AVAILABLE = "strict", "available"
_URI = re.compile(
    r"s3://(?P<bucket>[^/]+)/(?P<model>[^/@]+)@(?P<name>[a-z0-9]([-a-z0-9]*[a-z0-9])?)"
)
_VERSION = re.compile(r"[0-9a-f]{12}")


class ChannelError(Exception):
    """The channel is not what it should be; the message says what was expected."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a channel is: `s3://models/iris@stable` in its parts."""

    bucket: str
    model: str
    name: str

    @classmethod
    def of(cls, uri: str) -> "Address":
        """Read a channel's URI; raises ChannelError."""
        match = _URI.fullmatch(uri)
        if match is None:
            raise ChannelError(
                f"{uri!r} is no channel: expected s3://BUCKET/MODEL@NAME, such as "
                "s3://models/iris@stable"
            )
        return cls(match["bucket"], match["model"], match["name"])

    @property
    def folder(self) -> str:
        """The prefix of its objects, without a slash at the end."""
        return f"{self.model}/channels/{self.name}"


@dataclass(frozen=True, slots=True)
class Proposal:
    """A generation that replicas prepare; it is not committed after `expires_at`."""

    generation: int
    version: str
    expires_at: float
    arm: bool
    """Whether it may be committed from now on."""
    shadow: bool = False
    """Whether its answers are to be compared with those of the version that serves."""


@dataclass(frozen=True, slots=True)
class Document:
    """The committed generation, and the proposed one. Times are Unix seconds."""

    generation: int
    version: str
    activate_at: float
    mode: str
    keep_seconds: float
    next: Proposal | None = None

    @property
    def strict(self) -> bool:
        """Whether a replica that cannot follow answers nobody."""
        return self.mode == STRICT


def read(raw: bytes) -> Document:
    """Read a state.json.

    Raises:
        ChannelError: it is none: half written, or another program's.
    """
    try:
        told: dict[str, Any] = json.loads(raw)
        coming = told.get("next")
        document = Document(
            generation=_count(told["generation"]),
            version=_version(told["version"]),
            activate_at=float(told["activate_at"]),
            mode=told["mode"],
            keep_seconds=float(told["keep_seconds"]),
            next=None
            if coming is None
            else Proposal(
                _count(coming["generation"]),
                _version(coming["version"]),
                float(coming["expires_at"]),
                coming["arm"] is True,
                bool(coming.get("shadow")),
            ),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ChannelError(f"state.json is no channel: {error!r:.200}") from error
    if document.mode not in (STRICT, AVAILABLE):
        raise ChannelError(f"state.json: mode is strict or available, got {document.mode!r:.40}")
    if document.next is not None and document.next.generation <= document.generation:
        raise ChannelError("state.json proposes a generation that is not above the committed one")
    return document


def _count(value: object) -> int:
    if type(value) is not int or value < 1:
        raise ValueError(f"a generation is 1 or more, got {value!r:.40}")
    return value


def _version(value: object) -> str:
    if not isinstance(value, str) or not _VERSION.fullmatch(value):
        raise ValueError(f"a version is twelve hex digits, got {value!r:.40}")
    return value
