"""The cluster that `serin rollout` speaks to, by default this laptop's, and an engine for it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from controlplane import statefolder
from controlplane.errors import SerinError, UnknownModel
from controlplane.kubernetes.client import Access, Kubernetes
from controlplane.local import client
from controlplane.local.node import s3_server
from controlplane.rollout.start import launch
from controlplane.store.catalog import Catalog


@dataclass(frozen=True, slots=True)
class Target:
    """A cluster, and where its Prometheus is."""

    access: Access
    prometheus: str
    """Empty: through the Kubernetes API."""
    pushgateway: str
    """Empty: verdicts are pushed nowhere."""
    on_laptop: bool

    @classmethod
    def of(
        cls,
        kubeconfig: Path | None,
        context: str | None,
        namespace: str | None,
        prometheus: str | None,
    ) -> Self:
        """From the options; without any, KUBECONFIG, then what runs in the state folder.

        Raises:
            SerinError: It is the state folder's, and nothing runs there.
        """
        home = statefolder.home()
        named = os.environ.get("KUBECONFIG", "")
        if kubeconfig is None and named and ":" not in named:
            kubeconfig = Path(named)
        if kubeconfig is None and not named and context is None:
            kubeconfig = home.kubeconfig
        local = kubeconfig is not None and kubeconfig.resolve() == home.kubeconfig.resolve()
        running = client.running(home) if local else None
        if prometheus is None:
            prometheus = (running or {}).get("prometheus_url", "")
        pushgateway = os.environ.get("PUSHGATEWAY_URL") or (running or {}).get("pushgateway_url")
        access = Access(kubeconfig, context, namespace)
        return cls(access, prometheus or "", pushgateway or "", local)

    def api(self) -> Kubernetes:
        """A client of its API."""
        return Kubernetes(self.access)

    def check(self, api: Kubernetes, model: str) -> None:
        """Refuse a model that the cluster does not have.

        Raises:
            UnknownModel: No InferenceService has that name.
            SerinError: One could run here, and does not.
        """
        if api.get("inferenceservices", model) is None:
            served = [str(one["metadata"]["name"]) for one in api.list("inferenceservices")]
            raise client.unserved(model, served) if self.on_laptop else UnknownModel(model, served)

    def check_prometheus(self) -> None:
        """Refuse a rollout that nothing could judge.

        Raises:
            SerinError: The laptop's Prometheus does not run; says why.
        """
        if not self.on_laptop or self.prometheus:
            return
        running = client.status(statefolder.home()) or {}
        why = running.get("prometheus_error") or "it is starting: try again"
        raise SerinError(f"A rollout is judged by what Prometheus counts, but: {why}")

    def version(self, model: str, version: str) -> str:
        """The whole name of a version; on the laptop its beginning will do.

        Raises:
            SerinError: It is not published; names those that are.
        """
        if not self.on_laptop or "://" in version:
            return version
        with s3_server.available(statefolder.home()) as store:
            return Catalog(store).find(model, version).version

    def start_engine(self, model: str) -> None:
        """Start an engine that outlives this verb; it leaves at once where another acts."""
        logs = statefolder.home().logs
        launch(model, self.access, self.prometheus, self.pushgateway, logs)
