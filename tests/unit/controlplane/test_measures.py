"""What triggers read: a query's answer in its forms, and pods' processor time."""

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from controlplane import prometheus
from controlplane.autoscale.readings import PodUsage
from controlplane.local.api.objects import Objects
from controlplane.local.controllers.autoscaling import measures
from controlplane.local.controllers.autoscaling.autoscalers import seconds
from controlplane.prometheus import Answer
from tests.support.rules import document, rule

NOW = "2026-11-21T12:00:00Z"


def answered(status: int, body: Any) -> Answer:
    """What is made of an HTTP answer."""

    async def run() -> Answer:
        transport = httpx.MockTransport(lambda request: httpx.Response(status, json=body))
        async with httpx.AsyncClient(transport=transport) as client:
            return await prometheus.ask(client, "http://p:9090/", "up", 1)

    return asyncio.run(run())


def vector(*values: str) -> dict[str, Any]:
    result = [{"metric": {"pod": f"p{n}"}, "value": [0, one]} for n, one in enumerate(values)]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


@pytest.mark.parametrize(
    ("body", "values"),
    [
        (vector(), []),
        (vector("1.5"), [1.5]),
        (vector("1", "2"), [1, 2]),
        ({"data": {"resultType": "matrix", "result": [{"metric": {}, "values": [[0, "3"]]}]}}, []),
        ({"data": {"resultType": "matrix", "result": [{"metric": {}}] * 2}}, [0, 0]),
    ],
)
def test_answers(body: dict[str, Any], values: list[float]) -> None:
    """Each element's value; a range of one series has none, as KEDA reads it."""
    assert answered(200, body).values == values


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"data": {"resultType": "scalar", "result": [0, "3"]}}, "gives a scalar"),
        ({"data": {"resultType": "string", "result": [0, "abc"]}}, "gives a string"),
        ({"data": {"resultType": "vector", "result": [{"metric": {}, "value": [0]}]}}, "did not"),
        ({"data": {"resultType": "vector", "result": 3}}, "did not answer as Prometheus does"),
        ([], "did not answer as Prometheus does"),
    ],
)
def test_what_keda_cannot_read_is_an_error(body: Any, said: str) -> None:
    """A result of another type, or an answer of something that is no Prometheus."""
    assert said in answered(200, body).error


def test_headers_and_parameters_go_with_the_query() -> None:
    """customHeaders, queryParameters and namespace of a trigger."""
    asked: list[httpx.Request] = []
    metadata = {
        "serverAddress": "http://p:9090",
        "query": "vector(1)",
        "threshold": "2",
        "customHeaders": "X-Scope-OrgID=team,X-B=a%3Db",
        "queryParameters": "dedup=false",
        "namespace": "models",
    }

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json=vector("1"))

    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            found = rule(triggers=[{"type": "prometheus", "metadata": metadata}])
            await measures.readings(client, found, "", 0)

    asyncio.run(run())

    (request,) = asked
    assert (request.headers["x-scope-orgid"], request.headers["x-b"]) == ("team", "a=b")
    assert dict(request.url.params) == {
        "query": "vector(1)",
        "dedup": "false",
        "namespace": "models",
    }


def test_a_refused_query() -> None:
    """Prometheus' own words, with its status."""
    found = answered(400, {"status": "error", "error": "parse error"})

    assert found.error == ("prometheus query api returned error. status: 400 response: parse error")


def test_no_prometheus() -> None:
    """Nobody to ask, nobody there, and nobody who speaks: three errors that say which."""

    async def run() -> list[str]:
        async with httpx.AsyncClient() as client:
            nobody = await prometheus.ask(client, "", "up", 1)
            closed = await prometheus.ask(client, "http://127.0.0.1:1", "up", 1)
        return [nobody.error, closed.error]

    nobody, closed = asyncio.run(run())

    assert nobody == "Prometheus does not run here"
    assert closed.startswith("http://127.0.0.1:1/api/v1/query: ")


def test_only_queries_to_this_machine_need_its_prometheus() -> None:
    """A rule that asks another Prometheus works without one here."""
    elsewhere = rule()
    trigger = document()["spec"]["triggers"][0]
    trigger["metadata"]["serverAddress"] = "http://prometheus-operated.monitoring:9090"

    assert not measures.asks_here(elsewhere)
    assert measures.asks_here(rule(triggers=[trigger]))


@pytest.mark.parametrize(("body", "scraped"), [(vector(), False), (vector("9", "11"), True)])
def test_a_scrape_of_before_is_none(body: dict[str, Any], *, scraped: bool) -> None:
    """Only a scrape since the start says that the next failure is one."""

    async def run() -> list[bool]:
        transport = httpx.MockTransport(lambda request: httpx.Response(200, json=body))
        async with httpx.AsyncClient(transport=transport) as client:
            return [
                await measures.is_scraped(client, rule(), "http://p", since) for since in (10, 12)
            ]

    assert asyncio.run(run()) == [scraped, False]


def test_processor_time_and_memory_of_pods() -> None:
    """Each pod's request, sample, phase and readiness, of this Deployment alone."""

    async def run() -> Mapping[str, tuple[PodUsage, ...]]:
        objects = Objects()
        for name, app, ready in (("p0", "web", "True"), ("p1", "web", "False"), ("x", "y", "True")):
            condition = {"type": "Ready", "status": ready, "lastTransitionTime": NOW}
            objects.create(
                {
                    "kind": "Pod",
                    "metadata": {
                        "name": name,
                        "namespace": "models",
                        "labels": {"app": f"isvc.{app}"},
                    },
                    "spec": {
                        "containers": [
                            {"resources": {"requests": {"cpu": "500m", "memory": "1Ki"}}}
                        ]
                    },
                    "status": {"phase": "Running", "startTime": NOW, "conditions": [condition]},
                }
            )
        triggers = [{"type": one, "metadata": {"value": "60"}} for one in ("cpu", "memory")]
        wanted = rule(minReplicaCount=1, triggers=triggers)
        transport = httpx.MockTransport(lambda request: httpx.Response(200, json=vector("0.25")))
        async with httpx.AsyncClient(transport=transport) as client:
            return await measures.pods(client, objects, wanted, "http://p")

    found = asyncio.run(run())
    first, second = found["cpu"]

    at = seconds(NOW)
    assert first == PodUsage("p0", 500, 250, ready=True, started_at=at, ready_changed_at=at)
    assert second == PodUsage("p1", 500, None, ready=False, started_at=at, ready_changed_at=at)
    assert (found["memory"][0].request, found["memory"][0].usage) == (1024_000, 250)
