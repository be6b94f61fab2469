"""The Kubernetes REST API as an ASGI application: authentication, routing, errors."""

import hmac
import logging

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from controlplane.errors import SerinError
from controlplane.kubernetes.meta import Object
from controlplane.kubernetes.refusals import MethodNotAllowed, NotFound, Refusal, Unauthorized
from controlplane.local.api import bodies
from controlplane.local.api.kubectl import (
    answers,
    discovery,
    instead,
    openapi,
    reviews,
    swagger,
)
from controlplane.local.api.paths import MISSING, locate
from controlplane.local.api.verbs import Verbs

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_LOG = logging.getLogger(__name__)


def application(verbs: Verbs, token: str) -> Starlette:
    """The application; every request needs the token."""
    expected = f"Bearer {token}".encode()

    async def answer(request: Request) -> Response:
        try:
            given = request.headers.get("authorization", "").encode()
            if not hmac.compare_digest(given, expected):
                raise Unauthorized("Unauthorized")
            if request.method == "POST" and reviews.is_review(request.url.path):
                body = await bodies.read(request)
                return answers.answer(reviews.review(request.url.path, body), 201)
            found = _document(request)
            return found or await verbs.answer(locate(request.url.path), request)
        except Refusal as refusal:
            return answers.answer(answers.status(refusal), refusal.code)
        except SerinError as error:  # the store of models does not answer
            return _failed(str(error))
        except OSError as error:  # a full disk: what was changed lives in memory only
            _LOG.exception("%s %s", request.method, request.url.path)
            return _failed(f"{error.strerror or error}: {error.filename}")
        except Exception as error:  # noqa: BLE001  a 500 with its reason, as the API server's
            _LOG.exception("%s %s", request.method, request.url.path)
            return _failed(f"{type(error).__name__}: {error}; see supervisor.log")

    return Starlette(routes=[Route("/{path:path}", answer, methods=_METHODS)])


def _failed(sentence: str) -> Response:
    refusal = Refusal(sentence)
    return answers.answer(answers.status(refusal), refusal.code)


def _document(request: Request) -> Response | None:
    """What is the same for everybody: version, health, discovery and schemas."""
    path = request.url.path.rstrip("/")
    found: Object | bytes | None = None
    if path in {"/healthz", "/livez", "/readyz"}:
        return PlainTextResponse("ok")
    if path == "/version":
        found = discovery.VERSION
    elif path in _NEGOTIATED:
        return _NEGOTIATED[path](request)
    elif path.startswith("/openapi/"):
        found = _openapi(path)
    else:
        match path.strip("/").split("/"):
            case ["apis", group] if group in discovery.groups():
                found = discovery.group_of(group)
            case ["api", version]:
                found = discovery.resource_list("", version)
            case ["apis", group, version]:
                found = discovery.resource_list(group, version)
            case _:
                return None
        if found is None:
            raise NotFound(MISSING)
    if request.method != "GET":
        raise MethodNotAllowed(instead.MISSING)
    return answers.answer(found)


def _discovery(request: Request) -> Response:
    core = request.url.path.rstrip("/") == "/api"
    for part in request.headers.get("accept", "").split(","):
        if f"as={discovery.AGGREGATED}" in part:
            version = "v2beta1" if "v=v2beta1" in part else "v2"
            response = answers.answer(discovery.aggregated(core=core, version=version))
            response.headers["Content-Type"] = (
                f"application/json;g=apidiscovery.k8s.io;v={version};as={discovery.AGGREGATED}"
            )
            return response
    server = request.url.netloc
    return answers.answer(discovery.versions(server) if core else discovery.group_list())


def _openapi(path: str) -> Object | bytes:
    if path == "/openapi/v3":
        return openapi.index()
    match path.removeprefix("/openapi/v3/").split("/"):
        case ["api", version] if version in discovery.groups()[""]:
            return openapi.document("", version)
        case ["apis", group, version] if version in discovery.groups().get(group, {}):
            return openapi.document(group, version)
    raise NotFound(MISSING)


def _swagger(request: Request) -> Response:
    if "proto-openapi" in request.headers.get("accept", ""):
        return Response(swagger.protobuf(), media_type=swagger.MEDIA_TYPE)
    return answers.answer(swagger.document())


_NEGOTIATED = {"/api": _discovery, "/apis": _discovery, "/openapi/v2": _swagger}
"""Documents that have more than one form."""
