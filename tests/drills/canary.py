"""A canary drill under load: 10 → 50 → 100 → promote → roll back, and not one request lost.

    python tests/drills/canary.py --url http://127.0.0.1:8080 --to s3://models/iris/73d76d44fdd7

It speaks to whatever KUBECONFIG names, with kubectl alone, and sends an open load to --url: the
same script drills a laptop and a cluster. It ends with the version that was served before, prints
what it measured as JSON, and exits 1 if a request was lost or a share was not what the patch said.
"""

import argparse
import asyncio
import itertools
import json
import math
import random
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

SIGMAS = 4
LIVE_SECONDS = 0.3
STEP_SECONDS = 180.0
REQUEST_SECONDS = 30.0
PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.2
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
FLOWER = {"name": "input-0", "shape": [1, 4], "datatype": "FP32", "data": [5.1, 3.5, 1.4, 0.2]}


@dataclass
class Answer:
    """One request: when it was sent, and which version answered."""

    sent_at: float
    version: str


@dataclass
class Load:
    """An open load: requests leave at their times, whether or not earlier ones came back."""

    url: str
    host: str
    path: str
    rate: float
    inputs: Sequence[dict[str, Any]] = (FLOWER,)
    """Tensors; each request takes one by chance."""
    answers: list[Answer] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    latest: float = 0.0
    """How late a request left at worst, seconds: the load's own honesty."""
    _idle: list[Connection] = field(default_factory=list)

    async def run(self) -> None:
        """Send until cancelled, then wait for what is under way."""
        tasks: set[asyncio.Task[None]] = set()
        begun = time.monotonic()
        try:
            for index in itertools.count():
                due = begun + index / self.rate
                await asyncio.sleep(max(due - time.monotonic(), 0))
                self.latest = max(self.latest, time.monotonic() - due)
                task = asyncio.create_task(self._ask())
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        except asyncio.CancelledError:
            await asyncio.gather(*tasks)
            for _, writer in self._idle:
                writer.close()

    async def _ask(self) -> None:
        sent_at = time.monotonic()
        try:
            status, body = await asyncio.wait_for(self._exchange(), REQUEST_SECONDS)
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            self.lost.append(f"{type(error).__name__} {error}")
            return
        if status == 200:
            self.answers.append(Answer(sent_at, json.loads(body)["model_version"]))
        else:
            self.lost.append(f"{status} {body[:200]!r}")

    async def _exchange(self) -> tuple[int, bytes]:
        """One request on a kept connection: a client library would cost more than the server."""
        address = urllib.parse.urlsplit(self.url)
        connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = await asyncio.open_connection(address.hostname, address.port or 80)
        reader, writer = connection
        body = json.dumps({"inputs": [random.choice(self.inputs)]})
        writer.write(
            f"POST {self.path} HTTP/1.1\r\nHost: {self.host}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.split("content-length:")[1].split("\r\n")[0])
        answer = await reader.readexactly(length)
        if "connection: close" in head:
            writer.close()
        else:
            self._idle.append(connection)
        return int(head.split(" ", 2)[1]), answer


class Drill:
    """One drill of one InferenceService."""

    def __init__(self, model: str, namespace: str, load: Load, window: int) -> None:
        self.model = model
        self.namespace = namespace
        self.load = load
        self.window = window
        self.steps: list[dict[str, Any]] = []
        self.wrong: list[str] = []

    async def run(self, uri: str) -> None:
        """Roll out a version, then roll back to the one of before."""
        before = str(self._spec()["predictor"]["model"]["storageUri"])
        stable, canary = before.rsplit("/", 1)[1], uri.rsplit("/", 1)[1]
        await self._measure("stable", {stable: 1.0})
        for percent in (10, 50, 100):
            await self._share(uri, percent, stable, canary)
        await self._promote(uri, canary)
        for percent in (50, 100):
            await self._share(before, percent, canary, stable)
        await self._promote(before, stable)

    async def _share(self, uri: str, percent: int, stable: str, canary: str) -> None:
        patched_at = await self._patch({"canary": [self._canary(uri, percent)]})
        await self._until_weight(percent)
        shares = {stable: 1 - percent / 100, canary: percent / 100}
        await self._measure(f"canary {percent} %", shares)
        if percent == 100:
            self._live("to 100 %", patched_at, stable)

    async def _promote(self, uri: str, version: str) -> None:
        """The order that loses nothing: stable re-rolls unseen, the canary goes when it is idle."""
        await self._patch({"predictor": {"model": {"storageUri": uri}}})
        await self._until(
            lambda: uri in self._kubectl("get", f"deploy/{self.model}-predictor", "-o", "yaml"),
            "the Deployment's new URI",
        )
        await self._rolled(f"{self.model}-predictor")
        await self._patch({"canary": [self._canary(uri, 0)]})
        await self._until_weight(0)
        await self._patch({"canary": None})
        await self._measure("promoted", {version: 1.0})

    async def _measure(self, name: str, shares: dict[str, float]) -> None:
        """Count a window of answers to requests that are sent from now on."""
        await asyncio.sleep(LIVE_SECONDS)
        since = time.monotonic()
        await self._until(lambda: self._after(since) >= self.window, f"{self.window} answers")
        seen = [one.version for one in self.load.answers if one.sent_at > since]
        for version, share in shares.items():
            found = seen.count(version) / len(seen)
            allowed = SIGMAS * math.sqrt(share * (1 - share) / len(seen))
            if abs(found - share) > allowed:
                self.wrong.append(
                    f"{name}: {version} has {found:.4f}, expected {share} ± {allowed:.4f}"
                )
        counts = {version: seen.count(version) for version in sorted(set(seen))}
        if set(counts) - set(shares):
            self.wrong.append(f"{name}: answers of {set(counts) - set(shares)}")
        self.steps.append({"step": name, "answers": counts})

    def _live(self, name: str, patched_at: float, version: str) -> None:
        """How long after the patch returned a request could still meet the old weights."""
        late = [one.sent_at for one in self.load.answers if one.version == version]
        seconds = max(max(late, default=patched_at) - patched_at, 0)
        self.steps.append({"step": f"{name}: live after seconds", "seconds": round(seconds, 3)})
        if seconds > LIVE_SECONDS:
            self.wrong.append(f"{name}: live {seconds:.3f} s after the patch returned")

    async def _patch(self, spec: dict[str, Any]) -> float:
        patch = json.dumps({"spec": spec})
        await asyncio.to_thread(
            self._kubectl, "patch", f"isvc/{self.model}", "--type", "merge", "-p", patch
        )
        return time.monotonic()

    async def _until_weight(self, percent: int) -> None:
        canary = f"{self.model}-canary-predictor"

        def has_weight() -> bool:
            route = json.loads(self._kubectl("get", f"httproute/{self.model}", "-o", "json"))
            refs = route["spec"]["rules"][-1]["backendRefs"]
            weights = {one["name"]: one.get("weight", 1) for one in refs}
            total = sum(weights.values())
            return canary in weights and weights[canary] * 100 == percent * total

        await self._until(has_weight, f"the route to give the canary {percent} %")

    async def _rolled(self, deployment: str) -> None:
        await asyncio.to_thread(
            self._kubectl,
            *("rollout", "status", f"deploy/{deployment}", f"--timeout={PATIENCE_SECONDS:.0f}s"),
        )

    async def _until(self, true: Any, what: str) -> None:
        deadline = time.monotonic() + STEP_SECONDS
        while not await asyncio.to_thread(true):
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {STEP_SECONDS:.0f} s for {what}")
            await asyncio.sleep(POLL_SECONDS)

    def _after(self, since: float) -> int:
        return sum(one.sent_at > since for one in self.load.answers[-2 * self.window :])

    def _canary(self, uri: str, percent: int) -> dict[str, Any]:
        stable = self._spec()["predictor"]["model"]
        model = {
            name: stable[name]
            for name in ("modelFormat", "runtime", "protocolVersion")
            if name in stable
        }
        predictor = {"name": "canary", "model": {**model, "storageUri": uri}}
        return {"trafficPercent": percent, "predictor": predictor}

    def _spec(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            self._kubectl("get", f"isvc/{self.model}", "-o", "json")
        )["spec"]
        return found

    def _kubectl(self, *arguments: str) -> str:
        done = subprocess.run(
            ["kubectl", "--namespace", self.namespace, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS + 30,
        )
        if done.returncode:
            raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout


async def drill(options: argparse.Namespace) -> dict[str, Any]:
    """Drill under load and return what was measured."""
    host = options.host or f"{options.model}-{options.namespace}.localhost"
    path = f"/v2/models/{options.model}/infer"
    load = Load(options.url, host, path, options.rate)
    one = Drill(options.model, options.namespace, load, options.window)
    sending = asyncio.create_task(load.run())
    begun = time.monotonic()
    try:
        await one.run(options.to)
    except (RuntimeError, TimeoutError) as error:
        one.wrong.append(str(error))
    finally:
        seconds = time.monotonic() - begun
        sending.cancel()
        await sending
    return {
        "requests": len(load.answers) + len(load.lost),
        "requests_per_second": round((len(load.answers) + len(load.lost)) / seconds, 1),
        "latest_departure_seconds": round(load.latest, 3),
        "lost": len(load.lost),
        "losses": load.lost[:5],
        "wrong": one.wrong,
        "steps": one.steps,
    }


def main() -> int:
    """Run the drill from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", required=True, help="the gateway, such as http://127.0.0.1:8080")
    parser.add_argument("--to", required=True, metavar="URI", help="the version to roll out")
    parser.add_argument("--model", default="iris")
    parser.add_argument("--namespace", default="models")
    parser.add_argument("--host", help="the model's host (default <model>-<namespace>.localhost)")
    parser.add_argument("--rate", type=float, default=200, help="requests a second (default 200)")
    parser.add_argument("--window", type=int, default=2500, help="answers counted in each step")
    found = asyncio.run(drill(parser.parse_args()))
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 1 if found["lost"] or found["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
