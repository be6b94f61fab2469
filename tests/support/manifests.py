"""Manifests in few words, for tests that plan with them."""

from typing import Any

from controlplane.local.manifests import Manifests, parse

RUNTIME: dict[str, Any] = {
    "kind": "ServingRuntime",
    "metadata": {"name": "serin-iris"},
    "spec": {
        "containers": [
            {
                "name": "kserve-container",
                "command": ["python", "-m", "predictors.iris"],
                "args": ["--model_name={{.Name}}", "--model_dir=/mnt/models", "--http_port=8080"],
                "env": [{"name": "PREDICTOR_THREADS", "value": "1"}],
                "ports": [
                    {"name": "http1", "containerPort": 8080},
                    {"name": "h2c-grpc", "containerPort": 8081},
                ],
                "readinessProbe": {
                    "httpGet": {"path": "/v2/models/{{.Name}}/ready", "port": 8080},
                    "periodSeconds": 5,
                },
            }
        ]
    },
}


def service(**changes: Any) -> dict[str, Any]:
    """The InferenceService iris; `changes` replace fields of its spec."""
    model = {"runtime": "serin-iris", "storageUri": "s3://models/iris", "protocolVersion": "v2"}
    return {
        "kind": "InferenceService",
        "metadata": {
            "name": "iris",
            "namespace": "models",
            "annotations": {"serving.kserve.io/autoscalerClass": "external"},
        },
        "spec": {"predictor": {"model": model}, **changes},
    }


def canary(percent: int, version: str, name: str = "canary") -> dict[str, Any]:
    """One entry of spec.canary."""
    model = {"storageUri": f"s3://models/iris/{version}"}
    return {"trafficPercent": percent, "predictor": {"name": name, "model": model}}


def scaled_object(target: str, least: int) -> dict[str, Any]:
    """A ScaledObject of a Deployment."""
    return {
        "kind": "ScaledObject",
        "metadata": {"name": target},
        "spec": {"scaleTargetRef": {"name": target}, "minReplicaCount": least},
    }


def manifests(*documents: dict[str, Any]) -> Manifests:
    """Parse the runtime and these documents."""
    return parse(("test.yaml", document) for document in (RUNTIME, *documents))
