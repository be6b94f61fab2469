"""What `serin up` says to type next."""

import pytest

from scripts.show import curl


def test_grpc_needs_nothing_but_the_address(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No authority is named: the gateway reads the model's name in each message."""
    monkeypatch.setattr(curl, "example", lambda *_: None)
    row = {
        "version": "1f2e",
        "target_version": "1f2e",
        "replicas_ready": 1,
        "replicas_wanted": 1,
        "state": "Ready",
        "reason": "",
        "hosts": (),
    }
    curl.show({"gateway_url": "http://127.0.0.1:8080", "models": {"iris": row}}, ["iris"])

    shown = capsys.readouterr().out
    assert "gRPC: 127.0.0.1:8080, the model is named in each message\n" in shown
    assert "authority" not in shown
