"""A second HTTP API that a streaming model speaks beside V2, such as OpenAI's.

The server lends it what V2's requests have: admission, limits, counting, logs, and what becomes of
a client that leaves. What is asked and answered is the model's own matter.
"""

from typing import Any, Protocol

from predictors.runtime.dataplane.job import StreamJob
from predictors.runtime.v2.errors import V2Error
from predictors.runtime.v2.signature import Outputs


class Exchange(Protocol):
    """One request that was read, and its answer as it grows."""

    id: str
    rows: int
    streamed: bool

    def submit(self, job: StreamJob) -> None:
        """Hand the request to the model; raises as StreamingModel.submit does."""

    def events(self, outputs: Outputs, *, last: bool) -> list[bytes]:
        """A stream's next events; of an answer that is not streamed, its body and nothing else."""


class Dialect(Protocol):
    """Such an API of one model."""

    def takes(self, path: str) -> bool:
        """Whether a path is one of its own, known or not."""

    def page(self, method: str, path: str) -> dict[str, Any]:
        """The document of a GET.

        Raises:
            NotFound, WrongMethod: there is none.
        """

    def posts(self, path: str) -> bool:
        """Whether a path takes requests that are computed."""

    def read(self, path: str, body: bytes) -> Exchange:
        """Read a request.

        Raises:
            InvalidRequest, NotFound: naming what was expected and what came.
        """

    def error(self, error: V2Error) -> dict[str, Any]:
        """An error as this API writes it."""
