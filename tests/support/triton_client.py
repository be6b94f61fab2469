"""Asks one model with NVIDIA's tritonclient, a V2 client nobody here wrote, and prints what it got.

Run as a process of its own, `python -m tests.support.triton_client HOST:PORT MODEL`, because
tritonclient and kserve both register `inference.*` messages, which protobuf takes once.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.http

ROWS = 3
WAYS = {  # name: (tritonclient's module, options of an input, options of an output)
    "json": (tritonclient.http, {"binary_data": False}, {"binary_data": False}),
    "binary": (tritonclient.http, {"binary_data": True}, {"binary_data": True}),
    "binary in": (tritonclient.http, {"binary_data": True}, {"binary_data": False}),
    "binary out": (tritonclient.http, {"binary_data": False}, {"binary_data": True}),
    "grpc": (tritonclient.grpc, {}, {}),
    "grpc by host": (tritonclient.grpc, {}, {}),
}


def ask(address: str, model: str) -> dict[str, Any]:
    """Metadata over both protocols, and the same rows in every way there is to send them."""
    rest = tritonclient.http.InferenceServerClient(address)
    rpc = tritonclient.grpc.InferenceServerClient(address)
    authority = ("grpc.default_authority", f"{model}-models.localhost")
    by_host = tritonclient.grpc.InferenceServerClient(address, channel_args=[authority])
    clients = {way: rpc if way == "grpc" else rest for way in WAYS} | {"grpc by host": by_host}
    metadata = rest.get_model_metadata(model)
    spec = metadata["inputs"][0]  # digits may come as an image in place of it
    array = np.random.default_rng(7).random((ROWS, *spec["shape"][1:]), np.float32)
    named = [output["name"] for output in metadata["outputs"]]
    return {
        "ready": [client.is_model_ready(model) for client in (rest, rpc)],
        "server": [
            (client.is_server_live(), client.is_server_ready()) for client in (rest, rpc, by_host)
        ],
        "index": [entry["name"] for entry in rest.get_model_repository_index()],
        "metadata": {
            "rest": metadata,
            "grpc": rpc.get_model_metadata(model, as_json=True),
        },
        "config": {
            "rest": rest.get_model_config(model)["name"],
            "grpc": rpc.get_model_config(model, as_json=True)["config"]["name"],
        },
        "answers": {
            way: _answer(clients[way], module, model, (spec, array, named), options)
            for way, (module, *options) in WAYS.items()
        },
        "refusal": _refusal(
            lambda: rest.infer(model, [_input(tritonclient.http, spec, array[:, 1:])])
        ),
    }


def _answer(client: Any, module: Any, model: str, question: Any, options: Any) -> dict[str, Any]:
    spec, array, named = question
    outputs = [module.InferRequestedOutput(name, **options[1]) for name in named]
    tensor = _input(module, spec, array, **options[0])
    result = client.infer(model, [tensor], outputs=outputs, request_id="seven")
    answer = result.get_response() if module is tritonclient.http else result.get_response(True)
    arrays = {name: result.as_numpy(name) for name in named}
    return {
        "id": answer["id"],
        "outputs": {
            name: [v.decode() if isinstance(v, bytes) else v for v in array.ravel().tolist()]
            for name, array in arrays.items()
        },
    }


def _input(module: Any, spec: Any, array: np.ndarray, **options: bool) -> Any:
    tensor = module.InferInput(spec["name"], list(array.shape), spec["datatype"])
    tensor.set_data_from_numpy(np.ascontiguousarray(array), **options)
    return tensor


def _refusal(ask_wrongly: Callable[[], object]) -> str:
    from tritonclient.utils import InferenceServerException

    try:
        ask_wrongly()
    except InferenceServerException as error:
        return f"{error.status()} {error.message()}"
    return "it was accepted"


if __name__ == "__main__":
    json.dump(ask(*sys.argv[1:]), sys.stdout)
