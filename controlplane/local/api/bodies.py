"""What a request brings: its body, and the query parameters of a write."""

import asyncio
from typing import Any

import orjson
import yaml
from starlette.requests import Request

from controlplane.kubernetes.meta import Object
from controlplane.kubernetes.refusals import BadRequest, TooLarge, UnsupportedMediaType
from controlplane.local.api.kubectl import protobuf
from controlplane.local.api.resources import Write

LARGEST = 3 * 2**20  # the API server's limit
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST = 200
_TEXT = {"application/json", "application/yaml", "application/x-www-form-urlencoded", ""}


async def read(request: Request, *, patch: bool = False) -> Any:
    """The request's body: JSON or YAML.

    Raises:
        UnsupportedMediaType: It is neither, nor one of the kinds that are read from protobuf.
        BadRequest: It cannot be read.
        TooLarge: It is past the limit.
    """
    media_type = media_type_of(request)
    is_protobuf = media_type == protobuf.MEDIA_TYPE
    if not patch and media_type not in _TEXT and not is_protobuf:
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json, application/yaml"
        )
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > LARGEST:
            raise TooLarge(f"limit is {LARGEST}")
    if is_protobuf:
        return protobuf.decoded(content)
    try:
        return orjson.loads(content)
    except ValueError as not_json:
        if "yaml" not in media_type:
            raise BadRequest(f"the body is not JSON: {not_json}") from not_json
    try:  # beside the loop: YAML is read a hundred times slower than JSON
        return await asyncio.to_thread(_yaml, content)
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        raise BadRequest(f"the body is not YAML: {' '.join(str(error).split())}") from error


def _yaml(content: bytes) -> Any:
    """YAML as JSON would have it: no aliases, which could stand for any number of nodes."""
    depth = 0
    for event in yaml.parse(content, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > _DEEPEST:
            raise ValueError(
                f"aliases (*name) and more than {_DEEPEST} levels are not taken; write what an "
                "alias stands for"
            )
    found = yaml.load(content, Loader=_LOADER)  # noqa: S506  a safe one
    return orjson.loads(orjson.dumps(found, option=orjson.OPT_NON_STR_KEYS))


def media_type_of(request: Request) -> str:
    """The body's media type, without parameters."""
    return request.headers.get("content-type", "").split(";")[0].strip()


def write_of(request: Request) -> Write:
    """The query parameters of a write."""
    query = request.query_params
    agent = request.headers.get("user-agent", "unknown").split("/", 1)[0]
    return Write(
        manager=query.get("fieldManager", "" if "apply" in media_type_of(request) else agent),
        dry_run=is_dry(request, {}),
        validation=query.get("fieldValidation", "Warn"),
        force=is_true(request, "force"),
    )


def is_dry(request: Request, options: Object) -> bool:
    """Whether nothing shall be stored."""
    asked = request.query_params.getlist("dryRun") or options.get("dryRun") or []
    if not set(asked) <= {"All"}:
        raise BadRequest(f"dryRun: Unsupported value: {asked}: supported values: All")
    return bool(asked)


def is_true(request: Request, name: str) -> bool:
    """Whether a query parameter is set."""
    return request.query_params.get(name) in {"true", "1"}


async def delete_options(request: Request) -> Object:
    """A deletion's options: in its body, or as query parameters."""
    length = request.headers.get("content-length", "0")
    options: Object = {}
    if length != "0" or "transfer-encoding" in request.headers:
        options = await read(request) or {}
    if policy := request.query_params.get("propagationPolicy"):
        options["propagationPolicy"] = policy
    return options
