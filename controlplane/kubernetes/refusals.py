"""What the Kubernetes API refuses with: a reason, a status code and, for a 422, its causes.

The names are the API's own reasons, so that kubectl says what it says of a cluster.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from controlplane.errors import SerinError


@dataclass(frozen=True, slots=True)
class Cause:
    """One field that is wrong: field.ErrorType's word, the field's path and the sentence."""

    reason: str
    field: str
    message: str


class Refusal(SerinError):
    """A request that the API answers with a Status object."""

    code: ClassVar[int] = 500
    reason: ClassVar[str] = "InternalError"

    def __init__(self, message: str, causes: Sequence[Cause] = (), **details: Any) -> None:
        super().__init__(message)
        self.causes = tuple(causes)
        self.details = details
        """Of metav1.StatusDetails: group, kind, name, uid, retryAfterSeconds."""


class BadRequest(Refusal):
    """The request itself makes no sense."""

    code = 400
    reason = "BadRequest"


class Unauthorized(Refusal):
    """No token, or another one."""

    code = 401
    reason = "Unauthorized"


class Forbidden(Refusal):
    """An admission rule is against it; KServe's and KEDA's webhooks answer so."""

    code = 403
    reason = "Forbidden"


class NotFound(Refusal):
    """There is no such object, or no such kind."""

    code = 404
    reason = "NotFound"


class MethodNotAllowed(Refusal):
    """The kind is there and does not offer this."""

    code = 405
    reason = "MethodNotAllowed"


class AlreadyExists(Refusal):
    """Created before."""

    code = 409
    reason = "AlreadyExists"


class Conflict(Refusal):
    """Somebody was faster, or another manager owns the field."""

    code = 409
    reason = "Conflict"


class Gone(Refusal):
    """The resource version is older than what is remembered: list again."""

    code = 410
    reason = "Expired"


class TooLarge(Refusal):
    """A body, or an object, past a limit."""

    code = 413
    reason = "RequestEntityTooLarge"


class UnsupportedMediaType(Refusal):
    """A patch or body of a type that this kind does not take."""

    code = 415
    reason = "UnsupportedMediaType"


class Invalid(Refusal):
    """A field has a value that it must not have."""

    code = 422
    reason = "Invalid"
