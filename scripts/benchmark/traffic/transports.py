"""The three ways of V2 to ask the same question, and the check of each one's answer.

REST JSON, REST with the binary tensor extension both ways, and gRPC with raw contents, which is
what Triton's client sends and the cheaper of gRPC's two forms for every peer here.
"""

import http.client
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from scripts.benchmark.errors import AnswerError, NoAnswerError
from scripts.benchmark.traffic.question import Question
from scripts.client.messages import INFER, document, messages, packed, raw_request, unpacked

TIMEOUT_SECONDS = 10.0
JSON_LENGTH = "Inference-Header-Content-Length"
Outputs = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Request:
    """One POST, the same for the check and for the load."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Transport:
    """How a question becomes bytes, and how those are asked once."""

    title: str
    request: Callable[[Question], Request]
    ask: Callable[[int, Request], tuple[bytes, Outputs]]
    """Port and request to the answer, as it came and as V2's JSON writes its tensors."""
    over_grpc: bool = False


def _json_request(question: Question) -> Request:
    body = json.dumps({"inputs": [question.tensor]}, separators=(",", ":")).encode()
    return Request(_infer_path(question), {"Content-Type": "application/json"}, body)


def _binary_request(question: Question) -> Request:
    raw = packed(question.tensor)
    tensor = {key: question.tensor[key] for key in ("name", "datatype", "shape")}
    head = {
        "inputs": [{**tensor, "parameters": {"binary_data_size": len(raw)}}],
        "parameters": {"binary_data_output": True},
    }
    header = json.dumps(head, separators=(",", ":")).encode()
    headers = {"Content-Type": "application/octet-stream", JSON_LENGTH: str(len(header))}
    return Request(_infer_path(question), headers, header + raw)


def _grpc_request(question: Question) -> Request:
    # An id of ours: Serin's own grow by a byte now and then, and answers must keep their size.
    body = raw_request(question.model, [question.tensor], "0")
    headers = {"content-type": "application/grpc", "te": "trailers"}
    return Request(INFER, headers, body)


def _infer_path(question: Question) -> str:
    return f"/v2/models/{question.model}/infer"


def _ask_rest(port: int, request: Request) -> tuple[bytes, Outputs]:
    body, headers = post(port, request)
    length = int(headers.get(JSON_LENGTH) or len(body))
    try:
        answer = json.loads(body[:length])
    except ValueError as error:
        raise AnswerError(f"answered no JSON: {body[:80]!r}") from error
    raw = body[length:]
    outputs = []
    for output in answer["outputs"]:
        size = (output.get("parameters") or {}).get("binary_data_size")
        if size is not None:
            output["data"] = list(unpacked(raw[:size], output["datatype"]))
            raw = raw[size:]
        outputs.append(output)
    return body, outputs


def _ask_grpc(port: int, request: Request) -> tuple[bytes, Outputs]:
    with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.enable_http_proxy", 0)]) as channel:
        call = channel.unary_unary(request.path, None, None)  # bytes in, bytes out
        try:
            answer = call(request.body, timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            raise NoAnswerError(f"answered {' '.join(str(error).split())}") from error
    return answer, document(messages().ModelInferResponse.FromString(answer))["outputs"]


def post(port: int, request: Request) -> tuple[bytes, http.client.HTTPMessage]:
    """One REST answer, body and headers.

    Raises:
        NoAnswerError: no answer, or not a 200.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("POST", request.path, request.body, dict(request.headers))
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswerError(f"did not answer: {error}") from error
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        raise NoAnswerError(f"answered {response.status}: {body[:200].decode(errors='replace')}")
    return body, response.headers


TRANSPORTS = {
    "rest-json": Transport("REST JSON", _json_request, _ask_rest),
    "rest-binary": Transport("REST binary", _binary_request, _ask_rest),
    "grpc": Transport("gRPC", _grpc_request, _ask_grpc, over_grpc=True),
}
