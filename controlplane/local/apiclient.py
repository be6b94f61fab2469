"""What verbs take away through the running platform's Kubernetes API."""

from controlplane import statefolder
from controlplane.kubernetes.client import Access, Kubernetes
from controlplane.local import client
from controlplane.statefolder import Home


def remove(home: Home, *names: str) -> None:
    """Delete InferenceServices and their ScaledObjects, where they are there.

    Raises:
        SerinError: The platform does not answer.
    """
    with Kubernetes(Access(home.kubeconfig)) as api:
        for name in names:
            api.delete("inferenceservices", name)
            for middle in ("", "-canary"):
                api.delete("scaledobjects", f"{name}{middle}-predictor")


def withdraw(platform: client.Platform) -> list[str]:
    """Take back the models that `up` added and that have no version yet; their names.

    Raises:
        SerinError: The platform does not answer.
    """
    models = (client.status(platform.home) or {}).get("models", {})
    names = [name for name in platform.added if models.get(name, {}).get("state") == "Unpublished"]
    if not names:
        return []
    with statefolder.exclusive(platform.home):
        desired = statefolder.read_json(platform.home.desired)
        kept = {name: model for name, model in desired["models"].items() if name not in names}
        statefolder.write_json(platform.home.desired, {**desired, "models": kept})
    remove(platform.home, *names)
    return names
