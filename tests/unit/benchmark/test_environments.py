"""The environments of the benchmark's peers: what pip is asked for."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from scripts.benchmark.errors import BenchmarkError
from scripts.benchmark.peer import peers
from scripts.benchmark.serving import environments


@pytest.mark.parametrize(
    ("torch", "files"),
    [
        ("2.13.0+cpu", ["torch-cpu.txt", "kserve.txt"]),
        ("2.13.0", ["torch-cpu.txt", "kserve.txt", "cuda.txt"]),
        ("", ["mlserver.txt"]),
    ],
    ids=["without CUDA", "with CUDA", "no torch"],
)
def test_a_peer_is_installed_by_the_hashes_of_its_files(
    torch: str, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is fetched beside them; what torch's build needs is taken as for Serin's parts."""
    asked: list[list[str]] = []

    def run(command: list[Any], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append([str(part) for part in command])
        (tmp_path / f"venv-{name}").mkdir(exist_ok=True)
        return subprocess.CompletedProcess(command, 0)

    name = "kserve" if torch else "mlserver"
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(environments, "versions", lambda _: {"torch": torch})
    monkeypatch.setattr(environments, "_interpreter", lambda _: "python3")
    environments.python_of(name, peers()[name], tmp_path)

    installs = [command for command in asked if "install" in command]
    assert [Path(command[-1]).name for command in installs] == files
    assert all({"--require-hashes", "--no-deps"} <= set(command) for command in installs)


def test_what_pip_cannot_install_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the peer and how to go on without it."""
    failed: subprocess.CompletedProcess[str] = subprocess.CompletedProcess([], 1)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    monkeypatch.setattr(environments, "_interpreter", lambda _: "python3")

    with pytest.raises(BenchmarkError, match=r"kserve could not be made.*--peers leaves it out"):
        environments.python_of("kserve", peers()["kserve"], tmp_path)
