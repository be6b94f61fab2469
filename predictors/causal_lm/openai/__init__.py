"""OpenAI's API beside V2: models, chat completions, completions; at /openai/v1 and at /v1.

KServe serves its text models under /openai/v1; most clients expect /v1. What is not supported is
refused by name, and errors have OpenAI's form.

fields    a request's fields, each held to its type and range
messages  the messages of a chat
request   requests as prompts
answer    whole answers, and the chunks of a stream
"""

from typing import TYPE_CHECKING, Any

from predictors.causal_lm.openai.answer import OpenAiExchange
from predictors.causal_lm.openai.fields import FieldError
from predictors.causal_lm.openai.request import OverBudgetError, Reader, UnknownModelError
from predictors.runtime.v2.body.decode import document_of
from predictors.runtime.v2.errors import NotFound, Overloaded, V2Error, WrongMethod

if TYPE_CHECKING:
    from predictors.causal_lm import CausalLmModel

_BASES = ("/openai/v1", "/v1")
_CHAT, _COMPLETIONS = "/chat/completions", "/completions"


class OpenAi:
    """The API of one model."""

    def __init__(self, model: "CausalLmModel") -> None:
        self._model = model
        self._reader = Reader(model)
        bases = (*_BASES, f"/v2/models/{model.name}/openai/v1")
        self._bases = bases
        self._posts = {
            base + path: path == _CHAT for base in bases for path in (_CHAT, _COMPLETIONS)
        }

    def takes(self, path: str) -> bool:
        """Whether a path is below one of the bases."""
        return any(path == base or path.startswith(f"{base}/") for base in self._bases)

    def posts(self, path: str) -> bool:
        """Whether a path takes requests."""
        return path in self._posts

    def page(self, method: str, path: str) -> dict[str, Any]:
        """The list of models, or one of it."""
        base = max((base for base in self._bases if path.startswith(base)), key=len)
        rest = path.removeprefix(base).rstrip("/")
        model = self._model
        told: dict[str, Any] = {
            "id": model.name,
            "object": "model",
            "created": 0,
            "owned_by": "serin",
            "max_model_len": model.reader.capacity,
        }
        pages: dict[str, dict[str, Any]] = {
            "/models": {"object": "list", "data": [told]},
            f"/models/{model.name}": told,
        }
        if self.posts(path):
            raise WrongMethod(f"{method} {path}: expected POST", "POST")
        if rest not in pages:
            if rest.startswith("/models/"):
                name = rest.removeprefix("/models/")
                raise UnknownModelError(
                    f"the model '{name:.80}' does not exist here; this server has '{model.name}'"
                )
            offered = ", ".join(f"{base}{path}" for path in ("/models", _CHAT, _COMPLETIONS))
            raise NotFound(f"{path:.120} not found; of OpenAI's API there are {offered}")
        if method not in ("GET", "HEAD"):
            raise WrongMethod(f"{method} {path}: expected GET", "GET, HEAD")
        return pages[rest]

    def read(self, path: str, body: bytes) -> OpenAiExchange:
        """Read a request of either kind."""
        asked = self._reader.read(document_of(body), chat=self._posts[path])
        return OpenAiExchange(self._model, asked)

    def error(self, error: V2Error) -> dict[str, Any]:
        """OpenAI's envelope."""
        param = getattr(error, "param", None)
        code = getattr(error, "code", None)
        if isinstance(error, OverBudgetError):
            param, code = "messages", "context_length_exceeded"
        kind = "invalid_request_error" if error.status < 500 else "server_error"
        if isinstance(error, Overloaded):
            kind, code = "rate_limit_error", "rate_limit_exceeded"
        return {"error": {"message": str(error), "type": kind, "param": param, "code": code}}


__all__ = ["FieldError", "OpenAi"]
