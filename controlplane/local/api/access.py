"""Who may speak to the API: a throw-away certificate authority, a token, and the kubeconfig.

They are made once and kept, so that a kubeconfig stays right over restarts. The authority's own key
is never written: nobody can make a second certificate.
"""

import base64
import secrets
import ssl
from dataclasses import dataclass
from pathlib import Path

import yaml

from controlplane.statefolder import Home, write_bytes, write_text

NAMESPACE = "models"


@dataclass(frozen=True, slots=True)
class Access:
    """What the server needs to prove itself and to know its client."""

    certificate: Path
    """The server's certificate and key, one file."""
    authority: Path
    token: str


def access(home: Home) -> Access:
    """Read the certificate and token, or make them."""
    folder = home.path / "pki"
    found = Access(folder / "server.pem", folder / "ca.crt", "")
    token = folder / "token"
    if not token.exists() or not _valid(found.certificate):
        folder.mkdir(mode=0o700, exist_ok=True)
        _make(found)
        write_text(token, secrets.token_urlsafe(32), 0o600)  # last: its presence says all are there
    return Access(found.certificate, found.authority, token.read_text("utf-8").strip())


def write_kubeconfig(path: Path, port: int, own: Access) -> None:
    """Write the kubeconfig, readable for its owner only."""
    authority = base64.b64encode(own.authority.read_bytes()).decode()
    server = {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": authority}
    context = {"cluster": "serin", "user": "serin", "namespace": NAMESPACE}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "serin", "cluster": server}],
        "users": [{"name": "serin", "user": {"token": own.token}}],
        "contexts": [{"name": "serin", "context": context}],
        "current-context": "serin",
    }
    write_text(path, yaml.safe_dump(config, sort_keys=False), 0o600)


def port_of(path: Path) -> int | None:
    """The API's port that a kubeconfig names."""
    try:
        config = yaml.safe_load(path.read_text("utf-8"))
        return int(config["clusters"][0]["cluster"]["server"].rsplit(":", 1)[1])
    except (OSError, ValueError, KeyError, IndexError, TypeError, yaml.YAMLError):
        return None


def _make(own: Access) -> None:
    import trustme

    authority = trustme.CA(organization_name="Serin on this machine")
    made = authority.issue_cert("127.0.0.1", "localhost")
    parts = [made.private_key_pem.bytes(), *(one.bytes() for one in made.cert_chain_pems)]
    write_bytes(own.certificate, b"".join(parts), 0o600)
    write_bytes(own.authority, authority.cert_pem.bytes())


def _valid(certificate: Path) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate)
    except OSError:  # ssl.SSLError is one
        return False
    return True
