"""What a person may change: a patch each, with the command line that does the same.

Whatever changes what many people get asks for the model's name, typed.
"""

import asyncio
import json
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass

from controlplane.console.pages import rollout
from controlplane.console.settings import Settings
from controlplane.console.sources.answer import MALFORMED, SourceError
from controlplane.console.sources.bundle import Sources
from controlplane.console.sources.cluster import Object
from controlplane.errors import SerinError
from controlplane.kubernetes.client import Access, Kubernetes
from controlplane.rollout.effects.record import COMMAND
from controlplane.rollout.plan import Plan, parse_objectives, parse_steps
from controlplane.rollout.start import begin, launch

ORDERS = {
    "pause": "Keep the weight as it is; the guards go on judging.",
    "resume": "Go on after a pause.",
    "promote": "Stop judging: give the canary all requests, then make it stable.",
    "abort": "Take all requests from the canary, then remove it.",
}
NAMED = frozenset({"promote", "abort", "rollback"})
"""What asks for the name."""
BY = "console"
_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Done:
    """What was changed."""

    sentence: str
    line: str
    """The command line that does the same."""


def lines(model: str, command: str) -> dict[str, str]:
    """Action → the command line that does the same."""
    name = shlex.quote(model)
    return {
        **{word: f"{command} rollout {word} {name}" for word in ORDERS},
        "rollback": f"{command} rollback {name} --to VERSION",
        "start": f"{command} rollout start {name} VERSION",
        "weight": weight_line(model, "PERCENT"),
    }


def weight_line(model: str, percent: object) -> str:
    """The patch of a canary's weight, for kubectl."""
    patch = f'[{{"op": "replace", "path": "/spec/canary/0/trafficPercent", "value": {percent}}}]'
    return f"kubectl patch isvc {shlex.quote(model)} --type json -p {shlex.quote(patch)}"


async def act(
    sources: Sources, settings: Settings, model: str, action: str, given: Mapping[str, str]
) -> Done:
    """Do it.

    Args:
        sources: Where.
        settings: How the verbs are typed, and what may be started.
        model: The InferenceService.
        action: A word of `lines`.
        given: The form's fields.

    Raises:
        SourceError: It is refused; says why.
    """
    command = settings.command
    if action not in lines(model, command):
        raise SourceError(f"There is no action {action!r}.")
    if action in NAMED and given.get("name", "").strip() != model:
        raise SourceError(f"Type the model's name, {model}, to {action} it.")
    if action in ORDERS:
        return await _order(sources, model, action, command)
    document = await sources.cluster.get("inferenceservices", model)
    if document is None:
        raise SourceError(f"There is no InferenceService {model}.")
    if action == "weight":
        return await _weigh(sources, model, document, given.get("percent", ""))
    if action == "start":
        return await _start(sources, settings, model, document, given)
    return await _roll_back(sources, model, document, given.get("version", ""), command)


def can_start(settings: Settings) -> bool:
    """Whether a rollout can be started here: its engine needs a place, and Prometheus to judge."""
    return bool(settings.logs and settings.prometheus) and not settings.read_only


async def _start(
    sources: Sources, settings: Settings, model: str, document: Object, given: Mapping[str, str]
) -> Done:
    """Begin a rollout, and start the engine that acts on it."""
    if settings.logs is None or not can_start(settings):
        raise SourceError(
            f"This console starts no rollout. Type: {lines(model, settings.command)['start']}"
        )
    version = given.get("version", "")
    await _published(sources, model, document, version)
    plan, options = _plan(given)
    access = Access(settings.kubeconfig, None, sources.cluster.namespace)

    def begun() -> None:
        with Kubernetes(access) as api:
            begin(api, model, version, plan)

    try:
        await asyncio.to_thread(begun)
    except SerinError as error:
        raise SourceError(str(error)) from error
    launch(model, access, settings.prometheus, settings.pushgateway, settings.logs)
    line = shlex.join([settings.command, "rollout", "start", model, version, *options])
    return Done(f"A rollout of {model} to {version} has begun.", line)


def _plan(given: Mapping[str, str]) -> tuple[Plan, list[str]]:
    """What a form says of a rollout, and the verb's options of what is not as it is by default."""
    usual = Plan()
    steps, slo = given.get("steps", "").replace(" ", ""), given.get("slo", "").strip()
    requests = _whole(given.get("requests", ""), usual.min_requests, "requests")
    seconds = _whole(given.get("seconds", ""), int(usual.step_seconds), "seconds")
    try:
        plan = Plan(
            steps=parse_steps(steps) if steps else usual.steps,
            objectives=parse_objectives(slo),
            min_requests=requests,
            step_seconds=float(seconds),
        )
    except SerinError as error:
        raise SourceError(str(error)) from error
    options = []
    if plan.steps != usual.steps:
        options += ["--steps", ",".join(map(str, plan.steps))]
    if slo:
        options += ["--slo", slo]
    if requests != usual.min_requests:
        options += ["--min-requests", str(requests)]
    if seconds != usual.step_seconds:
        options += ["--step-seconds", str(seconds)]
    return plan, options


def _whole(text: str, otherwise: int, what: str) -> int:
    """A number from 1 on; empty text is the usual one."""
    text = text.strip()
    if not text:
        return otherwise
    if not (text.isascii() and text.isdecimal() and len(text) < _DIGITS and int(text)):
        raise SourceError(f"{text!r} {what}: expected a whole number from 1 on.")
    return int(text)


async def bound(sources: Sources, name: str, given: Mapping[str, str]) -> Done:
    """Let a ScaledObject have between so many replicas.

    Raises:
        SourceError: It is refused; says why.
    """
    low, high = (given.get(key, "").strip() for key in ("low", "high"))
    if not all(text.isascii() and text.isdecimal() and len(text) < _DIGITS for text in (low, high)):
        raise SourceError(f"{low!r} to {high!r} replicas: expected two whole numbers.")
    if int(low) > int(high) or not int(high):
        raise SourceError(f"{low} to {high} replicas: the second is 1 or more, and no smaller.")
    spec = {"minReplicaCount": int(low), "maxReplicaCount": int(high)}
    await sources.cluster.patch("scaledobjects", name, {"spec": spec})
    return Done(f"{name} is to have {low} to {high} replicas.", bound_line(name, low, high))


def bound_line(name: str, low: object, high: object) -> str:
    """The patch of a ScaledObject's bounds, for kubectl."""
    patch = f'{{"spec": {{"minReplicaCount": {low}, "maxReplicaCount": {high}}}}}'
    return f"kubectl patch scaledobject {shlex.quote(name)} --type merge -p {shlex.quote(patch)}"


async def _order(sources: Sources, model: str, word: str, command: str) -> Done:
    """Leave a word for the engine that acts on the model's rollout."""
    current = await rollout.page(sources, model)
    if current is None or current.over:
        raise SourceError(
            f"No rollout of {model} is under way: {command} rollout start {model} VERSION."
        )
    line = lines(model, command)[word]
    if not current.held:
        raise SourceError(f"No engine acts on this rollout, so nobody would hear it. Type: {line}")
    order = json.dumps({"do": word, "by": BY, "at": time.time()})
    patch = {"metadata": {"annotations": {COMMAND: order}}}
    await sources.cluster.patch("leases", f"{rollout.PREFIX}{model}", patch)
    return Done(f"The rollout of {model} is told to {word}.", line)


async def _weigh(sources: Sources, model: str, document: Object, text: str) -> Done:
    """Give the one canary another share."""
    if not (text.isascii() and text.isdecimal() and int(text) <= 100):
        raise SourceError(f"{text!r} is no share: expected 0 … 100.")
    await _alone(sources, model)
    canaries = document["spec"].get("canary") or []
    if len(canaries) != 1:
        raise SourceError(
            f"{model} has {len(canaries)} canaries: a weight is set where it has one."
        )
    changed = [{**canaries[0], "trafficPercent": int(text)}]
    version = document["metadata"]["resourceVersion"]
    patch = {"metadata": {"resourceVersion": version}, "spec": {"canary": changed}}
    await sources.cluster.patch("inferenceservices", model, patch)
    return Done(f"The canary of {model} is to get {text} %.", weight_line(model, text))


async def _roll_back(
    sources: Sources, model: str, document: Object, version: str, command: str
) -> Done:
    """Serve another published version."""
    await _alone(sources, model)
    target = await _published(sources, model, document, version)
    current = document["metadata"]["resourceVersion"]
    patch = {
        "metadata": {"resourceVersion": current},
        "spec": {"predictor": {"model": {"storageUri": target}}},
    }
    await sources.cluster.patch("inferenceservices", model, patch)
    line = f"{command} rollback {shlex.quote(model)} --to {shlex.quote(version)}"
    return Done(f"{model} is to serve {version}.", line)


async def _published(sources: Sources, model: str, document: Object, version: str) -> str:
    """The URI of a version that is published beside the one served."""
    try:
        uri = str(document["spec"]["predictor"]["model"]["storageUri"])
        prefix = uri.removeprefix("s3://").split("/")[:2]
        published = await sources.registry.versions()
    except MALFORMED as error:
        raise SourceError(f"{model} serves no version of the store.") from error
    known = [entry.version for entry in published if entry.model == prefix[-1]]
    if version not in known:
        raise SourceError(f"{version!r} is no published version of {model}.")
    return f"s3://{'/'.join(prefix)}/{version}"


async def _alone(sources: Sources, model: str) -> None:
    """Refuse to interfere with a rollout."""
    current = await rollout.page(sources, model)
    if current is not None and not current.over:
        raise SourceError(f"A rollout of {model} is under way ({current.phase}): end it first.")
