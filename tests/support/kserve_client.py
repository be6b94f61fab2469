"""Asks one model with kserve's own REST and gRPC clients, and prints what it got.

Run as a process of its own, `python -m tests.support.kserve_client HOST:PORT MODEL INPUT COLUMNS`:
importing kserve registers messages, and takes seconds.
"""

import asyncio
import json
import sys
from typing import Any

import kserve as module

kserve: Any = module  # whose package exports nothing by name


async def ask(address: str, model: str, name: str, columns: int) -> dict[str, Any]:
    """Health of server and model, and one row, over both protocols."""
    base = f"http://{address}"
    rest = kserve.InferenceRESTClient(kserve.RESTConfig(protocol="v2"))
    rpc = kserve.InferenceGRPCClient(url=address)
    row = kserve.InferInput(name, [1, columns], "FP32", [0.5] * columns)
    request = kserve.InferRequest(model, [row])
    answers: list[Any] = [
        await rest.infer(base, request, model_name=model),
        await rpc.infer(request),
    ]
    return {
        "rest": [
            await rest.is_server_live(base),
            await rest.is_server_ready(base),
            await rest.is_model_ready(base, model),
        ],
        "grpc": [
            await rpc.is_server_live(),
            await rpc.is_server_ready(),
            await rpc.is_model_ready(model),
        ],
        "outputs": [
            {output.name: output.as_numpy().ravel().tolist() for output in answer.outputs}
            for answer in answers
        ],
    }


if __name__ == "__main__":
    address, model, name, columns = sys.argv[1:]
    json.dump(asyncio.run(ask(address, model, name, int(columns))), sys.stdout, default=str)
