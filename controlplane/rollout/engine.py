"""The loop that carries a rollout out: look, judge, decide, act, write down; every two seconds."""

import contextlib
import functools
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from controlplane.kubernetes.client import ApiError, Conflict, Kubernetes
from controlplane.prometheus import Prometheus, PrometheusError
from controlplane.rollout.effects.cluster import Cluster
from controlplane.rollout.effects.metrics import Pushgateway
from controlplane.rollout.effects.podlogs import ShadowLogs
from controlplane.rollout.effects.record import Record, Records
from controlplane.rollout.judging.evidence import collect
from controlplane.rollout.judging.judgement import HOLD, Verdict, judge
from controlplane.rollout.judging.shadow import judge_shadow
from controlplane.rollout.steps.acts import Next
from controlplane.rollout.steps.machine import command, decide
from controlplane.rollout.steps.mirror import mark
from controlplane.rollout.steps.seen import Seen, deployment_name
from controlplane.rollout.steps.state import JUDGED, Phase, State

LOOK_SECONDS = 2.0
PATIENCE_SECONDS = 60.0
"""How long the API may fail before the engine ends; the rollout stays as it is."""
_LOG = logging.getLogger("serin.rollout")


class Engine:
    """Acts on one model's rollout while it holds the lease."""

    def __init__(
        self,
        api: Kubernetes,
        model: str,
        prometheus: Prometheus,
        me: str,
        wait: Callable[[float], None] = time.sleep,
        pushgateway: str = "",
    ) -> None:
        self.cluster = Cluster(api, model)
        self.records = Records(api, model)
        self.me = me
        self._model = model
        self._prometheus = prometheus
        self._metrics = Pushgateway(pushgateway, api.namespace, model)
        self._wait = wait
        self._said = ""
        self._logs: ShadowLogs | None = None

    def run(self) -> State | None:
        """Go on until the rollout is over; None where another engine acts, or there is nothing.

        Raises:
            ApiError: The API failed for a minute. Another engine can go on at any time.
        """
        record = self.records.acquire(self.me, self._wait)
        if record is None or record.state is None:
            return None
        answered = time.monotonic()
        while not _is_over(record):
            try:
                found = self.tick()
            except Conflict:
                self._wait(LOOK_SECONDS / 10)  # somebody wrote between a look and a write
            except ApiError as error:
                if time.monotonic() - answered > PATIENCE_SECONDS:
                    raise
                self._say(str(error))
                self._wait(LOOK_SECONDS)
            else:
                answered = time.monotonic()
                if found is None:
                    _LOG.warning("another engine took over")
                    return None
                moved, record = _moved(record, found), found
                if not moved:
                    self._wait(LOOK_SECONDS)
        return record.state

    def tick(self) -> Record | None:
        """One look and what follows from it; None where the lease is another's."""
        record = self.records.read()
        if record is None or record.state is None or record.holder != self.me:
            return None
        state, now = record.state, time.time()
        if record.command:
            by = str(record.command["by"])
            found = command(state, str(record.command["do"]), by, now)
            return self._write(record, found, heard=True)
        seen = self.cluster.look()
        verdict = self._verdict(state, seen, now)
        found = decide(state, seen, verdict, now)
        if found.act is not None and seen is not None:
            _LOG.info("%s: %s", state.phase, found.act)
            self.cluster.do(found.act, seen)
        if found.state.phase in JUDGED and found.state.verdict:
            text = f"{state.percent} %: {found.state.verdict['reason']}"
            if text in {note.text for note in found.notes}:
                self._said = text  # as a note, soon
            self._say(text)
        return self._write(record, found, heard=False)

    def _write(self, record: Record, found: Next, *, heard: bool) -> Record:
        over = found.state.is_over
        written = self.records.save(record, self.me, found.state, heard=heard, over=over)
        if record.state and found.state.phase is not record.state.phase:
            self._say(f"{found.state.phase} {found.state.percent} %")
        for note in found.notes:
            _LOG.log(logging.WARNING if note.warning else logging.INFO, note.text)
            with contextlib.suppress(ApiError):  # an Event is for people; the state is written
                self.cluster.tell(note)
        self._metrics.push(found.state)
        # What was written is what counts, even where the answer shows a later command.
        return replace(written, state=found.state)

    def _verdict(self, state: State, seen: Seen | None, now: float) -> Verdict | None:
        if state.phase is Phase.JUDGING:
            return self._judge(state, now)
        if state.phase is Phase.SHADOWING and seen and seen.mirror and seen.mirror.copies:
            return self._compare(state)
        return None

    def _compare(self, state: State) -> Verdict:
        marked = mark(state.id, state.canary)
        if self._logs is None or self._logs.mark != marked:
            self._logs = ShadowLogs(self.records.api, marked, state.since)
        try:
            found = self._logs.read(state.plan.shadow, self._shadowed())
            return judge_shadow(found, state.plan)
        except ApiError as error:
            return Verdict(HOLD, str(error))

    def _shadowed(self) -> Iterator[str]:
        """Stable last: most have its answer by then, and fewer wait for the next look."""
        for canary in (True, False):
            app = deployment_name(self._model, canary=canary)
            for pod in self.records.api.list("pods", labels=f"app=isvc.{app}"):
                if (pod.get("status") or {}).get("phase") == "Running":
                    yield pod["metadata"]["name"]

    def _judge(self, state: State, now: float) -> Verdict | None:
        seconds = now - state.since
        if seconds < 1:
            return None
        try:
            namespace = self.records.api.namespace
            ask = functools.partial(self._prometheus.ask, at=self._prometheus.now())
            evidence = collect(ask, namespace, self._model, seconds)
        except PrometheusError as error:
            return Verdict(HOLD, str(error))
        return judge(evidence, state.plan, state.percent, seconds)

    def _say(self, text: str) -> None:
        if text != self._said:
            self._said = text
            _LOG.info("%s", text)


def _moved(before: Record, now: Record) -> bool:
    return before.state is None or now.state is None or before.state.phase is not now.state.phase


def _is_over(record: Record) -> bool:
    return record.state is None or record.state.is_over
