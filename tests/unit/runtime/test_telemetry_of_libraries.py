"""What libraries would send to their makers is switched off before they are loaded."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("package", ["predictors", "training"])
def test_onnx_runtime_keeps_no_telemetry(package: str, tmp_path: Path) -> None:
    """It writes neither a device id nor events that wait to be sent."""
    found = {**os.environ, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    silent = ("CI", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")  # each of them would hide it
    environment = {name: value for name, value in found.items() if name not in silent}
    subprocess.run(
        [sys.executable, "-c", f"import {package}, onnxruntime"],
        env=environment | {"PYTHONDONTWRITEBYTECODE": "1"},
        cwd=Path(__file__).parents[3],
        check=True,
    )

    assert list(tmp_path.iterdir()) == []
