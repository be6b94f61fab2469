"""Before a commit: both versions' answers to the same requests, held to what a rollout allows."""

from collections.abc import Iterable

from controlplane.kubernetes.client import Kubernetes
from controlplane.rollout.effects.podlogs import ShadowLogs
from controlplane.rollout.judging.judgement import ABORT, CONTINUE, HOLD, Verdict
from controlplane.rollout.judging.shadow import judge_shadow
from controlplane.rollout.plan import Plan
from controlplane.store import channels
from controlplane.store.channels import Document


class Comparison:
    """What each replica has compared for a proposal."""

    def __init__(self, api: Kubernetes, channel: str, document: Document) -> None:
        self._api = api
        self._mark = channels.mark(channel, document)
        self._since = float(document["next"]["at"])
        self._plan = Plan(steps=(100,), shadow=document["next"]["shadow"])
        self._logs: dict[str, ShadowLogs] = {}
        self._verdicts: dict[str, Verdict] = {}

    def look(self, pods: Iterable[str]) -> None:
        """Read what these replicas' logs have of it, and judge each.

        Raises:
            ApiError: A log cannot be read.
        """
        self._verdicts = {}
        for pod in pods:
            log = self._logs.setdefault(pod, ShadowLogs(self._api, self._mark, self._since))
            self._verdicts[pod] = judge_shadow(log.read(self._plan.shadow, [pod]), self._plan)

    @property
    def holds(self) -> bool:
        """Whether every replica has compared enough, and nothing is wrong."""
        decisions = {verdict.decision for verdict in self._verdicts.values()}
        return decisions == {CONTINUE}

    @property
    def fails(self) -> bool:
        """Whether one has seen enough to refuse the version."""
        return any(verdict.decision == ABORT for verdict in self._verdicts.values())

    @property
    def said(self) -> str:
        """The reasons of those that refuse; else of those that are waited for; else of all."""
        for chosen in (ABORT, HOLD, CONTINUE):
            said = [
                f"{pod}: {verdict.reason}"
                for pod, verdict in sorted(self._verdicts.items())
                if verdict.decision == chosen
            ]
            if said:
                return "; ".join(said)
        return "no replica is ready to compare answers"
