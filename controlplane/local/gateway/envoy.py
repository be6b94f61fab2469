"""Envoy's configuration as dictionaries: what a cluster's Gateway does, on one port of a laptop.

Pure. Envoy watches a folder of JSON files (filesystem xDS), so a change is one atomic rename and
needs no server of ours. The upstream side is in upstreams.py.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from controlplane.local.controllers.plan import Mirror, Plan, Route
from controlplane.local.gateway import anyhost, keys, limits
from controlplane.local.node.processes import LOOPBACK

Json = dict[str, Any]

BODY_LIMIT_BYTES = 9 * 2**20
"""Kept for a retry: the predictor's own limit, 8 MiB, answers first with a 413 that says why."""

TYPE = "type.googleapis.com/envoy"
_ROUTER = f"{TYPE}.extensions.filters.http.router.v3.Router"
_MANAGER = f"{TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ACCESS_LOG = f"{TYPE}.extensions.access_loggers.file.v3.FileAccessLog"
_DOWNSTREAM = (
    f"{TYPE}.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
)
_PREVIOUS_HOSTS = f"{TYPE}.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
_ROUTES = f"{TYPE}.config.route.v3.RouteConfiguration"


def bootstrap(folder: Path, port: int, admin: Path, access_log: Path | None = None) -> Json:
    """Describe what Envoy starts with: its listener, its admin socket, and where the rest lies.

    Args:
        folder: Holds cds/, eds/ and rds/; each is watched for renames.
        port: The gateway's port on loopback.
        admin: The Unix socket where Envoy takes commands, from its user alone.
        access_log: Where to write a JSON line per request; None writes none.
    """
    return {
        "node": {"id": "serin", "cluster": "serin"},
        "admin": {"address": {"pipe": {"path": str(admin), "mode": 0o600}}},
        "dynamic_resources": {"cds_config": watched(folder / "cds", "clusters.json")},
        "static_resources": {"listeners": [_listener(folder, port, access_log)]},
        # Hundreds of calls that a connection sends at once are taken ten a turn, between those of
        # others: all of them in one turn held everybody up for 0.2 s.
        "layered_runtime": {
            "layers": [{"name": "serin", "static_layer": {"http.max_requests_per_io_cycle": 10}}]
        },
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": _DOWNSTREAM,
                        "max_active_downstream_connections": 10000,
                    },
                }
            ]
        },
    }


def routes(
    plan: Plan, ready: Mapping[str, bool] | None = None, answering: Collection[str] = ()
) -> Json:
    """Describe which request goes where.

    A model's hosts select it with any path, as KServe's HTTPRoutes do; anyhost.py has the others.

    Args:
        plan: Its routes, and what is mirrored.
        ready: Model → whether it answers now; one that is missing does not.
        answering: Deployments with a ready pod.
    """
    versions = {route.service: _versions(plan, route, answering) for route in plan.routes}
    hosts = [
        {
            "name": route.service,
            "domains": list(route.hosts),
            "routes": [
                *(_mirrored(mirror) for mirror in plan.mirrors if mirror.service == route.service),
                _to(route, {"prefix": "/", "grpc": {}}, "grpc"),
                *versions[route.service],
                _to(route, {"prefix": "/"}, "http"),
            ],
        }
        for route in plan.routes
    ]
    mirrored = [_mirrored(mirror) for mirror in plan.mirrors if mirror.kind == "http"]
    prefixes = [
        _to(route, {"path_separated_prefix": f"/v2/models/{route.service}"}, "http")
        for route in plan.routes
    ]
    anywhere = anyhost.virtual_host(
        rest=[
            *mirrored,
            *(one for own in versions.values() for one in own),
            *prefixes,
            *_openai(plan),
        ],
        grpc=[_to(route, anyhost.by_model(route.service), "grpc") for route in plan.routes],
        hosts=[route.hosts[0] for route in plan.routes],
        ready={route.service: (ready or {}).get(route.service, False) for route in plan.routes},
        guarded=any(route.keys for route in plan.routes),
    )
    configuration = {
        "@type": _ROUTES,
        "name": "inference",
        "virtual_hosts": [*hosts, anywhere],
        **limits.everywhere({route.service: route.limits for route in plan.routes}),
        "ignore_port_in_host_matching": True,
        "max_direct_response_body_size_bytes": 1 << 20,  # lists of models
    }
    return {"resources": [configuration]}


def _openai(plan: Plan) -> list[Json]:
    """Send OpenAI's paths on any host to the one model that answers them.

    Only the body says which model is meant: each of several has /v2/models/<model>/openai/v1.
    """
    speaking = {one.name for one in plan.deployments if one.api == "openai"}
    routes = [
        route
        for route in plan.routes
        if any(backend.deployment in speaking for backend in route.backends)
    ]
    if len(routes) != 1:
        return []
    return [
        _to(routes[0], {"path_separated_prefix": base}, "http") for base in ("/openai/v1", "/v1")
    ]


def _listener(folder: Path, port: int, access_log: Path | None) -> Json:
    manager: Json = {
        "@type": _MANAGER,
        "stat_prefix": "inference",
        "codec_type": "AUTO",  # HTTP/1.1 and HTTP/2 without TLS (gRPC) on one port
        "rds": {
            "route_config_name": "inference",
            "config_source": watched(folder / "rds", "routes.json"),
        },
        "http_filters": [
            *anyhost.filters(),
            keys.http_filter(),
            limits.http_filter(),  # after the keys: it counts by the client that they name
            {"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}},
        ],
        "local_reply_config": {"mappers": anyhost.local_replies()},
        "normalize_path": True,
        # The numbers of kserve/gateway/clienttrafficpolicy.yaml (tests/contract/test_edge.py).
        # At the edge, so that a slow or silent client holds no connection for ever. A body or an
        # answer that stands still is the predictor's to end: it knows which streams may be silent.
        "request_headers_timeout": "10s",
        "common_http_protocol_options": {"idle_timeout": "300s"},
        "stream_idle_timeout": "300s",
        "max_request_headers_kb": 60,
        "http2_protocol_options": {
            "max_concurrent_streams": 1024,
            "initial_stream_window_size": 1 << 20,
            "initial_connection_window_size": 16 << 20,
        },
    }
    if access_log:
        manager["access_log"] = [_access_log(access_log)]
    return {
        "name": "inference",
        "address": address(port),
        # Envoy's default shares a taken port with its owner instead of failing.
        "enable_reuse_port": False,
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": manager,
                    }
                ]
            }
        ],
    }


def _access_log(path: Path) -> Json:
    fields = {
        "time": "%START_TIME%",
        "method": "%REQ(:METHOD)%",
        "path": "%PATH(NQ)%",  # a query may have an API key
        "authority": "%REQ(:AUTHORITY)%",
        "code": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "grpc_status": "%GRPC_STATUS%",
        "duration_milliseconds": "%DURATION%",
        "cluster": "%UPSTREAM_CLUSTER%",
        "upstream": "%UPSTREAM_HOST%",
        "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
        "request_id": "%REQ(X-REQUEST-ID)%",
    }
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": _ACCESS_LOG,
            "path": str(path),
            "log_format": {"json_format": fields},
        },
    }


def _to(route: Route, match: Json, kind: str) -> Json:
    shares = [
        {"name": f"{backend.deployment}-{kind}", "weight": backend.weight}
        for backend in route.backends
        if backend.weight
    ]
    target = {"weighted_clusters": {"clusters": shares}}
    return _route(match, target, route)


def _versions(plan: Plan, route: Route, answering: Collection[str]) -> list[Json]:
    """While a canary runs, a path that names a version goes to that version, whatever the shares.

    A cluster's HTTPRoutes do not do so: there such a path is answered by either.
    """
    own = [
        deployment
        for deployment in plan.deployments
        if deployment.service == route.service and deployment.name in answering
    ]
    if len(own) < 2:
        return []
    stable = route.backends[0].deployment
    named: dict[str, str] = {}
    for deployment in sorted(own, key=lambda one: one.name != stable):
        if deployment.version.isalnum():
            named.setdefault(deployment.version, deployment.name)
    return [
        _route(
            {"path_separated_prefix": f"/v2/models/{route.service}/versions/{version}"},
            {"cluster": f"{name}-http"},
            route,
        )
        for version, name in named.items()
    ]


def _mirrored(mirror: Mirror) -> Json:
    match: Json = {"path": mirror.path}
    if mirror.kind == "grpc":
        match["grpc"] = {}
    copy = {
        "cluster": f"{mirror.copy_to}-{mirror.kind}",
        "disable_shadow_host_suffix_append": True,  # as Envoy Gateway does from 1.6 on
    }
    target = {
        "cluster": f"{mirror.deployment}-{mirror.kind}",
        "request_mirror_policies": [copy],
    }
    set_fields = [
        {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        for name, value in mirror.headers
    ]
    return {
        **_route(match, target, mirror),
        "request_headers_to_add": set_fields,
    }


def _route(match: Json, target: Json, asked: Route | Mirror) -> Json:
    for policy in (asked.keys, asked.limits):
        if policy and policy.refused:
            said = f"the model is closed: {policy.refused}"
            return {
                "match": match,
                "direct_response": {"status": 500, "body": {"inline_string": said}},
            }
    return {
        "match": match,
        **({"typed_per_filter_config": keys.per_route(asked.keys)} if asked.keys else {}),
        **limits.per_route(asked.service, asked.limits),
        "route": {
            **target,
            "timeout": f"{asked.timeout_seconds}s",
            # Inference changes nothing, and Envoy retries only before a response has begun.
            "retry_policy": {
                "retry_on": "connect-failure,refused-stream,reset,retriable-headers",
                # A replica that is behind its channel says so before it reads a request.
                "retriable_headers": [{"name": "serin-try-another", "present_match": True}],
                "num_retries": 3,
                "retry_back_off": {"base_interval": "0.010s", "max_interval": "0.250s"},
                "retry_host_predicate": [
                    {
                        "name": "envoy.retry_host_predicates.previous_hosts",
                        "typed_config": {"@type": _PREVIOUS_HOSTS},
                    }
                ],
                "host_selection_retry_max_attempts": 5,
            },
        },
        "request_body_buffer_limit": BODY_LIMIT_BYTES,
    }


def address(port: int) -> Json:
    """A loopback socket."""
    return {"socket_address": {"address": LOOPBACK, "port_value": port}}


def watched(folder: Path, name: str) -> Json:
    """A configuration file that Envoy reads again whenever something is renamed into its folder."""
    return {
        "resource_api_version": "V3",
        "initial_fetch_timeout": "5s",
        "path_config_source": {
            "path": str(folder / name),
            "watched_directory": {"path": str(folder)},
        },
    }
