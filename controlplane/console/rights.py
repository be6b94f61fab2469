"""What this console may change: --read-only, and what Kubernetes allows to its credentials."""

import asyncio
import time

from starlette.exceptions import HTTPException
from starlette.requests import Request

from controlplane.console.actions import ORDERS
from controlplane.console.fields import fields
from controlplane.console.settings import Settings
from controlplane.console.sources.answer import answered
from controlplane.console.sources.cluster import Cluster

KEPT_SECONDS = 30.0
_SERVICE = ("patch", "inferenceservices")
_LEASE = ("patch", "leases")
NEEDS = {
    "weight": (_SERVICE,),
    "rollback": (_SERVICE,),
    "start": (_SERVICE, _LEASE, ("create", "leases")),
    **dict.fromkeys(ORDERS, (_LEASE,)),
    "channel": (_LEASE, ("create", "leases")),
    "bounds": (("patch", "scaledobjects"),),
    "train": tuple(
        ("create", plural) for plural in ("jobs", "serviceaccounts", "roles", "rolebindings")
    ),
    "cancel": (("delete", "jobs"),),
}
"""Action → verbs and kinds; what is not here is nobody's to refuse."""


class Rights:
    """What was asked of Kubernetes, kept for seconds."""

    def __init__(self, settings: Settings, cluster: Cluster) -> None:
        self._read_only = settings.read_only
        self._cluster = cluster
        self._known: dict[tuple[str, str], tuple[float, str]] = {}

    async def refusals(self, *chosen: str) -> dict[str, str]:
        """Action → why it is not offered; empty where it is.

        What cannot be asked is not offered either.
        """
        answers = await asyncio.gather(*(answered(self.refusal(action), "") for action in chosen))
        return {
            action: answer.error or answer.value
            for action, answer in zip(chosen, answers, strict=True)
        }

    async def refusal(self, action: str) -> str:
        """Why an action may not be done; empty where it may.

        Raises:
            SourceError: There is no answer.
        """
        if self._read_only:
            return "This console only looks: it was started with --read-only."
        said = await asyncio.gather(*map(self._ask, NEEDS.get(action, ())))
        return next(filter(None, said), "")

    async def order(self, request: Request, action: str) -> dict[str, str]:
        """What a form asks for, where it may be done.

        Raises:
            HTTPException: It may not; says why.
            SourceError: There is no answer.
        """
        if why := await self.refusal(action):
            raise HTTPException(403, why)
        return {key: str(value) for key, value in (await fields(request)).items()}

    async def _ask(self, need: tuple[str, str]) -> str:
        until, why = self._known.get(need, (0.0, ""))
        if time.monotonic() > until:
            why = await self._cluster.refusal(*need)
            self._known[need] = (time.monotonic() + KEPT_SECONDS, why)
        return why
