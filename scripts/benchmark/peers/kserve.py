"""Stock KServe: its own model server with its defaults, around scikit-learn or PyTorch."""

from pathlib import Path

from scripts.benchmark.peer import SERVERS, Peer, Place, Start


def start(place: Place) -> Start:
    """servers/stock_kserve.py; kserve knows no option for the address, so it takes all of them."""
    command: list[str | Path] = [
        *(place.python, "-P", SERVERS / "stock_kserve.py"),
        *("--model_name", place.model, "--model_dir", place.artifact),
        *("--http_port", str(place.http_port), "--grpc_port", str(place.grpc_port)),
    ]
    return Start(command)


PEER = Peer("stock KServe", ("rest-json", "grpc"), start, loads=("model.joblib", "model.pt2"))
