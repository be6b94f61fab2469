"""What to type next: a request that works as it is pasted."""

import json
import urllib.request
from collections.abc import Mapping
from math import prod
from types import MappingProxyType
from typing import Any

import click

FLOWER = [5.1, 3.5, 1.4, 0.2]  # cm: the first row of Fisher's data, a setosa
TEXT = "Once upon a time"
_NOBODY: Mapping[str, str] = MappingProxyType({})
LONGEST = 16
"""Values that still read well in one line of a terminal."""


def show(
    state: Mapping[str, Any], names: list[str], credentials: Mapping[str, str] = _NOBODY
) -> None:
    """Print the table, a request to try and the addresses.

    Args:
        state: What `serin status --json` tells.
        names: Of the models.
        credentials: Headers with the API key that is in SERIN_API_KEY.
    """
    from scripts.show import table

    models = {name: state["models"][name] for name in names}
    table.show({**state, "models": models, "jobs": []})
    url = state["gateway_url"]
    named = [(name, body) for name in sorted(names) if (body := example(url, name, credentials))]
    click.echo("\nTry it:")
    key = ' -H "Authorization: Bearer $SERIN_API_KEY"' if credentials else ""
    for name, body in named[:1]:
        path = f"{url}/v2/models/{name}/infer"
        click.echo(f"  curl {path} -H 'Content-Type: application/json'{key} -d '{body}'")
    click.echo(f"gRPC: {url.removeprefix('http://')}, the model is named in each message")
    if console := state.get("console_url"):
        click.echo(f"Console: {console}")
    click.echo("Stop: ./serin down")


def example(url: str, name: str, credentials: Mapping[str, str] = _NOBODY) -> str | None:
    """A small V2 request for a model, from its metadata; None where its tensors are large."""
    try:
        asked = urllib.request.Request(f"{url}/v2/models/{name}")  # noqa: S310  ours
        for header, value in credentials.items():
            asked.add_header(header, value)
        with urllib.request.urlopen(asked, timeout=5) as answer:  # noqa: S310  ours
            inputs = json.load(answer)["inputs"]
    except (OSError, ValueError, KeyError):
        return None
    tensors = []
    for tensor in inputs:
        if (tensor.pop("parameters", None) or {}).get("optional"):
            continue
        shape = [1 if size == -1 else size for size in tensor["shape"]]
        count = prod(shape)
        if count > LONGEST or not tensor["datatype"].startswith(("FP", "INT", "UINT", "BYTES")):
            return None
        data: list[Any] = FLOWER if shape == [1, 4] else [0] * count
        if tensor["datatype"] == "BYTES":
            data = [TEXT] * count
        tensors.append({**tensor, "shape": shape, "data": data})
    return json.dumps({"inputs": tensors}) if tensors else None
