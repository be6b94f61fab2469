"""MLServer with its own scikit-learn runtime, set as fast as one core allows.

No worker process (`parallel_workers` 0: the hop costs 40 % on one core), no debug mode, no access
log. Its metrics stay on, as those of all peers.
"""

import json
from typing import Any

from scripts.benchmark.peer import Peer, Place, Start


def start(place: Place) -> Start:
    """One request, one call of the model."""
    return served(place, {})


def served(place: Place, settings: dict[str, Any]) -> Start:
    """`mlserver start`, with the model's settings in the folder that it is given."""
    model = {
        "name": place.model,
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {
            "uri": str(place.artifact / "model.joblib"),
            "extra": {"predict_fn": "predict_proba"},
        },
        **settings,
    }
    (place.folder / "model-settings.json").write_text(json.dumps(model))
    environment = {
        "MLSERVER_HOST": "127.0.0.1",
        "MLSERVER_HTTP_PORT": str(place.http_port),
        "MLSERVER_GRPC_PORT": str(place.grpc_port),
        "MLSERVER_METRICS_PORT": str(place.metrics_port),
        "MLSERVER_PARALLEL_WORKERS": "0",
        "MLSERVER_DEBUG": "false",
    }
    return Start([place.python.with_name("mlserver"), "start", place.folder], environment)


NEWEST_PYTHON = (3, 12)  # MLServer 1.7.1 declares <3.13
LOADS = ("model.joblib",)  # it has no runtime for PyTorch
PEER = Peer("MLServer", ("rest-json", "grpc"), start, newest_python=NEWEST_PYTHON, loads=LOADS)
