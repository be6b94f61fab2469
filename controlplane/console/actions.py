"""What a person may change: a patch each, with the command line that does the same.

Whatever changes what many people get asks for the model's name, typed.
"""

import json
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass

from controlplane.console.pages import rollout
from controlplane.console.sources.answer import MALFORMED, SourceError
from controlplane.console.sources.bundle import Sources
from controlplane.console.sources.cluster import Object
from controlplane.rollout.effects.record import COMMAND

ORDERS = {
    "pause": "Keep the weight as it is; the guards go on judging.",
    "resume": "Go on after a pause.",
    "promote": "Stop judging: give the canary all requests, then make it stable.",
    "abort": "Take all requests from the canary, then remove it.",
}
NAMED = frozenset({"promote", "abort", "rollback"})
"""What asks for the name."""
BY = "console"


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
        "weight": weight_line(model, "PERCENT"),
    }


def weight_line(model: str, percent: object) -> str:
    """The patch of a canary's weight, for kubectl."""
    patch = f'[{{"op": "replace", "path": "/spec/canary/0/trafficPercent", "value": {percent}}}]'
    return f"kubectl patch isvc {shlex.quote(model)} --type json -p {shlex.quote(patch)}"


async def act(
    sources: Sources, model: str, action: str, given: Mapping[str, str], command: str
) -> Done:
    """Do it.

    Args:
        sources: Where.
        model: The InferenceService.
        action: A word of `lines`.
        given: The form's fields.
        command: How the verbs are typed.

    Raises:
        SourceError: It is refused; says why.
    """
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
    return await _roll_back(sources, model, document, given.get("version", ""), command)


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
    try:
        uri = str(document["spec"]["predictor"]["model"]["storageUri"])
        prefix = uri.removeprefix("s3://").split("/")[:2]
        published = await sources.registry.versions()
    except MALFORMED as error:
        raise SourceError(f"{model} serves no version of the store.") from error
    known = [entry.version for entry in published if entry.model == prefix[-1]]
    if version not in known:
        raise SourceError(f"{version!r} is no published version of {model}.")
    target = f"s3://{'/'.join(prefix)}/{version}"
    current = document["metadata"]["resourceVersion"]
    patch = {
        "metadata": {"resourceVersion": current},
        "spec": {"predictor": {"model": {"storageUri": target}}},
    }
    await sources.cluster.patch("inferenceservices", model, patch)
    line = f"{command} rollback {shlex.quote(model)} --to {shlex.quote(version)}"
    return Done(f"{model} is to serve {version}.", line)


async def _alone(sources: Sources, model: str) -> None:
    """Refuse to interfere with a rollout."""
    current = await rollout.page(sources, model)
    if current is not None and not current.over:
        raise SourceError(f"A rollout of {model} is under way ({current.phase}): end it first.")
