"""What importing the runtime brings along, and what it leaves as it was."""

import subprocess
import sys

PROBE = """
import sys
sys.argv.append("--http_port=notanumber")
import predictors.runtime
from predictors.runtime.lean_kserve import Model
heavy = {"pandas", "kubernetes", "sklearn", "torch", "transformers", "obstore",
    "opentelemetry.sdk", "fastapi", "starlette", "httpx", "grpc", "cloudevents"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
assert sys.argv[1:] == ["--http_port=notanumber"], sys.argv
import kserve, kserve.model
assert kserve.Model is kserve.model.Model is Model
assert issubclass(predictors.runtime.V2Model, kserve.Model)
import fastapi, kserve.inference_client, kserve.protocol.rest.server
assert issubclass(kserve.inference_client.httpx.AsyncClient, object)
assert kserve.protocol.rest.server.fastapi.FastAPI is fastapi.FastAPI
"""


def test_runtime_imports_no_heavy_package_and_is_kserves_own_model() -> None:
    """No other server or client, no training library; flags untouched; the real base class."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=30, check=False
    )

    assert done.returncode == 0, done.stderr
