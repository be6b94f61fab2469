"""The API as files, for clients that generate code: held to what is served."""

from pathlib import Path

from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorSet
from grpc_tools import protoc

from predictors.runtime.grpc.model_config import DESCRIPTORS
from predictors.runtime.lean_kserve import pb
from tests.support.documents import ROOT

PROTO = ROOT / "docs" / "api" / "inference.proto"
NOT_OFFERED = {"RepositoryModelLoad", "RepositoryModelUnload"}


def described(path: Path, folder: Path) -> FileDescriptorSet:
    """The file as protoc reads it."""
    out = folder / "descriptors"
    code = protoc.main(
        ["protoc", f"-I{path.parent}", f"--descriptor_set_out={out}", str(path)],
    )
    assert code == 0
    return FileDescriptorSet.FromString(out.read_bytes())


def fields(message: DescriptorProto) -> list[tuple[str, int, int, int, str]]:
    """Everything that is on the wire of a message."""
    return sorted(
        (field.name, field.number, field.type, field.label, field.type_name)
        for field in message.field
    )


def as_proto(message: Descriptor) -> DescriptorProto:
    """A served message's description."""
    proto = DescriptorProto()
    message.CopyToProto(proto)
    return proto


def test_the_proto_file_has_the_messages_that_are_served(tmp_path: Path) -> None:
    """Every field of every message, nested ones too, by name, number and type."""
    (file,) = described(PROTO, tmp_path).file
    written = {message.name: message for message in file.message_type}
    served = {
        name: as_proto(message)
        for name, message in {**pb.DESCRIPTOR.message_types_by_name, **DESCRIPTORS}.items()
        if not name.startswith(tuple(NOT_OFFERED))
    }

    assert set(written) == set(served) | {"ModelStreamInferResponse"}
    for name, message in served.items():
        assert fields(written[name]) == fields(message), name
        nested = {one.name: fields(one) for one in message.nested_type}
        assert {one.name: fields(one) for one in written[name].nested_type} == nested, name


def test_the_proto_file_has_the_methods_that_are_served(tmp_path: Path) -> None:
    """V2's methods but for load and unload, and Triton's configuration and stream."""
    (file,) = described(PROTO, tmp_path).file
    (service,) = file.service
    (served,) = pb.DESCRIPTOR.services_by_name.values()

    assert f"{file.package}.{service.name}" == served.full_name
    assert {method.name for method in service.method} == {
        *(method.name for method in served.methods if method.name not in NOT_OFFERED),
        "ModelConfig",
        "ModelStreamInfer",
    }
