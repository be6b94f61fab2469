"""The OpenAPI v2 document, which kubectl reads for kinds that no document of v3 has."""

import json
from collections.abc import Iterator

from controlplane.kubernetes.kinds import KINDS
from controlplane.local.api.kubectl import protobuf, swagger


def fields(content: bytes, *numbers: int) -> Iterator[bytes]:
    """What lies at a path of field numbers."""
    if not numbers:
        yield content
        return
    for number, value in protobuf.fields(content):
        if number == numbers[0]:
            yield from fields(value, *numbers[1:])


def test_both_forms_say_the_same() -> None:
    """Each kind that can be patched takes kubectl's query parameters, in JSON and in protobuf."""
    written = json.loads(swagger.document())["paths"]
    operations = [path["patch"] for path in written.values()]
    named = [one["x-kubernetes-group-version-kind"] for one in operations]
    parameters = {one["name"] for one in operations[0]["parameters"]}
    sent = swagger.protobuf()

    assert {one["kind"] for one in named} == {kind.name for kind in KINDS if "patch" in kind.verbs}
    assert [*fields(sent, 8, 2, 1)] == [path.encode() for path in written]
    assert [json.loads(one) for one in fields(sent, 8, 2, 2, 8, 13, 2, 2)] == named
    assert {one.decode() for one in fields(sent, 8, 2, 2, 8, 8, 1, 2, 3, 4)} == parameters
    assert {"dryRun", "fieldValidation"} <= parameters
