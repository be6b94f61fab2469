"""A model's configuration as Triton gives it, for clients that read it before they ask.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_configuration.md
"""

from collections.abc import Iterable
from typing import Any

from predictors.runtime.v2.signature import Signature
from predictors.runtime.v2.spec import TensorSpec


def model_config(
    name: str, platform: str, signature: Signature, *, max_rows: int, streams: bool
) -> dict[str, Any]:
    """Describe a model.

    Args:
        name: of the model.
        platform: as the metadata has it.
        signature: its tensors; dims leave out the batch axis, as Triton's do.
        max_rows: that are computed at once; a request may have more.
        streams: whether answers come in pieces.
    """
    inputs = [
        described | {"format": "FORMAT_NONE", "optional": spec.optional}
        for spec, described in _described(signature.inputs.values(), signature)
    ]
    outputs = [described for _, described in _described(signature.outputs.values(), signature)]
    config = {
        "name": name,
        "platform": platform,
        "backend": platform,
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": max_rows if signature.batched else 0,
        "input": inputs,
        "output": outputs,
        "model_transaction_policy": {"decoupled": streams},
    }
    return config | {"dynamic_batching": {}} if signature.batched else config


def _described(
    specs: Iterable[TensorSpec], signature: Signature
) -> list[tuple[TensorSpec, dict[str, Any]]]:
    return [
        (
            spec,
            {
                "name": spec.name,
                "data_type": "TYPE_STRING" if spec.datatype == "BYTES" else f"TYPE_{spec.datatype}",
                "dims": list(spec.shape[1:] if signature.batched else spec.shape),
            },
        )
        for spec in specs
    ]
