"""The writer of a channel: prepare everywhere, then commit; else nothing, and why."""

import getpass
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from controlplane.channels import pods
from controlplane.channels.comparison import Comparison
from controlplane.channels.lease import Lease
from controlplane.errors import SerinError
from controlplane.kubernetes.client import ApiError, Kubernetes
from controlplane.store import channels
from controlplane.store.channels import Document
from controlplane.store.followed import Channel

_LOOK_SECONDS = 0.25
"""While replicas prepare: each look costs the store and the API what requests could have had."""
_ARMED_LOOK_SECONDS = 0.03
"""While replicas are about to switch, which is over soon."""
_LOG_LOOK_SECONDS = 1.0
_REFUSAL = 500  # characters of an Event, which may have 1,024
_BACK_PATIENCE_SECONDS = 10.0
_SETTLE_SECONDS = 30.0
"""How long after an instant every ready replica must have switched."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for."""

    version: str
    why: str
    mode: str | None
    """None: as it is, or strict."""
    keep: float | None
    """None: as it is, or 60 s."""
    patience: float
    shadow: int = 0
    """How many answers each replica compares before the commit."""


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it."""

    document: Document
    replicas: int
    seconds: float
    """From the commit to the last switch; 0 where nobody follows."""
    window: float
    """Between the first switch and the last."""


class Writer:
    """Writes one channel."""

    def __init__(
        self, api: Kubernetes, channel: Channel, tell: Callable[[str], None], by: str = ""
    ) -> None:
        self._api = api
        self.channel = channel
        self._tell = tell
        self._by = by or getpass.getuser()

    def set(self, wish: Wish) -> Done:
        """Have every replica serve a version.

        Raises:
            SerinError: A replica cannot prepare it, or not in time: nothing has changed.
        """
        with Lease(self._api, self.channel.model, self.channel.name) as lease:
            document = self.channel.read()
            if document is None:
                if wish.shadow:
                    raise SerinError(
                        f"{self.channel.uri} serves nothing yet that answers could be compared "
                        "with: set its first version without --shadow."
                    )
                return self._begin(lease, wish)
            if document["version"] == wish.version:
                raise SerinError(f"{self.channel.uri} is {wish.version} already.")
            time.sleep(max(document["activate_at"] - time.time(), 0.0))
            lease.renew()
            document = channels.proposed(
                document,
                wish.version,
                self._by,
                wish.why,
                time.time(),
                wish.patience,
                wish.shadow,
            )
            return self._swap(lease, document, wish, channels.LEAD_SECONDS)

    def back(self, why: str) -> Done:
        """Have every replica serve the version before; without a prepare where all keep it.

        Raises:
            SerinError: There is none, or it cannot be prepared.
        """
        with Lease(self._api, self.channel.model, self.channel.name) as lease:
            document = self.channel.read()
            if document is None or not document["previous"]:
                raise SerinError(
                    f"{self.channel.uri} served nothing before: there is nothing to go back to."
                )
            followers = pods.ready(pods.following(self._api, self.channel))
            reports = self.channel.reports()
            reason = channels.without_prepare(document, followers, reports, time.time())
            if not reason:
                lease.renew()
                wish = Wish(document["previous"], why, None, None, _BACK_PATIENCE_SECONDS)
                document = channels.armed(
                    channels.proposed(
                        document, wish.version, self._by, why, time.time(), wish.patience
                    ),
                    time.time(),
                )
                return self._swap(lease, document, wish, channels.BACK_SECONDS)
        self._tell(f"{reason}: it is prepared first")
        return self.set(Wish(document["previous"], why, None, None, 120.0))

    def _swap(self, lease: Lease, document: Document, wish: Wish, lead: float) -> Done:
        """Write a proposal, have every ready replica prepare it and be armed, and commit it."""
        try:
            self.channel.write_state(document)
            if not document["next"]["arm"]:
                self._tell(f"all ready replicas are prepared: {self._wait(document)}")
                if wish.shadow:
                    self._compare(lease, document)
                lease.renew()
                self._check_ours(document)
                document = channels.armed(document, time.time())
                self.channel.write_state(document)
            self._wait(document)
            lease.renew()
            self._check_ours(document)
            document = channels.committed(
                document, time.time(), mode=wish.mode, keep=wish.keep, lead=lead
            )
            self.channel.write(document)
        except BaseException as error:
            self._withdraw(lease, document, str(error) or "the writer was interrupted")
            raise
        return self._settled(document)

    def _check_ours(self, document: Document) -> None:
        now = self.channel.read()
        if now is None or now["proposed"] != document["proposed"]:
            raise SerinError("Somebody else wrote the channel: nothing was committed.")

    def _begin(self, lease: Lease, wish: Wish) -> Done:
        if committed := self.channel.history():
            raise SerinError(
                f"{self.channel.folder}/state.json is missing, and generation "
                f"{committed[0]['generation']} was committed: put its file of history/ in the "
                "place of state.json, since generations only rise."
            )
        keep = 60.0 if wish.keep is None else wish.keep
        mode = wish.mode or channels.STRICT
        document = channels.first(
            wish.version, self._by, wish.why, time.time(), mode=mode, keep=keep
        )
        lease.renew()
        self.channel.write(document)
        return Done(document, 0, 0.0, 0.0)

    def _wait(self, document: Document) -> int:
        """Wait until all ready replicas are as far as the proposal wants; how many they are."""
        until, told = _until(document), ""
        while True:
            followers = pods.ready(pods.following(self._api, self.channel))
            reports = self.channel.reports()
            missing = channels.unprepared(document, followers, reports)
            if not missing:
                return len(followers)
            refused = channels.refusals(
                document, {pod: reports[pod] for pod in followers if pod in reports}
            )
            said = "; ".join(f"{pod} {why}" for pod, why in sorted((refused or missing).items()))
            if refused:
                raise SerinError(f"Nothing was committed: {said}.")
            if time.time() > until:
                raise SerinError(f"Nothing was committed, in time not prepared: {said}.")
            counted = f"{len(followers) - len(missing)} of {len(followers)} replicas are prepared"
            if counted != told and not document["next"]["arm"]:
                self._tell(counted)
                told = counted
            time.sleep(_ARMED_LOOK_SECONDS if document["next"]["arm"] else _LOOK_SECONDS)

    def _compare(self, lease: Lease, document: Document) -> None:
        """Wait until every ready replica has compared enough answers.

        Raises:
            SerinError: They do not agree, or there were too few in time.
        """
        comparison, until = Comparison(self._api, self.channel.name, document), _until(document)
        while True:
            lease.renew()
            comparison.look(pods.ready(pods.following(self._api, self.channel)))
            if comparison.holds:
                self._tell(comparison.said)
                return
            if comparison.fails or time.time() > until:
                raise SerinError(f"Nothing was committed: {comparison.said}.")
            time.sleep(_LOG_LOOK_SECONDS)

    def _withdraw(self, lease: Lease, document: Document, why: str) -> None:
        """Take the proposal back, if that is still ours to do; else its time ends it."""
        if document["next"] is None:
            return
        with suppress(SerinError):
            lease.renew()
            self.channel.write_state(channels.withdrawn(document, why))
            self._event("ChannelWithdrawn", document, why)

    def _settled(self, document: Document) -> Done:
        """Wait until every ready replica serves it, and measure how far apart they switched."""
        number, until = document["generation"], time.time() + _SETTLE_SECONDS
        while True:
            followers = pods.ready(pods.following(self._api, self.channel))
            reports = self.channel.reports()
            there = [reports[pod] for pod in followers if pod in reports]
            behind = [
                pod
                for pod in followers
                if pod not in reports or reports[pod]["generation"] < number
            ]
            if not behind:
                break
            if time.time() > until:
                raise SerinError(
                    f"Generation {number} is committed, and {', '.join(behind)} did not switch in "
                    f"{_SETTLE_SECONDS:g} s: see ./serin channel status {self.channel.model}"
                )
            time.sleep(_LOOK_SECONDS)
        late = [one["switched_late_seconds"] for one in there if one["generation"] == number]
        self._event("ChannelCommitted", document)
        for gone in reports.keys() - {
            str(pod["metadata"]["name"]) for pod in pods.following(self._api, self.channel)
        }:
            self.channel.forget(gone)
        window = max(late) - min(late) if late else 0.0
        lead = document["activate_at"] - document["at"]
        return Done(document, len(late), lead + max(late) if late else 0.0, window)

    def _event(self, reason: str, document: Document, refusal: str = "") -> None:
        """An Event on each InferenceService of the model's name; telling must stop nothing."""
        with suppress(ApiError):
            service = self._api.get("inferenceservices", self.channel.model)
            if service is not None:
                self._api.create("events", _event(service, self.channel, reason, document, refusal))


def _until(document: Document) -> float:
    """How long to wait for replicas: a moment less than they know of the proposal."""
    return float(document["next"]["expires_at"]) - 1.0


def _event(
    service: dict[str, Any], channel: Channel, reason: str, document: Document, refusal: str
) -> dict[str, Any]:
    metadata = service["metadata"]
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    shown = document["next"] or document
    text = f"generation {shown['generation']} of {channel.name}: {shown['version']}"
    text += f". {refusal[:_REFUSAL]}" if refusal else ""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{channel.model}.{uuid.uuid4().hex[:16]}",
            "namespace": metadata["namespace"],
        },
        "involvedObject": {
            "apiVersion": service["apiVersion"],
            "kind": service["kind"],
            "name": channel.model,
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
        "type": "Warning" if refusal else "Normal",
        "reason": reason,
        "message": text,
        "source": {"component": "serin-channel"},
        "reportingComponent": "serin-channel",
        "reportingInstance": "",
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
    }
