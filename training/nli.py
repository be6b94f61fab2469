"""Train nli: whether a premise entails a hypothesis, contradicts it, or neither.

    python -m training.nli                                    # sentences made by rules, minutes
    python -m training.nli --data mnli_train.jsonl --test mnli_dev_matched.jsonl
    MODEL_NAME=google/flan-t5-small BATCH_SIZE=16 python -m training.nli --data multinli_1.0
    python -m training.nli --output /tmp/nli                  # or only look at the artifact

MODEL_NAME is fine-tuned to choose the label word in one decoder step, on a GPU where torch has one.
Where none is named, a small T5 is made of the corpus (training/entailment/small_t5.py) and first
taught by rules (rewrites.py beside it). A run that publishes keeps checkpoints in the store:
started again with the same settings after a kill, it goes on from the last and ends with the same
bytes.
"""

import argparse
import os

import numpy as np
import torch

import predictors.nli
import training.entailment.pairs
import training.entailment.t5
from predictors.nli import LABELS, NliModel
from predictors.runtime import build_manifest, golden_sample
from training import script
from training.entailment import calibration, options, rewrites, sentences, small_t5
from training.entailment.lessons import Lesson, learn
from training.entailment.pairs import Pairs
from training.export import pytorch
from training.progress import Reporter
from training.publish.artifact import Destination, code_identity, write_manifest
from training.publish.checkpoints import Checkpoints
from training.publish.gates import Arrays, require_accuracy, require_parity
from training.publish.registry import Registry

TOLERANCE = 1e-4  # of a probability; the engines add up in another order
CALIBRATION_PAIRS = 1_000  # at most, and a tenth of what there is to learn
REWRITES = 51_200
WORD_DROPOUT = 0.15  # of what people wrote: else a small model learns 9,000 pairs by heart
PARITY_PAIRS = 400
SMOKE_PAIRS, SMOKE_REWRITES, SMOKE_EPOCHS = 640, 640, 2
LIBRARIES = ("sentencepiece", "tokenizers", "transformers", *pytorch.LIBRARIES)


def main() -> None:
    """Data, model, fit, calibrate, evaluate, export, publish; raises where a gate stays closed."""
    # --- Settings -------------------------------------------------------------------------------
    args = options.read(__doc__)
    destination = Destination("nli", args.output)
    report = Reporter("nli")
    torch.use_deterministic_algorithms(mode=True)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else cuBLAS is not
    torch.manual_seed(args.seed)
    small = args.model_name == options.SMALL
    device = "cuda" if torch.cuda.is_available() and not small else "cpu"
    if small:  # too small to be worth sharing; another number rounds otherwise: another version
        torch.set_num_threads(1)

    # --- Data: to learn, to calibrate and choose the epoch with, to test --------------------------
    given, test = _data(args)
    shuffled = np.random.default_rng(args.seed).permutation(len(given))
    apart = min(CALIBRATION_PAIRS, len(given) // 10)
    calibrate, learnt = given.take(shuffled[:apart]), given.take(shuffled[apart:])
    report.say(f"{given.name}: {len(learnt)} pairs to learn, {len(calibrate)} to calibrate with")
    report.say(f"{test.name}: {len(test)} pairs to test")

    # --- Model and tokenizer ----------------------------------------------------------------------
    if small:
        words = small_t5.tokenizer(learnt.texts())
        model = small_t5.model(words, learnt.texts(), args.seed)
    else:
        model, words = training.entailment.t5.pretrained(args.model_name)
    pairs = training.entailment.t5.pair_tokenizer(words, args.max_length)
    first = training.entailment.t5.label_tokens(words)
    model.to(device)
    parameters = sum(one.numel() for one in model.parameters())
    size = f"{parameters / 1e6:.1f} million parameters"
    report.say(f"MODEL_NAME {args.model_name}: {size}, trained on {device}")

    # --- Lessons ----------------------------------------------------------------------------------
    epochs = SMOKE_EPOCHS if args.smoke else args.epochs
    ids, _ = pairs.encode(learnt.premises, learnt.hypotheses)
    lessons = [Lesson("pairs", ids, learnt.labels, epochs, args.learning_rate)]
    taught = small and args.data is not None  # what rules wrote needs no lesson by rules
    if taught:
        count = SMOKE_REWRITES if args.smoke else REWRITES
        made = rewrites.rewrites(learnt.texts(), count, args.seed)
        ids, _ = pairs.encode(made.premises, made.hypotheses)
        lessons.insert(0, Lesson("rewrites", ids, made.labels, 1, options.UNTAUGHT_RATE))
    identity = {
        "name": given.name,
        "sha256": given.sha256,
        "test_name": test.name,
        "test_sha256": test.sha256,
        "train_rows": len(learnt),
        "calibration_rows": len(calibrate),
        "test_rows": len(test),
    }
    settings = {
        "seed": args.seed,
        "smoke": args.smoke,
        "model_name": args.model_name,
        "batch_size": args.batch_size,
        "epochs": epochs,
        "learning_rate": args.learning_rate,
        "max_length": args.max_length,
        "gradient_accumulation_steps": args.gradient_accumulation_steps,
        "device": device,
        "threads": torch.get_num_threads(),
    }
    code = code_identity(
        *(
            __file__,
            predictors.nli.__file__,
            training.entailment.pairs.__file__,
            training.entailment.t5.__file__,
        ),
        *(calibration.__file__, rewrites.__file__, sentences.__file__, small_t5.__file__),
        libraries=LIBRARIES,
    )

    # --- Fit: from the last checkpoint, if this run was killed before -----------------------------
    checkpoints = None
    if args.output is None:
        checkpoints = Checkpoints(Registry(), "nli", {**identity, **settings, "code": code})
    held_out, _ = pairs.encode(calibrate.premises, calibrate.hypotheses)
    learn(
        model,
        lessons,
        batch_size=args.batch_size,
        accumulation_steps=args.gradient_accumulation_steps,
        seed=args.seed,
        loss=lambda lesson, rows: training.entailment.t5.loss(
            model,
            pairs.padded([lesson.ids[row] for row in rows]),
            lesson.labels[rows],
            first,
            word_dropout=WORD_DROPOUT if taught else 0,
            unknown=words.unk_token_id,
        ),
        held_out_loss=lambda: calibration.log_loss(
            training.entailment.t5.scores(model, pairs, held_out, first), calibrate.labels
        ),
        checkpoints=checkpoints,
        checkpoint_steps=args.checkpoint_steps,
        report=report,
    )

    # --- Calibrate and evaluate -------------------------------------------------------------------
    temperature = calibration.fit_temperature(
        training.entailment.t5.scores(model, pairs, held_out, first), calibrate.labels
    )
    ids, truncated = pairs.encode(test.premises, test.hypotheses)
    scored = training.entailment.t5.scores(model, pairs, ids, first)
    model.to("cpu")  # what is published is of no device
    probabilities = calibration.softmax(scored / temperature)
    right = probabilities.argmax(axis=1) == test.labels
    low, high = calibration.wilson_interval(int(right.sum()), len(test))
    metrics = {
        "accuracy": float(right.mean()),
        "accuracy_95": [low, high],
        "largest_class": float(np.bincount(test.labels).max() / len(test)),
        "log_loss": calibration.log_loss(scored / temperature, test.labels),
        "ece_before": calibration.expected_calibration_error(
            calibration.softmax(scored), test.labels
        ),
        "ece": calibration.expected_calibration_error(probabilities, test.labels),
        "temperature": temperature,
        "truncated": float(truncated.mean()),
        "parameters": parameters,
        **settings,
    }
    report.say(
        f"accuracy {metrics['accuracy']:.4f} (95 %: {low:.4f} to {high:.4f}; largest class "
        f"{metrics['largest_class']:.4f}) on {len(test)} pairs not trained on"
    )
    report.say(
        f"calibration error {metrics['ece_before']:.4f}, with temperature {temperature:.2f} "
        f"{metrics['ece']:.4f}"
    )
    if not args.smoke:
        require_accuracy(metrics["accuracy"], args.min_accuracy)

    def asked(rows: list[int]) -> Arrays:
        """Pairs of the test set as the predictor takes them."""
        texts = {"premise": test.premises, "hypothesis": test.hypotheses}
        return {
            name: np.array([all_of[row].encode() for row in rows], dtype=object)
            for name, all_of in texts.items()
        }

    def native(rows: list[int]) -> Arrays:
        """What the trained model answers, under the names that the predictor uses."""
        return {
            "label": np.array(
                [LABELS[label].encode() for label in probabilities[rows].argmax(axis=1)], object
            ),
            "probabilities": probabilities[rows].astype(np.float32),
            "truncated": truncated[rows],
        }

    with destination.folder() as folder:
        # --- Export: ONNX and tokenizer to serve, transformers' own form for people ---------------
        report.say("exporting to ONNX …")
        pairs.save(folder / "tokenizer.json")
        model.save_pretrained(folder / "transformers")
        words.save_pretrained(folder / "transformers")
        training.entailment.t5.export(model, first, temperature, folder / "model.onnx")
        report.say(f"model.onnx {(folder / 'model.onnx').stat().st_size / 1e6:.1f} MB")

        # --- Manifest: one pair of each label is the golden sample --------------------------------
        golden = [int(np.flatnonzero(test.labels == label)[0]) for label in range(len(LABELS))]
        manifest = build_manifest(
            folder,
            model="nli",
            engine="onnxruntime",
            inputs=NliModel.inputs,
            outputs=NliModel.outputs,
            metrics=metrics,
            data=identity,
            code=code,
            golden_sample=golden_sample(
                NliModel.inputs, NliModel.outputs, asked(golden), native(golden)
            ),
        )
        write_manifest(folder, manifest)

        # --- Parity: what will be served answers as what was trained ------------------------------
        rows = list(range(min(PARITY_PAIRS, len(test))))
        off = require_parity(NliModel, folder, asked(rows), native(rows), TOLERANCE)
        report.say(f"parity: {len(rows)} pairs judged alike, probabilities within {off:.1e}")

        # --- Publish; then nobody needs the checkpoints -------------------------------------------
        published = destination.deliver(folder)
    if checkpoints:
        checkpoints.clear()
    print(published)


def _data(args: argparse.Namespace) -> tuple[Pairs, Pairs]:
    """What there is to learn, and to test."""
    if args.data:
        given, test = training.entailment.pairs.read(args.data, args.test)
    else:
        given, test = (Pairs.of(sentences.NAME, rows) for rows in sentences.generated(args.seed))
    if args.smoke:
        return given.take(range(SMOKE_PAIRS)), test.take(range(SMOKE_PAIRS))
    return given, test


if __name__ == "__main__":
    script.run(main)
