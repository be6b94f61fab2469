"""The page of channels, and what a person may have all replicas of a model do: swap, or go back."""

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from controlplane.console.actions import BY, Done
from controlplane.console.pages import channels
from controlplane.console.render import Renderer
from controlplane.console.rights import Rights
from controlplane.console.settings import Settings
from controlplane.console.sources.answer import SourceError
from controlplane.console.sources.bundle import Sources
from controlplane.errors import SerinError
from controlplane.kubernetes.client import Access, Kubernetes
from controlplane.store.channels import parsed
from controlplane.store.followed import Channel

PATIENCE_SECONDS = 120.0
"""For the replicas' prepare, as the verb has it."""
ANSWER_SECONDS = 2.0
"""What takes longer goes on, and the page of channels shows it."""
WORDS = ("set", "rollback")
_WHY = 500


@dataclass(frozen=True, slots=True)
class Swaps:
    """The handlers below /channels."""

    settings: Settings
    sources: Sources
    rights: Rights
    render: Renderer

    def routes(self) -> list[BaseRoute]:
        """For the console's application, behind its guard."""
        return [
            Route("/channels", self.page),
            Route("/channels/{word}", self.swap, methods=["POST"]),
        ]

    async def page(self, request: Request) -> Response:
        """Channels that are followed."""
        return self.render(
            request,
            "channels.html",
            page=await channels.page(self.sources, self.settings.command),
            refused=await self.rights.refusals("channel"),
            swaps=can_swap(self.settings),
            here="channels",
        )

    async def swap(self, request: Request) -> Response:
        """Have all replicas of a model swap versions."""
        given = await self.rights.order(request, "channel")
        done = await swap(self.sources, self.settings, request.path_params["word"], given)
        back = ("/channels", "Channels")
        return self.render(request, "done.html", done=done, back=back, here="channels")


def can_swap(settings: Settings) -> bool:
    """Whether a channel can be written here: a pod's account may only read the store."""
    return bool(settings.kubeconfig and settings.store) and not settings.read_only


async def swap(sources: Sources, settings: Settings, word: str, given: Mapping[str, str]) -> Done:
    """Do it, or begin to.

    Args:
        sources: Where.
        settings: How the verbs are typed, and where the store is.
        word: One of WORDS.
        given: The form's fields: `uri` of the channel, `version`, `why`, the model's `name`.

    Raises:
        SourceError: It is refused; says why.
    """
    page = await channels.page(sources, settings.command)
    channel = next((entry for entry in page.value if entry.uri == given.get("uri")), None)
    address = parsed(given.get("uri", ""))
    if channel is None or address is None or word not in WORDS:
        raise SourceError(page.error or "No InferenceService follows this channel.")
    bucket, model, name = address
    if given.get("name", "").strip() != model:
        raise SourceError(f"Type the model's name, {model}, to swap its replicas' version.")
    version = given.get("version", "") if word == "set" else ""
    if word == "set" and version not in channel.versions:
        raise SourceError(f"{version[:80]!r} is no other published version of {model}.")
    line = channels.line(settings.command, word, model, name, *([version] if version else []))
    if settings.store is None or not can_swap(settings):
        raise SourceError(f"This console writes no channel. Type: {line}")
    access = Access(settings.kubeconfig, None, sources.cluster.namespace)
    target, why = Channel(settings.store, model, name, bucket), given.get("why", "").strip()[:_WHY]
    said: list[str] = []

    def write() -> None:
        # Here: it judges with numpy, which the image of a console that only looks is without.
        from controlplane.channels.writer import Wish, Writer

        try:
            with Kubernetes(access) as api:
                writer = Writer(api, target, lambda _: None, BY)
                if version:
                    writer.set(Wish(version, why, None, None, PATIENCE_SECONDS))
                else:
                    writer.back(why)
            said.append("")
        except SerinError as error:
            said.append(str(error))

    # A thread of its own, and nobody waits for it at the end: half a swap is no swap.
    writing = threading.Thread(target=write, daemon=True)
    writing.start()
    await asyncio.to_thread(writing.join, ANSWER_SECONDS)
    wanted = version or channel.previous
    if writing.is_alive():
        sentence = f"{wanted} is being prepared: replicas switch once all of them are ready to."
        return Done(sentence, line)
    if refused := said[0] if said else "The swap failed; the console's log says where.":
        raise SourceError(refused)
    return Done(f"All replicas of {model} serve {wanted}.", line)
