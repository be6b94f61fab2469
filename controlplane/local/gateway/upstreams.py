"""Envoy's upstream side as dictionaries: who answers, how their health is known, when to give up.

Pure. Two clusters per Deployment, REST and gRPC, because HTTP/1.1 and HTTP/2 need different
connection pools; both ask the model's readiness on the REST port.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from controlplane.local.gateway.envoy import TYPE, Json, address, watched
from controlplane.local.node.fleet import Endpoint

_HTTP = f"{TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions"
_CLUSTER = f"{TYPE}.config.cluster.v3.Cluster"
_ENDPOINTS = f"{TYPE}.config.endpoint.v3.ClusterLoadAssignment"
# Envoy ends a connection to which more frames wait than this, with everybody's calls on it; its
# defaults of 10,000 and of 1,000 resets are met by one client that cancels while a pod is busy.
_PATIENT = {"max_outbound_frames": 200_000, "max_outbound_control_frames": 100_000}


def clusters(folder: Path, ready_paths: Mapping[str, str]) -> Json:
    """Describe the upstream clusters of Deployments.

    Args:
        folder: As for `bootstrap`.
        ready_paths: Deployment → the path that says whether a pod of it is ready.
    """
    resources = [
        _cluster(folder, deployment, kind, path)
        for deployment, path in sorted(ready_paths.items())
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
                    "address": address(port),
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


def _cluster(folder: Path, deployment: str, kind: str, ready_path: str) -> Json:
    name = f"{deployment}-{kind}"
    protocol: Json = (
        {"http2_protocol_options": _PATIENT} if kind == "grpc" else {"http_protocol_options": {}}
    )
    return {
        "@type": _CLUSTER,
        "name": name,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": watched(folder / "eds", f"{name}.json")},
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
