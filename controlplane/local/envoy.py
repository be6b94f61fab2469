"""Envoy's configuration as dictionaries: what a cluster's Gateway does, on one port of a laptop.

Pure. Envoy watches a folder of JSON files (filesystem xDS), so a change is one atomic rename and
needs no server of ours. Two upstream clusters per Deployment, REST and gRPC, because HTTP/1.1 and
HTTP/2 need different connection pools; both ask the model's readiness on the REST port.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controlplane.local.plan import Plan, Route

Json = dict[str, Any]

LOOPBACK = "127.0.0.1"
BODY_LIMIT_BYTES = 9 * 2**20
"""Kept for a retry: the predictor's own limit, 8 MiB, answers first with a 413 that says why."""

_TYPE = "type.googleapis.com/envoy"
_HTTP = f"{_TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions"
_ROUTER = f"{_TYPE}.extensions.filters.http.router.v3.Router"
_MANAGER = f"{_TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ACCESS_LOG = f"{_TYPE}.extensions.access_loggers.file.v3.FileAccessLog"
_DOWNSTREAM = (
    f"{_TYPE}.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
)
_PREVIOUS_HOSTS = f"{_TYPE}.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
_CLUSTER = f"{_TYPE}.config.cluster.v3.Cluster"
_ENDPOINTS = f"{_TYPE}.config.endpoint.v3.ClusterLoadAssignment"
_ROUTES = f"{_TYPE}.config.route.v3.RouteConfiguration"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A pod that is ready: its two loopback ports."""

    http_port: int
    grpc_port: int | None


def bootstrap(folder: Path, port: int, access_log: Path | None = None) -> Json:
    """Describe what Envoy starts with: its listener, its admin port, and where the rest lies.

    Args:
        folder: Holds cds/, eds/ and rds/; each is watched for renames.
        port: The gateway's port on loopback.
        access_log: Where to write a JSON line per request; None writes none.
    """
    return {
        "node": {"id": "serin", "cluster": "serin"},
        "admin": {"address": _address(0)},
        "dynamic_resources": {"cds_config": _watched(folder / "cds", "clusters.json")},
        "static_resources": {"listeners": [_listener(folder, port, access_log)]},
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": _DOWNSTREAM,
                        "max_active_downstream_connections": 20000,
                    },
                }
            ]
        },
    }


def clusters(folder: Path, routes: Iterable[Route], extra: Mapping[str, str]) -> Json:
    """Describe the upstream clusters of every Deployment a route names.

    Args:
        folder: As for `bootstrap`.
        routes: The plan's routes.
        extra: Deployments without weight yet → their readiness path. Envoy learns of a Deployment
            before requests go there and forgets it after.
    """
    paths = {backend.deployment: route.ready_path for route in routes for backend in route.backends}
    resources = [
        _cluster(folder, deployment, kind, path)
        for deployment, path in sorted({**paths, **extra}.items())
        for kind in ("http", "grpc")
    ]
    return {"resources": resources}


def endpoints(deployment: str, pods: Iterable[Endpoint]) -> Mapping[str, Json]:
    """Describe a Deployment's ready pods, as one EDS file per cluster: file name → content."""
    ready = list(pods)
    files: dict[str, Json] = {}
    for kind in ("http", "grpc"):
        hosts = [
            {
                "endpoint": {
                    "address": _address(port),
                    "health_check_config": {"port_value": pod.http_port},
                }
            }
            for pod in ready
            if (port := pod.http_port if kind == "http" else pod.grpc_port)
        ]
        name = f"{deployment}-{kind}"
        assignment = {
            "@type": _ENDPOINTS,
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": hosts}],
        }
        files[f"{name}.json"] = {"resources": [assignment]}
    return files


def routes(plan: Plan) -> Json:
    """Describe which request goes where.

    A model's hosts select it with any path, as KServe's HTTPRoutes do. On every other host the path
    /v2/models/<model> selects it, so that plain `localhost` works for REST without any name lookup.
    """
    hosts = [
        {
            "name": route.service,
            "domains": list(route.hosts),
            "routes": [
                _to(route, {"prefix": "/", "grpc": {}}, "grpc"),
                _to(route, {"prefix": "/"}, "http"),
            ],
        }
        for route in plan.routes
    ]
    prefixes = [
        _to(route, {"path_separated_prefix": f"/v2/models/{route.service}"}, "http")
        for route in plan.routes
    ]
    names = ", ".join(route.hosts[0] for route in plan.routes) or "none yet"
    paths = ", ".join(f"/v2/models/{route.service}" for route in plan.routes) or "none yet"
    nothing = {
        "match": {"prefix": "/"},
        "direct_response": {
            "status": 404,
            "body": {
                "inline_string": f"no model answers for this host and path; hosts: {names}; "
                f"paths on any host (REST): {paths}"
            },
        },
    }
    anywhere = {"name": "any-host", "domains": ["*"], "routes": [*prefixes, nothing]}
    configuration = {
        "@type": _ROUTES,
        "name": "inference",
        "virtual_hosts": [*hosts, anywhere],
        "ignore_port_in_host_matching": True,
    }
    return {"resources": [configuration]}


def _listener(folder: Path, port: int, access_log: Path | None) -> Json:
    manager: Json = {
        "@type": _MANAGER,
        "stat_prefix": "inference",
        "codec_type": "AUTO",  # HTTP/1.1 and HTTP/2 without TLS (gRPC) on one port
        "rds": {
            "route_config_name": "inference",
            "config_source": _watched(folder / "rds", "routes.json"),
        },
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}}],
        # What Envoy itself answers is V2's error object too; gRPC gets a status from Envoy.
        "local_reply_config": {
            "body_format": {"json_format": {"error": "%LOCAL_REPLY_BODY%"}},
        },
        "normalize_path": True,
    }
    if access_log:
        manager["access_log"] = [_access_log(access_log)]
    return {
        "name": "inference",
        "address": _address(port),
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
        "path": "%REQ(:PATH)%",
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


def _cluster(folder: Path, deployment: str, kind: str, ready_path: str) -> Json:
    name = f"{deployment}-{kind}"
    protocol: Json = (
        {"http2_protocol_options": {}} if kind == "grpc" else {"http_protocol_options": {}}
    )
    return {
        "@type": _CLUSTER,
        "name": name,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": _watched(folder / "eds", f"{name}.json")},
        "connect_timeout": "1s",
        "lb_policy": "LEAST_REQUEST",  # Envoy Gateway's default as well
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": _HTTP,
                "explicit_http_config": protocol,
                # Shorter than the predictor's keep-alive (65 s): the side that sends closes first.
                "common_http_protocol_options": {"idle_timeout": "30s"},
            }
        },
        "health_checks": [
            {
                "timeout": "2s",
                "interval": "1s",
                "no_traffic_interval": "1s",  # the default is 60 s
                "unhealthy_threshold": 3,
                "healthy_threshold": 1,
                "http_health_check": {"path": ready_path},
            }
        ],
        # A pod that leaves the endpoints gets nothing new, however healthy it still looks.
        "ignore_health_on_host_removal": True,
        # With every pod failing its checks, trying beats refusing: an overloaded pod still answers.
        "common_lb_config": {"healthy_panic_threshold": {"value": 1}},
        "outlier_detection": {
            "split_external_local_origin_errors": True,
            "consecutive_local_origin_failure": 3,  # connections refused, reset or timed out
            "enforcing_consecutive_local_origin_failure": 100,
            "consecutive_gateway_failure": 10,
            "enforcing_consecutive_gateway_failure": 100,
            "enforcing_consecutive_5xx": 0,  # a 500 is about the request, not the pod
            "enforcing_success_rate": 0,
            "enforcing_local_origin_success_rate": 0,
            "base_ejection_time": "5s",
            "interval": "1s",
            "max_ejection_percent": 50,
        },
        "circuit_breakers": {
            "thresholds": [
                {
                    # The defaults (1024, and 3 retries at once) lose requests when a pod dies.
                    "max_connections": 16384,
                    "max_pending_requests": 16384,
                    "max_requests": 16384,
                    "max_retries": 1024,
                }
            ]
        },
    }


def _to(route: Route, match: Json, kind: str) -> Json:
    shares = [
        {"name": f"{backend.deployment}-{kind}", "weight": backend.weight}
        for backend in route.backends
        if backend.weight
    ]
    return {
        "match": match,
        "route": {
            "weighted_clusters": {"clusters": shares},
            "timeout": f"{route.timeout_seconds}s",
            # Inference changes nothing, and Envoy retries only before a response has begun.
            "retry_policy": {
                "retry_on": "connect-failure,refused-stream,reset",
                "num_retries": 3,
                "retry_back_off": {"base_interval": "0.010s", "max_interval": "0.250s"},
                "retry_host_predicate": [
                    {
                        "name": "envoy.retry_host_predicates.previous_hosts",
                        "typed_config": {
                            "@type": _PREVIOUS_HOSTS
                        },
                    }
                ],
                "host_selection_retry_max_attempts": 5,
            },
        },
        "request_body_buffer_limit": BODY_LIMIT_BYTES,
    }


def _address(port: int) -> Json:
    return {"socket_address": {"address": LOOPBACK, "port_value": port}}


def _watched(folder: Path, name: str) -> Json:
    return {
        "resource_api_version": "V3",
        "initial_fetch_timeout": "5s",
        "path_config_source": {
            "path": str(folder / name),
            "watched_directory": {"path": str(folder)},
        },
    }
