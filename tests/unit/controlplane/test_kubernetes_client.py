from pathlib import Path

import pytest
import yaml

from controlplane.kubernetes.client import Access, Kubernetes


@pytest.mark.parametrize(
    ("server", "proxied"),
    [
        ("https://127.0.0.1:6443", False),
        ("https://[::1]:6443", False),
        ("https://localhost:6443", False),
        ("https://cluster.example:6443", True),
    ],
)
def test_a_proxy_has_no_business_with_loopback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str, proxied: bool
) -> None:
    """The laptop's API is asked directly, whatever proxy the environment names."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    kubeconfig = tmp_path / "kubeconfig"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "it", "cluster": {"server": server}}],
        "users": [{"name": "it", "user": {"token": "secret"}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "current-context": "it",
    }
    kubeconfig.write_text(yaml.safe_dump(document))

    with Kubernetes(Access(kubeconfig)) as api:
        assert api._client.trust_env is proxied
