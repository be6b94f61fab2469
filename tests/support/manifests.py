"""Manifests in few words, for tests that plan with them."""

from typing import Any

from controlplane.local.controllers import inference
from controlplane.local.controllers.plan import Plan, plan

RUNTIME: dict[str, Any] = {
    "kind": "ServingRuntime",
    "metadata": {"name": "serin-iris"},
    "spec": {
        "containers": [
            {
                "name": "kserve-container",
                "image": "serin/iris",
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


def service(version: str = "a1", **changes: Any) -> dict[str, Any]:
    """The InferenceService iris as it is stored; `changes` replace fields of its spec."""
    uri = f"s3://models/iris/{version}" if version else "s3://models/iris"
    model = {"runtime": "serin-iris", "storageUri": uri, "protocolVersion": "v2"}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": "iris",
            "namespace": "models",
            "uid": "0000",
            "generation": 1,
            "annotations": {
                "serving.kserve.io/autoscalerClass": "external",
                "serving.kserve.io/deploymentMode": "Standard",
            },
        },
        "spec": {"predictor": {"model": model}, **changes},
    }


def canary(percent: int, version: str, name: str = "canary", **more: Any) -> dict[str, Any]:
    """One entry of spec.canary."""
    model = {"storageUri": f"s3://models/iris/{version}"}
    return {"trafficPercent": percent, "predictor": {"name": name, "model": model, **more}}


def planned(
    document: dict[str, Any],
    ready: dict[str, int] | None = None,
    replicas: int = 1,
    runtime: dict[str, Any] | None = None,
) -> Plan:
    """Plan an InferenceService: its Deployments with so many replicas, its routes."""
    there = inference.deployments(document, {"serin-iris": runtime or RUNTIME})
    for deployment in there:
        deployment["spec"]["replicas"] = replicas
    return plan(there, inference.routes(document, ready or {}))
