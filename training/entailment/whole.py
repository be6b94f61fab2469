"""Models of transformers that learn as a whole, a T5 or a DeBERTa: found, and exported to ONNX."""

import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    T5ForConditionalGeneration,
)
from transformers.utils.logging import disable_progress_bar

from training.entailment.encoder import available
from training.errors import DataError
from training.export.pytorch import without_traces
from training.export.scikit import save

DEBERTAS = ("deberta-v2", "deberta")  # DeBERTa-v3 is of the first
OPSET = 18  # ONNX 1.13: any ONNX Runtime since 1.14 reads it
# It says at each export which of a DeBERTa's layers it leaves as they are.
logging.getLogger("onnxscript.optimizer._constant_folding").setLevel(logging.ERROR)
disable_progress_bar()  # type: ignore[no-untyped-call]  # of files written in no time


def pretrained(name: str) -> tuple[Any, Any]:
    """A model and its tokenizer.

    Args:
        name: of the Hugging Face hub, such as google/flan-t5-small; a local folder; or s3:// and
            where the store of SERIN_S3_ENDPOINT keeps such a folder.

    Raises:
        DataError: it is not there, or of another form.
        RegistryError: the store cannot be asked.
    """
    with available(name) as source:
        try:
            kind = AutoConfig.from_pretrained(source).model_type
            if kind not in ("t5", *DEBERTAS):
                raise DataError(
                    f"MODEL_NAME {name} is a {kind}: expected a t5, a deberta-v2 or a deberta; or "
                    "a bert in a folder or at an s3:// URI"
                )
            form = (
                T5ForConditionalGeneration if kind == "t5" else AutoModelForSequenceClassification
            )
            model = form.from_pretrained(source, dtype=torch.float32)
            return model, AutoTokenizer.from_pretrained(source)
        except (OSError, ValueError) as error:  # what transformers raises where nothing is
            reason = " ".join(str(error).split())[:200]
            raise DataError(
                f"MODEL_NAME {name} cannot be loaded; where no hub is reached, name a local folder "
                f"or an s3:// URI: {reason}"
            ) from error


def export(served: torch.nn.Module, given: tuple[str, ...], path: Path) -> None:
    """Write the ONNX file that is served; the same model gives the same bytes.

    Args:
        served: tokens to probabilities.
        given: what it takes: input_ids, and token_type_ids where it tells texts apart by them.
        path: of the file.
    """
    examples = (torch.ones((3, 11), dtype=torch.int64), torch.zeros((3, 11), dtype=torch.int64))
    any_size = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch about itself
        program = torch.onnx.export(
            served.train(mode=False),
            examples[: len(given)],
            dynamo=True,
            input_names=given,
            output_names=["probabilities"],
            dynamic_shapes=(any_size,) * len(given),
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None  # noqa: S101 - it is where dynamo=True
    save(without_traces(program.model_proto), path)
