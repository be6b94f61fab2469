"""Record what a real KEDA and a real HPA decide, for tests/unit/autoscale/test_recorded.py.

    python tests/unit/autoscale/recorded/record.py ADDRESS

Needs a cluster with KEDA that KUBECONFIG names, whose pods reach this machine at ADDRESS, and
`prometheus` on PATH. Every scenario is a Deployment with a ScaledObject of its own, all at once.
KEDA asks through a proxy that notes each query with its answer, so that the readings which led to
each decision are known exactly; Prometheus scrapes the scenarios' values from here. A scenario
whose Prometheus is lost gets no answer from the proxy. Takes as long as the longest scenario.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parents[4]))
from tests.support.query_proxy import Recorder, handler

HERE = Path(__file__).parent
NAMESPACE = "recorded"

Tree = dict[str, Any]


def manifests(scenario: Tree, address: str, port: int) -> Iterator[Tree]:
    """The scenario's Deployment and ScaledObject."""
    name = scenario["name"]
    pod = {
        "terminationGracePeriodSeconds": 0,
        "containers": [
            {
                "name": "idle",
                "image": "docker.io/library/busybox:1.36",
                "imagePullPolicy": "IfNotPresent",
                "command": ["/bin/busybox", "sleep", "100000"],
            }
        ],
    }
    labels = {"app": name}
    yield {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "replicas": scenario["replicas"],
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    triggers = [
        {
            "type": "prometheus",
            "metricType": trigger.get("metricType", "AverageValue"),
            "metadata": {
                "serverAddress": f"http://{address}:{port}/{name}{trigger.get('path', '')}",
                "query": f'demand{{scenario="{name}"}} + {number}',
                **trigger["metadata"],
            },
        }
        for number, trigger in enumerate(scenario["triggers"])
    ]
    yield {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "annotations": scenario.get("annotations", {}),
        },
        "spec": {"scaleTargetRef": {"name": name}, "triggers": triggers, **scenario["spec"]},
    }


def watch(recorder: Recorder, kind: str) -> "subprocess.Popen[str]":
    """Note every change of a kind's objects until the process is ended."""
    process = subprocess.Popen(
        ["kubectl", "get", kind, "-n", NAMESPACE, "-w", "-o", "json"],
        stdout=subprocess.PIPE,
        text=True,
    )

    def read() -> None:
        decoder, text = json.JSONDecoder(), ""
        assert process.stdout
        for line in process.stdout:
            text += line
            if line.rstrip() != "}":
                continue
            found, _ = decoder.raw_decode(text.strip())
            text = ""
            name, fields = slim(kind, found)
            recorder.note(kind, name, **fields)

    threading.Thread(target=read, daemon=True).start()
    return process


def slim(kind: str, found: Tree) -> tuple[str, Tree]:
    """The object's name, and only what a decision shows."""
    name, status = found["metadata"]["name"], found.get("status", {})
    conditions = {
        one["type"]: [one["status"], one.get("reason", "")] for one in status.get("conditions", ())
    }
    match kind:
        case "hpa":
            return name.removeprefix("keda-hpa-"), {
                "current": status.get("currentReplicas"),
                "desired": status.get("desiredReplicas"),
                "conditions": conditions,
                "metrics": status.get("currentMetrics"),
            }
        case "scaledobject":
            return name, {
                "conditions": conditions,
                "failures": {
                    metric: health.get("numberOfFailures")
                    for metric, health in status.get("health", {}).items()
                },
                "lastActiveTime": status.get("lastActiveTime"),
            }
        case "deployment":
            return name, {
                "spec": found["spec"]["replicas"],
                "replicas": status.get("replicas", 0),
                "ready": status.get("readyReplicas", 0),
            }
    regarding = found.get("involvedObject", {})
    return regarding.get("name", "").removeprefix("keda-hpa-"), {
        "about": regarding.get("kind"),
        "reason": found.get("reason"),
        "message": found.get("message"),
        "count": found.get("count"),
    }


def kubectl(*arguments: str, text: str = "") -> str:
    """Run kubectl and return what it prints."""
    done = subprocess.run(
        ["kubectl", *arguments], input=text, capture_output=True, text=True, check=False, timeout=90
    )
    if done.returncode:
        raise SystemExit(f"kubectl {' '.join(arguments)}: {done.stderr}")
    return done.stdout


@contextlib.contextmanager
def prometheus(folder: Path, scraped_port: int) -> Iterator[int]:
    """A Prometheus that scrapes this program every second; gives its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as probe:
        port = probe.server_address[1]
    job = {"job_name": "demand", "static_configs": [{"targets": [f"127.0.0.1:{scraped_port}"]}]}
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield port
    finally:
        process.terminate()
        process.wait(20)


def main() -> None:
    """Play every scenario and write what was seen, a file each."""
    address = sys.argv[1]
    scenarios = yaml.safe_load((HERE / "scenarios.yaml").read_text())
    if len(sys.argv) > 2:
        scenarios = [one for one in scenarios if one["name"] in sys.argv[2:]]
    server = ThreadingHTTPServer((address, 0), BaseHTTPRequestHandler)
    local = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    with (
        tempfile.TemporaryDirectory() as folder,
        prometheus(Path(folder), local.server_address[1]) as port,
    ):
        recorder = Recorder(scenarios, port)
        for one in (server, local):
            one.RequestHandlerClass = handler(recorder)
            threading.Thread(target=one.serve_forever, daemon=True).start()
        kubectl("create", "namespace", NAMESPACE)
        watches = []
        try:
            kinds = ("deployment", "hpa", "scaledobject", "events")
            deployments, rules = [], []
            for scenario in scenarios:
                first, second = manifests(scenario, address, server.server_address[1])
                deployments.append(first)
                rules.append(second)
            kubectl("apply", "-f", "-", text=yaml.safe_dump_all(deployments))
            kubectl("wait", "-n", NAMESPACE, "deployment", "--all", "--for=condition=Available")
            watches = [watch(recorder, kind) for kind in kinds]
            recorder.started = time.time()
            time.sleep(3)  # Prometheus has every first value
            kubectl("apply", "-f", "-", text=yaml.safe_dump_all(rules))
            end = max(scenario["seconds"] for scenario in scenarios)
            while recorder.now() < end:
                sys.stderr.write(f"\r{recorder.now():.0f} of {end} s, {len(recorder.notes)} notes ")
                time.sleep(1)
        finally:
            for process in watches:
                process.terminate()
            kubectl("delete", "namespace", NAMESPACE, "--wait=false")
        versions = {
            "kubernetes": json.loads(kubectl("version", "-o", "json"))["serverVersion"][
                "gitVersion"
            ],
            "keda": kubectl(
                "get",
                "deployment",
                "-n",
                "keda",
                "keda-operator",
                "-o",
                "jsonpath={.spec.template.spec.containers[0].image}",
            ),
        }
        for scenario, made in zip(scenarios, rules, strict=True):
            name = scenario["name"]
            found = [
                note
                for note in recorder.notes
                if note["of"] == name or note["of"].startswith(f"{name}-")
                if note["at"] <= scenario["seconds"] and "-" not in note["of"].removeprefix(name)
            ]
            text = {
                "recorded": datetime.fromtimestamp(recorder.started, UTC).isoformat("T", "seconds"),
                "started": recorder.started,
                "versions": versions,
                "scaledobject": made,
                "notes": found,
            }
            (HERE / f"{name}.json").write_text(lines(text))


def lines(found: Tree) -> str:
    """JSON with one line a note."""
    head = {key: value for key, value in found.items() if key != "notes"}
    notes = ",\n".join(json.dumps(note) for note in found["notes"])
    return json.dumps(head, indent=1)[:-2] + f',\n "notes": [\n{notes}\n]}}\n'


if __name__ == "__main__":
    main()
