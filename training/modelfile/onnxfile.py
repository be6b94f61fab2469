"""ONNX files: read without trust, with the weights beside them, and freed of maps."""

from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from math import inf
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import helper

from training.modelfile.errors import PublishError
from training.modelfile.source import require_size

Labels = dict[str, tuple[str, ...]]
Call = tuple[str, str, str]  # domain, name and overload
_MAX_NODES = 1 << 18
"""Of a graph with its functions put in, as engines do: each may call another twice, and so on."""


def read(path: Path) -> onnx.ModelProto:
    """Parse an ONNX file; weights that it keeps beside it stay there.

    Raises:
        PublishError: it is none.
    """
    try:
        model: onnx.ModelProto = onnx.load_model(path, load_external_data=False)
    except (DecodeError, ValueError, RecursionError) as error:
        raise PublishError(_no_model(path)) from error
    # Protobuf reads many other bytes as a message without any field that it knows.
    if not model.graph.output or not model.ir_version or not model.opset_import:
        raise PublishError(_no_model(path))
    if _expanded(model) > _MAX_NODES:
        raise PublishError(
            f"its functions call each other so often that it has over {_MAX_NODES} nodes"
        )
    return model


def _expanded(model: onnx.ModelProto) -> float:
    """How many nodes there are once each call of a function is its nodes."""
    bodies = {
        (one.domain, one.name, one.overload): list(_called(one.node)) for one in model.functions
    }
    sizes: dict[Call, float] = {}
    try:
        for function in TopologicalSorter(bodies).static_order():
            body = bodies.get(function)
            sizes[function] = 1.0 if body is None else sum(map(sizes.__getitem__, body), 0.0)
    except CycleError:
        return inf
    return sum((sizes.get(one, 1.0) for one in _called(model.graph.node)), 0.0)


def _called(nodes: Iterable[onnx.NodeProto]) -> Iterator[Call]:
    """What nodes are, those of their graphs too."""
    for node in nodes:
        yield node.domain, node.op_type, node.overload
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from _called(graph.node)


def _no_model(path: Path) -> str:
    return (
        f"{path} is no model: it is neither ONNX nor another form that is served here (an ONNX "
        "file, a scikit-learn model saved by skops, a Hugging Face folder of a text classifier)"
    )


def weights_beside(model: onnx.ModelProto, folder: Path) -> list[str]:
    """The files with weights that a graph names, relative to its folder.

    Raises:
        PublishError: one is outside of the folder, a link, too large or missing.
    """
    names = {
        entry.value
        for tensor in _tensors(model)
        if tensor.data_location == onnx.TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    root = folder.resolve()
    for name in sorted(names):
        path = folder / name
        inside = not Path(name).is_absolute() and path.resolve().is_relative_to(root)
        if not inside or "\0" in name or path.resolve() == root:
            raise PublishError(
                f"the model keeps weights in {name!r}, which is outside of its folder: put them "
                "beside it"
            )
        if path.is_symlink() or not path.is_file():
            raise PublishError(
                f"the model keeps weights in {name!r}, and there is no such file beside it: "
                "publish the folder that has both"
            )
        require_size(path)
    return sorted(names)


def without_maps(model: onnx.ModelProto) -> Labels:
    """Answer tensors where skl2onnx answers lists of dicts: each ZipMap becomes a tensor, in place.

    Returns:
        The output of each with its keys, which name the tensor's columns.
    """
    labels: Labels = {}
    outputs = {output.name: output for output in model.graph.output}
    for node in model.graph.node:
        if node.op_type != "ZipMap" or node.output[0] not in outputs:
            continue
        keys = [helper.get_attribute_value(one) for one in node.attribute]
        names = tuple(
            key.decode() if isinstance(key, bytes) else str(key) for one in keys for key in one
        )
        name = node.output[0]
        labels[name] = names
        node.CopyFrom(helper.make_node("Identity", [node.input[0]], [name], name=node.name))
        outputs[name].CopyFrom(
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None, len(names)])
        )
    return labels


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from _of_graph(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _of_node(node)


def _of_graph(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _of_node(node)


def _of_node(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    for attribute in node.attribute:
        yield from (attribute.t, *attribute.tensors)
        sparse = (attribute.sparse_tensor, *attribute.sparse_tensors)
        yield from (tensor for one in sparse for tensor in (one.values, one.indices))
        for graph in (attribute.g, *attribute.graphs):
            yield from _of_graph(graph)
