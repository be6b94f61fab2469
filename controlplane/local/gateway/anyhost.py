"""The gateway as one V2 server: what a client gets that knows its address and no model's host.

Pure. A model's own hosts select it, as KServe's HTTPRoutes do. On every other host the path
/v2/models/<model> selects it over REST. Over gRPC the path is the same for all models, so Envoy
reads the model's name out of the request's first message. Health, metadata and the list of models
are about all of them; they are written into the configuration whenever a model becomes ready or
stops being so.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from controlplane.local.controllers.plan import Keys
from controlplane.local.gateway import keys

Json = dict[str, Any]

MODEL_HEADER = "x-serin-model"
"""What the model's name becomes inside Envoy, for routes to match."""

_TYPE = "type.googleapis.com/envoy"
_EXTRACTION = "envoy.filters.http.grpc_field_extraction"
_LUA = "envoy.filters.http.lua"
_ENABLED = {"@type": f"{_TYPE}.config.route.v3.FilterConfig", "config": {}}
OPEN_HEADER = "x-serin-open"
"""Set by the script on every request to a host that is no model's; see `virtual_host`."""
_V2 = "inference.GRPCInferenceService"
_HEALTH = "grpc.health.v1.Health"
_METHODS = {  # service: method: (its request, the field that names a model, whether it streams)
    _V2: {
        "ModelInfer": ("ModelInferRequest", "model_name", False),
        "ModelStreamInfer": ("ModelInferRequest", "model_name", True),
        "ModelMetadata": ("ModelMetadataRequest", "name", False),
        "ModelConfig": ("ModelConfigRequest", "name", False),
        "ModelReady": ("ModelReadyRequest", "name", False),
    },
    _HEALTH: {
        "Check": ("HealthCheckRequest", "service", False),
        "Watch": ("HealthCheckRequest", "service", False),
    },
}
_SERVER_WIDE = ("/inference.GRPCInferenceService/Server", f"/{_HEALTH}/")
_READY = "/v2/health/ready"
NOTHING = "no model answers for this host and path"
NO_KEY = (
    "no valid API key: send one as `Authorization: Bearer KEY`, or in the header that the model's "
    "SecurityPolicy names"
)
TOO_MANY = "too many requests: the model's rate limit for this client is used up"
_OPENAI = r"/(v2/models/[^/]+/)?(openai/)?v1/(chat/completions|completions|models(/[^:]*)?)(\?.*)?"
_NOT_FOUND, _UNIMPLEMENTED = 5, 12
_VERSION = version("kserve")
_SCRIPT = f"""
function envoy_on_request(handle)
  handle:headers():remove("{MODEL_HEADER}")
  handle:headers():replace("{OPEN_HEADER}", "open")
  local fields = handle:streamInfo():dynamicMetadata():get("{_EXTRACTION}")
  if fields == nil then return end
  for _, values in pairs(fields) do
    if values[1] ~= nil and values[1] ~= "" then
      handle:headers():replace("{MODEL_HEADER}", values[1])
    end
  end
  handle:clearRouteCache()
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local said = headers:get("grpc-message")
  if headers:get("grpc-status") == "{_UNIMPLEMENTED}" and said ~= nil
      and string.sub(said, 1, {len(NOTHING)}) == "{NOTHING}" then
    headers:replace("grpc-status", "{_NOT_FOUND}")
  end
end
"""


def filters() -> list[Json]:
    """Describe the HTTP filters that read a gRPC request's model; off but where it is asked for."""
    extraction = {
        "@type": f"{_TYPE}.extensions.filters.http.grpc_field_extraction.v3"
        ".GrpcFieldExtractionConfig",
        "descriptor_set": {"inline_bytes": base64.b64encode(_descriptors()).decode()},
        "extractions_by_method": {
            f"{service}.{method}": {"request_field_extractions": {field: {}}}
            for service, methods in _METHODS.items()
            for method, (_, field, _) in methods.items()
        },
    }
    script = {
        "@type": f"{_TYPE}.extensions.filters.http.lua.v3.Lua",
        "default_source_code": {"inline_string": _SCRIPT},
    }
    return [
        {"name": _EXTRACTION, "disabled": True, "typed_config": extraction},
        {"name": _LUA, "disabled": True, "typed_config": script},
    ]


def virtual_host(
    rest: Sequence[Json],
    grpc: Sequence[Json],
    hosts: Sequence[str],
    ready: Mapping[str, bool],
    *,
    guarded: bool = False,
) -> Json:
    """Describe what answers on hosts that are no model's.

    Which filters a request passes is decided by the route that it has at first, and a gRPC request
    has its model's route only once its message is read. So where one model wants keys, all requests
    pass the filter of keys here, and a route without keys is opened by a header that the script
    sets.

    Args:
        rest: Routes of REST, in their order.
        grpc: Routes that match a model's gRPC requests by `by_model`, each model's own.
        hosts: The models' own hosts, for the answer where nothing matches.
        ready: Model → whether it answers now.
        guarded: Whether one of the models wants keys.
    """
    opened = Keys((("anybody", "open"),), (("header", OPEN_HEADER),), hidden=True)
    return {
        "name": "any-host",
        "domains": ["*"],
        "routes": [
            *grpc,
            *(_server_wide(grpc, ready)),
            *_pages(ready),
            *rest,
            _nothing(hosts, ready),
        ],
        "typed_per_filter_config": {
            _EXTRACTION: _ENABLED,
            _LUA: _ENABLED,
            **(keys.per_route(opened) if guarded else {}),
        },
        "request_headers_to_remove": [OPEN_HEADER],
    }


def local_replies() -> list[Json]:
    """Describe the form of what Envoy answers itself: pages as they are, errors as V2 has them."""
    plain: Json = {"text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"}}
    error: Json = {"json_format": {"error": "%LOCAL_REPLY_BODY%"}}
    is_grpc = {"name": "content-type", "string_match": {"prefix": "application/grpc"}}
    is_page = {"name": ":path", "string_match": _or_with_a_slash(_READY)}
    is_openai = {"name": ":path", "string_match": {"safe_regex": {"regex": _OPENAI}}}
    no_key: Json = {
        "filter": _status("EQ", 401),
        "body": {"inline_string": NO_KEY},
        "headers_to_add": [{"header": {"key": "www-authenticate", "value": "Bearer"}}],
    }
    too_many: Json = {"filter": _status("EQ", 429), "body": {"inline_string": TOO_MANY}}
    return [
        *(
            {
                **one,
                "filter": _both({"header_filter": {"header": is_grpc}}, one["filter"]),
                "body_format_override": plain,
            }
            for one in (no_key, too_many)
        ),
        {"filter": {"header_filter": {"header": is_grpc}}, "body_format_override": plain},
        {
            "filter": {"header_filter": {"header": is_page}},
            "body_format_override": {**plain, "content_type": "application/json"},
        },
        {
            **no_key,
            "filter": _both({"header_filter": {"header": is_openai}}, no_key["filter"]),
            "body_format_override": _openai_error("invalid_request_error", "invalid_api_key"),
        },
        {
            **too_many,
            "filter": _both({"header_filter": {"header": is_openai}}, too_many["filter"]),
            "body_format_override": _openai_error("rate_limit_error", "rate_limit_exceeded"),
        },
        {**no_key, "body_format_override": error},
        {**too_many, "body_format_override": error},
        *(
            {
                "filter": _both({"header_filter": {"header": is_openai}}, _status("GE", least)),
                "body_format_override": _openai_error(kind, None),
            }
            for least, kind in ((500, "server_error"), (400, "invalid_request_error"))
        ),
        {"filter": _status("GE", 400), "body_format_override": error},
    ]


def _status(operator: str, value: int) -> Json:
    compared = {"op": operator, "value": {"default_value": value, "runtime_key": "unused"}}
    return {"status_code_filter": {"comparison": compared}}


def _both(*filters: Json) -> Json:
    return {"and_filter": {"filters": list(filters)}}


def _openai_error(kind: str, code: str | None) -> Json:
    error = {"message": "%LOCAL_REPLY_BODY%", "type": kind, "param": None, "code": code}
    return {"json_format": {"error": error}}


def by_model(model: str) -> Json:
    """Match gRPC requests whose message names the model."""
    return {
        "prefix": "/",
        "grpc": {},
        "headers": [{"name": MODEL_HEADER, "string_match": {"exact": model}}],
    }


def _server_wide(grpc: Sequence[Json], ready: Mapping[str, bool]) -> list[Json]:
    """Routes of questions about the server: any model's predictor can answer, a ready one first."""
    models = sorted(ready, key=lambda model: not ready[model])
    targets = {
        route["match"]["headers"][0]["string_match"]["exact"]: {
            name: value
            for name, value in route.items()
            if name not in {"typed_per_filter_config", "metadata"}
        }
        for route in grpc
        if "headers" in route["match"] and "route" in route
    }
    chosen = next((targets[model] for model in models if model in targets), None)
    if chosen is None:
        return []
    return [{**chosen, "match": {"prefix": path, "grpc": {}}} for path in _SERVER_WIDE]


def _pages(ready: Mapping[str, bool]) -> list[Json]:
    index = [
        {"name": model, "state": "READY" if answers else "UNAVAILABLE"}
        for model, answers in sorted(ready.items())
    ]
    about: Json = {
        "name": "serin",
        "version": _VERSION,
        "extensions": ["binary_tensor_data", "classification", "model_configuration"],
    }
    whole = all(ready.values())
    return [
        _page("GET", "/v2", about),
        _page("GET", "/v2/health/live", {"live": True}),
        _page("GET", _READY, {"ready": whole}, 200 if whole else 503),
        _page("GET", "/v2/models", {"models": sorted(ready)}),
        _page("POST", "/v2/repository/index", index),
    ]


def _page(method: str, path: str, content: object, status: int = 200) -> Json:
    return {
        "match": {
            **_or_with_a_slash(path),
            "headers": [{"name": ":method", "string_match": {"exact": method}}],
        },
        "direct_response": {"status": status, "body": {"inline_string": json.dumps(content)}},
        "response_headers_to_add": [
            {
                "header": {"key": "content-type", "value": "application/json"},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
    }


def _or_with_a_slash(path: str) -> Json:
    return {"safe_regex": {"regex": f"{path}/?"}}


def _nothing(hosts: Sequence[str], ready: Mapping[str, bool]) -> Json:
    paths = [f"/v2/models/{model}" for model in ready]
    text = (
        f"{NOTHING}; hosts: {', '.join(hosts) or 'none yet'}; paths on any host (REST): "
        f"{', '.join(paths) or 'none yet'}; models: /v2/models; live: /v2/health/live; "
        f"ready: {_READY}; metrics: on each pod's own port, see ./serin status --json"
    )
    return {
        "match": {"prefix": "/"},
        "direct_response": {"status": 404, "body": {"inline_string": text}},
    }


def _descriptors() -> bytes:
    """The messages' model names and nothing else: protobuf skips what a description leaves out."""
    files = []
    for service, methods in _METHODS.items():
        package, _, name = service.rpartition(".")
        requests = {request: field for request, field, _ in methods.values()}
        fields = {
            request: [
                {"name": field, "number": 1, "type": "TYPE_STRING", "label": "LABEL_OPTIONAL"}
            ]
            for request, field in requests.items()
        }
        calls = [
            {
                "name": method,
                "inputType": f".{package}.{request}",
                "outputType": f".{package}.{request}",
                "clientStreaming": streams,
            }
            for method, (request, _, streams) in methods.items()
        ]
        messages = [{"name": request, "field": field} for request, field in fields.items()]
        files.append(
            {
                "name": f"{package}.proto",
                "package": package,
                "syntax": "proto3",
                "messageType": messages,
                "service": [{"name": name, "method": calls}],
            }
        )
    described = json_format.ParseDict({"file": files}, FileDescriptorSet())
    return described.SerializeToString()
