"""ModelConfig, Triton's method for a model's configuration.

kserve's protobuf module has no such messages. What of Triton's there is anything to say in is
described here, in a pool of its own: tritonclient registers the same names.
"""

from typing import Any

from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto

_PACKAGE = "inference"
_TEXT, _INT32, _UINT32, _INT64, _BOOL = (
    f"TYPE_{name}" for name in ("STRING", "INT32", "UINT32", "INT64", "BOOL")
)
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {  # numbered as in Triton's model_config.proto
    "ModelConfigRequest": {"name": (1, _TEXT), "version": (2, _TEXT)},
    "ModelConfigResponse": {"config": (1, "ModelConfig")},
    "ModelConfig": {
        "name": (1, _TEXT),
        "platform": (2, _TEXT),
        "version_policy": (3, "ModelVersionPolicy"),
        "max_batch_size": (4, _INT32),
        "input": (5, "*ModelInput"),
        "output": (6, "*ModelOutput"),
        "dynamic_batching": (11, "ModelDynamicBatching"),
        "backend": (17, _TEXT),
        "model_transaction_policy": (19, "ModelTransactionPolicy"),
    },
    "ModelVersionPolicy": {"latest": (1, "LatestVersions")},
    "LatestVersions": {"num_versions": (1, _UINT32)},
    "ModelDynamicBatching": {},
    "ModelTransactionPolicy": {"decoupled": (1, _BOOL)},
    "ModelInput": {
        "name": (1, _TEXT),
        "data_type": (2, "DataType"),
        "format": (3, "TensorFormat"),
        "dims": (4, f"*{_INT64}"),
        "optional": (8, _BOOL),
    },
    "ModelOutput": {
        "name": (1, _TEXT),
        "data_type": (2, "DataType"),
        "dims": (3, f"*{_INT64}"),
    },
}
_DATATYPES = (
    *("INVALID", "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
    *("FP16", "FP32", "FP64", "STRING", "BF16"),
)
_ENUMS = {"DataType": [f"TYPE_{name}" for name in _DATATYPES], "TensorFormat": ["FORMAT_NONE"]}


def _file() -> dict[str, Any]:
    return {
        "name": "model_config.proto",
        "package": _PACKAGE,
        "syntax": "proto3",
        "messageType": [
            {"name": name, "field": [_field(key, *field) for key, field in fields.items()]}
            for name, fields in _MESSAGES.items()
        ],
        "enumType": [
            {
                "name": name,
                "value": [{"name": value, "number": at} for at, value in enumerate(values)],
            }
            for name, values in _ENUMS.items()
        ],
    }


def _field(name: str, number: int, kind: str) -> dict[str, Any]:
    label = "LABEL_REPEATED" if kind.startswith("*") else "LABEL_OPTIONAL"
    kind = kind.removeprefix("*")
    described = {"name": name, "number": number, "label": label}
    if kind.startswith("TYPE_"):
        return described | {"type": kind}
    base = "TYPE_ENUM" if kind in _ENUMS else "TYPE_MESSAGE"
    return described | {"type": base, "typeName": f".{_PACKAGE}.{kind}"}


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(json_format.ParseDict(_file(), FileDescriptorProto()))
DESCRIPTORS = {name: _POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}") for name in _MESSAGES}

ModelConfigRequest: Any = message_factory.GetMessageClass(DESCRIPTORS["ModelConfigRequest"])
ModelConfigResponse: Any = message_factory.GetMessageClass(DESCRIPTORS["ModelConfigResponse"])


def as_message(config: dict[str, Any]) -> Any:
    """The configuration that REST gives, as a response."""
    return json_format.ParseDict({"config": config}, ModelConfigResponse())
