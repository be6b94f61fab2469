"""Which gateway a verb asks: this checkout's or a named one, never another checkout's."""

from collections.abc import Mapping
from typing import Any

from controlplane.errors import NotRunning, SerinError


def platform(url: str | None, model: str) -> dict[str, Any]:
    """What runs here; empty where a gateway is named, about which nothing is known.

    Raises:
        UnknownModel: No manifest and nothing that runs here has the model.
        NotRunning: Nothing runs here.
    """
    if url:
        return {}
    from controlplane import statefolder
    from controlplane.local import client

    home = statefolder.home()
    now = client.status(home)
    if model not in (now or {}).get("models", {}):  # else reading every manifest is not needed
        client.check([model], client.applied(home))
    if now is None:
        raise NotRunning
    if "gateway_url" not in now:
        raise SerinError("Serin is starting, or stopping: nothing can be asked yet.")
    return now


def served(model: str) -> None:
    """Refuse a model that does not run here, ready or not.

    Raises:
        SerinError: It does not; or what `platform` raises.
    """
    from controlplane.local import client

    models = platform(None, model).get("models") or {}
    if model not in models:
        raise client.unserved(model, models)


def refused(model: str, now: Mapping[str, Any]) -> SerinError | None:
    """Why the platform has no answer of a model, if its own state says; None if it is ready."""
    from controlplane.local import client

    models = now.get("models") or {}
    if not now:
        return None
    if model not in models:
        return client.unserved(model, models)
    known = models[model]
    if known["state"] == "Ready" or known["replicas_ready"]:
        return None
    reason = f" ({known['reason']})" if known["reason"] else ""
    return SerinError(f"{model} is not ready: {known['state']}{reason}. See: ./serin status")


def prometheus() -> str:
    """The address of the Prometheus that runs here.

    Raises:
        NotRunning: Nothing runs here.
        SerinError: Everything but Prometheus does; says why.
    """
    from controlplane import statefolder
    from controlplane.local import client

    now = client.running(statefolder.home())
    if url := now.get("prometheus_url"):
        return str(url)
    why = now.get("prometheus_error") or "it is starting: try again."
    raise SerinError(f"No Prometheus runs here: {why} Another one is named with --prometheus.")
