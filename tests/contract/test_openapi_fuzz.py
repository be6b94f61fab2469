"""schemathesis, which nobody here wrote, on docs/api/openapi.yaml and a running predictor."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.documents import ROOT
from tests.support.predictor import Predictor

API = ROOT / "docs" / "api" / "openapi.yaml"
EXAMPLES = 50
"""Of each operation, beside the cases that schemathesis makes of every limit in the file."""
NOT_CHECKED = (
    # The file knows no model's tensors: what fits it may name none that the model has.
    "positive_data_acceptance",
    # 503 and 504 are in the file: a deadline of 0 ms has passed. tests/support has a check of 500.
    "not_a_server_error",
)


@pytest.mark.timeout(300)
def test_schemathesis_finds_nothing(predictor: Predictor, tmp_path: Path) -> None:
    """Requests that fit the file and requests that break it get answers that are in the file."""
    document = yaml.safe_load(API.read_text("utf-8"))
    document["components"]["parameters"]["Model"]["schema"] = {"enum": [predictor.model]}
    document["components"]["parameters"]["Model"]["example"] = predictor.model
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document), "utf-8")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", str(file)),
            f"--url=http://127.0.0.1:{predictor.http_port}",
            *("--generation-deterministic", f"--max-examples={EXAMPLES}", "--no-color"),
            *("--phases=examples,coverage,fuzzing", "--request-timeout=60", "--checks=all"),
            f"--exclude-checks={','.join(NOT_CHECKED)}",
        ],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "tests.support.openapi_hooks",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Tested: 10" in done.stdout, done.stdout
