"""A rollout's latest verdict as metrics, for dashboards.

An engine runs wherever somebody started it, for minutes, so nothing can scrape it. Where
PUSHGATEWAY_URL names a Prometheus Pushgateway, as it does for trainings, each look is pushed there:

    rollout_verdict{decision="continue|hold|abort"}     1 for what it says now, 0 for the others
    rollout_evidence{guard="errors|latency|…"}          the guard's e-value
    rollout_evidence_alarm                              from where on it aborts

under job="rollout" with the labels namespace and inferenceservice. Verdicts of an engine that was
killed, or is done, stay there: push_time_seconds says how old they are.
"""

import logging
import time

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import push_to_gateway

from controlplane.rollout.judging.judgement import ABORT, CONTINUE, HOLD
from controlplane.rollout.plan import threshold
from controlplane.rollout.steps.state import State

_AGAIN_SECONDS = 30.0
"""After a push that failed: a rollout does not wait for a gateway that is slow to refuse."""
_PUSH_SECONDS = 2.0
_LOG = logging.getLogger("serin.rollout")


class Pushgateway:
    """Where the verdicts of one model's rollouts are pushed to; nowhere without an address."""

    def __init__(self, url: str, namespace: str, model: str) -> None:
        self._url = url
        self._labels = {"namespace": namespace, "inferenceservice": model}
        self._not_before = 0.0

    def push(self, state: State) -> None:
        """Replace what was pushed before; a gateway that fails is told of, and costs no more."""
        if not self._url or time.monotonic() < self._not_before:
            return
        try:
            push_to_gateway(
                self._url, "rollout", registry(state), self._labels, timeout=_PUSH_SECONDS
            )
        except (OSError, ValueError) as error:
            self._not_before = time.monotonic() + _AGAIN_SECONDS
            _LOG.warning("PUSHGATEWAY_URL %s takes no metrics, going on: %s", self._url, error)


def registry(state: State) -> CollectorRegistry:
    """The metrics of a state; none of a verdict where there is none yet."""
    found = CollectorRegistry()
    alarm = Gauge("rollout_evidence_alarm", "Evidence from which on it aborts.", registry=found)
    alarm.set(threshold(state.plan))
    if state.verdict:
        verdict = Gauge("rollout_verdict", "1 for the latest.", ["decision"], registry=found)
        for decision in (CONTINUE, HOLD, ABORT):
            verdict.labels(decision).set(decision == state.verdict["decision"])
        evidence = Gauge("rollout_evidence", "A guard's e-value.", ["guard"], registry=found)
        for guard in state.verdict["guards"]:
            evidence.labels(guard["name"]).set(guard["evidence"])
    return found
