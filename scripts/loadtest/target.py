"""Which gateway is loaded, and whether it may be."""

import ipaddress
from dataclasses import dataclass
from typing import Any

from scripts.client.errors import UsageError
from scripts.client.gateway import Gateway


@dataclass(frozen=True, slots=True)
class Target:
    """A gateway, and what is known about the platform behind it."""

    gateway: Gateway
    authority: str
    platform: dict[str, Any]
    """What `serin status --json` tells, where this checkout's platform is meant."""


def find(model: str, url: str | None, context: str | None, sure: bool) -> Target:
    """The gateway of this checkout, of a URL, or of a cluster that a kubectl context names.

    Raises:
        UsageError: it is a machine that nobody named as theirs.
        SerinError: the cluster's gateway cannot be found.
    """
    if context:
        from controlplane.cluster import address
        from controlplane.cluster.kubectl import Kubectl

        gateway = Gateway.parse(address.gateway(Kubectl(context)))
        return Target(gateway, gateway.authority(model), {})
    from scripts.client import asked

    platform = asked.platform(url, model)
    if error := asked.refused(model, platform):
        raise error
    gateway = Gateway.parse(url or platform["gateway_url"])
    if not (_loopback(gateway) or sure):
        raise UsageError(
            f"{gateway.url} is not this machine, and a load test of somebody else's is an attack: "
            "name a cluster of yours with --context, or say --yes"
        )
    return Target(gateway, gateway.authority(model), platform)


def _loopback(gateway: Gateway) -> bool:
    if gateway.local:
        return True
    try:
        return ipaddress.ip_address(gateway.host).is_loopback
    except ValueError:
        return False
