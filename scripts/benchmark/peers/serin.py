"""Serin's predictor, started as its container starts it: metrics and request log on."""

from functools import partial
from pathlib import Path

from scripts.benchmark.peer import Peer, Place, Start
from scripts.benchmark.repository import ROOT


def serin(title: str, root: Path) -> Peer:
    """The predictors of a checkout."""
    return Peer(title, ("rest-json", "rest-binary", "grpc"), partial(_start, root))


def _start(root: Path, place: Place) -> Start:
    """`python -m predictors.<model>`, on loopback."""
    command: list[str | Path] = [
        *(place.python, "-m", f"predictors.{place.model.replace('-', '_')}"),
        *("--model_name", place.model, "--model_dir", place.artifact),
        *("--http_port", str(place.http_port), "--grpc_port", str(place.grpc_port)),
    ]
    environment = {
        "PREDICTOR_HOST": "127.0.0.1",
        "PREDICTOR_METRICS_PORT": str(place.metrics_port),
    }
    return Start(command, environment, directory=root)


PEER = serin("Serin", ROOT)
