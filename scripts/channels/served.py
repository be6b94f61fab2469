"""What the platform's status says of models that follow a channel, by the versions behind it."""

import copy
from typing import Any

from controlplane.errors import SerinError
from controlplane.store.channels import parsed
from controlplane.store.followed import Channel
from controlplane.store.s3 import BUCKET, Store

Status = dict[str, Any]


def follow_channels(status: Status) -> bool:
    """Whether a model does."""
    models = status.get("models", {}).values()
    return any("@" in f"{model['version']}{model['target_version']}" for model in models)


def behind_channels(status: Status, store: Store) -> Status:
    """The status with the versions that channels stand for, and their generations.

    What cannot be read stays as the channel's name, and the reason is the model's.
    """
    shown = copy.deepcopy(status)
    for model in shown.get("models", {}).values():
        addresses = {
            one: address
            for one in (model["version"], model["target_version"])
            if (address := parsed(f"s3://{BUCKET}/{one}")) is not None
        }
        for told, (bucket, name, channel) in addresses.items():
            try:
                _replace(model, told, Channel(store, name, channel, bucket))
            except SerinError as error:
                model["reason"] = model["reason"] or str(error)
    return shown


def _replace(model: Status, told: str, channel: Channel) -> None:
    document = channel.read()
    if document is None:
        return
    reports = channel.reports()
    model["channel"] = {"name": channel.name, "generation": document["generation"]}
    for field in ("version", "target_version"):
        if model[field] == told:
            model[field] = document["version"]
    for pod in model["pods"]:
        if pod["version"] == told:
            pod["version"] = reports.get(pod["name"], document)["version"]
