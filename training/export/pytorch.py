"""PyTorch to ONNX, repeatable: the same network gives the same bytes, wherever it was made."""

import logging
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch

from training.export import scikit

LIBRARIES = ("onnxscript", "torch")
"""What can change the bytes of a model beside what training/publish/artifact.py lists."""
# It says at each export that torchvision, which nothing here uses, is not installed.
logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
_OPSET = 18  # of ONNX 1.13: any ONNX Runtime since 1.14 reads it


def save(
    network: torch.nn.Module, sample: torch.Tensor, given: str, answered: str, folder: Path
) -> None:
    """Write a network twice: model.onnx to serve, model.pt2 (torch.export) for people.

    Args:
        network: from one tensor to one tensor, the batch first in both; in eval mode.
        sample: a batch of two rows or more.
        given: the input's name in the graph, a valid identifier.
        answered: the output's.
        folder: gets both files.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch copies a class that it deprecates
        batch = torch.export.Dim("batch")
        shapes = ({0: batch},)
        program = torch.export.export(network, (sample,), dynamic_shapes=shapes, strict=False)
        made = torch.onnx.export(
            program,
            input_names=[given],
            output_names=[answered],
            opset_version=_OPSET,
            dynamo=True,
            verbose=False,
        )
        assert made is not None  # noqa: S101 - None is what the exporter of old gave
        scikit.save(without_traces(made.model_proto), folder / "model.onnx")
        for node in program.graph.nodes:  # notes as in the ONNX: addresses and paths
            for note in ("from_node", "nn_module_stack", "source_fn_stack", "stack_trace"):
                node.meta.pop(note, None)
        torch.export.save(program, folder / "model.pt2")


def without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the exporter's notes, which hold source lines and paths of this machine."""
    graph = model.graph
    tensors = (*graph.input, *graph.output, *graph.initializer, *graph.value_info)
    holders: tuple[Any, ...] = (model, graph, *graph.node, *tensors)
    for holder in holders:
        del holder.metadata_props[:]
        holder.doc_string = ""
    return model
