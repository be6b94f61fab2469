"""What was just asked, for a terminal: curl, Python, kubectl."""

import json
import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from controlplane.console.sources.gateway import Address, Gateway

LONGEST = 1500
"""Characters of a request's JSON that still can be pasted."""
Lines = list[tuple[str, str]]


def asked(gateway: Gateway, address: Address, body: Mapping[str, Any]) -> Lines:
    """The same request, tool by tool."""
    url = f"{gateway.base(address)}{address.path}/infer"
    host = "" if not gateway.url or _finds_by_path(gateway.url) else address.host
    text = json.dumps(body, ensure_ascii=False)
    if len(text) > LONGEST:
        names = [tensor["name"] for tensor in body["inputs"]]
        part = f"{names[0]}=@picture.png"
        curl = f"curl -s {_header('Host', host)}{shlex.quote(url)} -F {shlex.quote(part)}"
        python = (
            "import requests\n"
            f"picture = open('picture.png', 'rb')\n"
            f"print(requests.post({url!r}, files={{{names[0]!r}: picture}}"
            f"{_python_headers(host)}).json())"
        )
    else:
        kind = _header("Content-Type", "application/json")
        curl = f"curl -s {_header('Host', host)}{shlex.quote(url)} {kind}-d {shlex.quote(text)}"
        python = (
            "import requests\n"
            f"body = {body!r}\n"
            f"print(requests.post({url!r}, json=body{_python_headers(host)}).json())"
        )
    return [("curl", curl), ("Python", python), ("kubectl", looked_at(address.model))]


def looked_at(model: str) -> str:
    """What kubectl shows of a model."""
    name = shlex.quote(model)
    selector = shlex.quote(f"serving.kserve.io/inferenceservice={model}")
    return f"kubectl get isvc {name} -o wide && kubectl get pods -l {selector}"


def _finds_by_path(gateway: str) -> bool:
    """Whether the gateway is a laptop's, which needs no Host header."""
    return (urlsplit(gateway).hostname or "") in {"127.0.0.1", "localhost", "::1"}


def _header(name: str, value: str) -> str:
    return f"-H {shlex.quote(f'{name}: {value}')} " if value else ""


def _python_headers(host: str) -> str:
    return f", headers={{'Host': {host!r}}}" if host else ""
