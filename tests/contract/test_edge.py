"""The gateway's limits: a cluster's policies and the laptop's Envoy have the same numbers."""

import json
from pathlib import Path
from typing import Any

import pytest

from controlplane.local.gateway import anyhost, envoy, upstreams
from tests.contract.test_manifests import rendered
from tests.contract.test_overlays import of_kind, with_component
from tests.support.required import ROOT

LOCAL = ROOT / "kserve" / "overlays" / "local"
FOLDER = Path("/state/envoy")
UNITS = {"Ki": 2**10, "Mi": 2**20}


@pytest.fixture(scope="module")
def policies() -> dict[str, Any]:
    """Kind → the spec of the policy of the Gateway."""
    found = {
        one["kind"]: one["spec"]
        for one in rendered(LOCAL)
        if one["kind"] in {"ClientTrafficPolicy", "BackendTrafficPolicy"}
    }
    (gateway,) = of_kind(rendered(LOCAL), "Gateway")
    for spec in found.values():
        assert [one["name"] for one in spec["targetRefs"]] == [gateway["metadata"]["name"]]
    return found


def listener() -> tuple[dict[str, Any], dict[str, Any]]:
    """The laptop's Envoy: its connection manager, and its limit of connections."""
    bootstrap = envoy.bootstrap(FOLDER, 8080, FOLDER / "admin")
    (chain,) = bootstrap["static_resources"]["listeners"][0]["filter_chains"]
    (monitor,) = bootstrap["overload_manager"]["resource_monitors"]
    return chain["filters"][0]["typed_config"], monitor["typed_config"]


def test_a_client_has_the_same_times_and_numbers_in_both_places(policies: dict[str, Any]) -> None:
    """Heads, idle connections, idle streams, connections, HTTP/2's streams and windows."""
    manager, connections = listener()
    client = policies["ClientTrafficPolicy"]
    times, http2 = client["timeout"]["http"], client["http2"]

    assert times == {
        "requestHeadersReceivedTimeout": manager["request_headers_timeout"],
        "idleTimeout": manager["common_http_protocol_options"]["idle_timeout"],
        "streamIdleTimeout": manager["stream_idle_timeout"],
    }
    limit = client["connection"]["connectionLimit"]["value"]
    assert limit == connections["max_active_downstream_connections"]
    assert {
        "max_concurrent_streams": http2["maxConcurrentStreams"],
        "initial_stream_window_size": size(http2["initialStreamWindowSize"]),
        "initial_connection_window_size": size(http2["initialConnectionWindowSize"]),
    } == manager["http2_protocol_options"]


def test_as_much_may_wait_for_pods_in_both_places(policies: dict[str, Any]) -> None:
    """Envoy's default of 1024 would refuse what a predictor's queue takes."""
    cluster = upstreams.clusters(FOLDER, {"iris-predictor": "/ready"})["resources"][0]
    (limits,) = cluster["circuit_breakers"]["thresholds"]
    breaker = policies["BackendTrafficPolicy"]["circuitBreaker"]

    assert breaker == {
        "maxConnections": limits["max_connections"],
        "maxPendingRequests": limits["max_pending_requests"],
        "maxParallelRequests": limits["max_requests"],
        "maxParallelRetries": limits["max_retries"],
    }


def test_the_gateway_refuses_in_the_same_words_in_both_places(policies: dict[str, Any]) -> None:
    """V2's error for what has no valid key, and for what is too much of one client."""
    told = {
        entry["match"]["statusCodes"][0]["value"]: json.loads(entry["response"]["body"]["inline"])
        for entry in policies["BackendTrafficPolicy"]["responseOverride"]
    }

    assert told == {401: {"error": anyhost.NO_KEY}, 429: {"error": anyhost.TOO_MANY}}


def test_the_tls_component_adds_a_listener_with_a_certificate(tmp_path: Path) -> None:
    """Beside HTTP, which stays the first: setup_cluster.sh prints its port."""
    (gateway,) = of_kind(
        with_component(tmp_path, LOCAL, ROOT / "kserve" / "components" / "tls"), "Gateway"
    )
    http, https = gateway["spec"]["listeners"]

    assert (http["protocol"], https["protocol"]) == ("HTTP", "HTTPS")
    assert https["tls"]["certificateRefs"] == [{"name": "gateway-tls"}]
    assert https["allowedRoutes"] == http["allowedRoutes"]


def size(quantity: str) -> int:
    """Bytes of a Kubernetes quantity."""
    return int(quantity[:-2]) * UNITS[quantity[-2:]]
