"""Everything of V2 over REST but infer: health, metadata, and what is refused by name."""

import re
from typing import Any

from predictors.runtime.dataplane.service import Service
from predictors.runtime.v2.errors import NotFound, WrongMethod
from predictors.runtime.v2.identity import EXTENSIONS, SERVER_NAME, server_version

_MODEL_PATH = re.compile(
    r"/v2/models/([^/]+)(?:/versions/([^/]+))?(?:/(ready|config|infer|generate|generate_stream))?"
)
Page = tuple[int, dict[str, Any]]


class Pages:
    """The GET pages of one model server."""

    def __init__(self, service: Service, config: dict[str, Any]) -> None:
        self._service = service
        model = service.model
        self._config_page = config
        self._model_page = model_metadata(service)
        self._server_page = {
            "name": SERVER_NAME,
            "version": server_version(),
            "extensions": list(EXTENSIONS),
        }
        self._list_page = {"models": [model.name]}

    def answer(self, method: str, path: str) -> Page:
        """Answer a page.

        Raises:
            NotFound, WrongMethod: with a message that says what to call instead.
        """
        allow = "GET, HEAD"
        page: Page | None = None
        path = path.removesuffix("/") or path
        if path == "/v2":
            page = 200, self._server_page
        elif path == "/v2/health/live":
            page = 200, {"live": True}
        elif path == "/v2/health/ready":
            page = self._readiness({"ready": self._service.ready})
        elif path == "/v2/models":
            page = 200, self._list_page
        elif found := _MODEL_PATH.fullmatch(path):
            allow, page = self._model(*found.groups())
        if page is None:
            raise NotFound(_advice(path, self._service.model.name))
        if method not in allow:
            raise WrongMethod(f"{method} {path}: expected {allow}", allow)
        return page

    def _model(self, name: str, version: str | None, verb: str | None) -> tuple[str, Page]:
        model = self._service.model
        if name != model.name:
            raise NotFound(f"model '{name[:80]}' not found; this server has {model.name}")
        self._service.check_version(version)
        if verb == "infer" or (verb and verb.startswith("generate") and self._service.streams):
            return "POST", (200, {})
        if verb and verb.startswith("generate"):
            raise NotFound(
                f"model '{model.name}' does not generate text; POST /v2/models/{model.name}/infer"
            )
        if verb == "ready":
            ready = {"name": model.name, "ready": self._service.ready}
            return "GET, HEAD", self._readiness(ready)
        return "GET, HEAD", (200, self._config_page if verb == "config" else self._model_page)

    def _readiness(self, page: dict[str, Any]) -> Page:
        return (200 if page["ready"] else 503), page


def model_metadata(service: Service) -> dict[str, Any]:
    """The V2 metadata of a model."""
    model = service.model
    return {
        "name": model.name,
        "versions": [model.version],
        "platform": model.platform,
        "inputs": model.get_input_types(),
        "outputs": model.get_output_types(),
    }


_INSTEAD = (
    (r"/v1/.*", "the V1 protocol is not offered; POST {infer}"),
    (r"/metrics", "metrics are on a port of their own (PREDICTOR_METRICS_PORT)"),
    (
        r"(?:/v2)?/models(?:/[^/]+)?/stats",
        "metrics are on a port of their own, in Prometheus' form",
    ),
    (r"/v2/repository.*", "models are loaded by deploying them; the repository API is not offered"),
    (r"/v2/(?:systemshared|cudashared)memory.*", "shared memory is not offered; send the data"),
    (
        r"(?:/v2)?/(?:healthz?|readyz?|readiness|livez?|liveness|startupz?|status|ping)(?:/.*)?",
        "liveness is GET /v2/health/live, readiness GET /v2/health/ready",
    ),
    (
        r"/(?:predict|predictions|infer|invocations|score|classify|inference)(?:/.*)?",
        "POST {infer}; GET {model} says which tensors it takes",
    ),
    (
        r"/v2/models/[^/]+/versions",
        "V2 has no list of versions; GET {model} names the one here, ./serin models lists all",
    ),
    (
        r"/(?:v2/)?models?(?:/.*)?|/info",
        "GET /v2/models lists the models, GET {model} describes one",
    ),
    (
        r"/(?:docs|redoc|swagger|openapi)(?:[./].*)?",
        "the API is docs/api/openapi.yaml in Serin's repository; GET {model} describes the model",
    ),
)
"""Paths that people try, and what they mean here."""


def _advice(path: str, name: str) -> str:
    shown = path[:120]
    model = f"/v2/models/{name}"
    for pattern, instead in _INSTEAD:
        if re.fullmatch(pattern, path[:1000]):
            return f"{shown}: {instead.format(infer=f'{model}/infer', model=model)}"
    return f"{shown} not found; this server speaks V2: /v2, /v2/health/ready, {model}"
