"""Triton's generate extension: flat JSON in and out in place of tensors.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_generate.md;
`done` is of the Open Inference Protocol's generate_rest.yaml.
"""

from typing import Any

from predictors.runtime.v2.body.decode import document_of, request_id
from predictors.runtime.v2.body.encode import json_data
from predictors.runtime.v2.body.json_data import kind_of
from predictors.runtime.v2.body.parameters import one_row
from predictors.runtime.v2.errors import InvalidRequest
from predictors.runtime.v2.signature import Arrays, Outputs, Request, Signature


def decode_generate(body: bytes, signature: Signature, *, streamed: bool) -> Request:
    """Read one row: inputs by name, at the top or under `parameters`.

    Args:
        body: the request's, decompressed.
        signature: what the model declares.
        streamed: whether the path says so; a field `stream` must agree.

    Raises:
        InvalidRequest: naming the field, what was expected and what came.
    """
    document = document_of(body)
    identity = request_id(document.pop("id", None))
    parameters = document.pop("parameters", None)
    if parameters is None:
        parameters = {}
    if not isinstance(parameters, dict):
        raise InvalidRequest(f"'parameters' must be an object, got {kind_of(parameters)}")
    arrays: Arrays = {}
    for fields in (document, parameters):
        if fields.pop("stream", streamed) != streamed:
            expected = "true" if streamed else "false"
            other = "generate" if streamed else "generate_stream"
            raise InvalidRequest(f"'stream' must be {expected} here; the other is at …/{other}")
        for name, value in fields.items():
            if value is None and name in signature.inputs:
                continue  # clients that are built of optional fields send nulls
            spec = signature.inputs.get(name)
            if spec is None:
                known = ", ".join((*signature.inputs, "id", "parameters", "stream"))
                raise InvalidRequest(f"unknown field {name!r:.80}: expected {known}")
            if name in arrays:
                raise InvalidRequest(f"'{name}' is given twice")
            arrays[name] = one_row(spec, value)
    return Request(identity, arrays, signature.rows_of(arrays), signature.answered(arrays))


def encode_generate(request: Request, outputs: Outputs, name: str, version: str) -> dict[str, Any]:
    """The answer, or a piece of it, as a flat object; the caller may add to it."""
    fields: dict[str, Any] = {"model_name": name, "model_version": version, "id": request.id}
    for spec, _ in request.wanted:
        values = json_data(spec, outputs[spec.name])
        fields[spec.name] = values[0] if len(spec.shape) == 1 else values
    return fields
