"""What training nli can be told: by the environment, as the service before it was, or by flags."""

import argparse
from pathlib import Path

from training import script
from training.entailment.encoder import MINILM
from training.script import at_least, setting

RATE = 1e-3  # of an adapter, which begins by adding nothing
T5_RATE = 3e-4
DEBERTA_RATE = 2e-5
MIN_ACCURACY = 0.65  # of the model that is published as it is, on pairs of MultiNLI
MIN_ACCURACY_LEARNT = 0.40  # the largest class of MultiNLI's dev-matched is 36 %


def read(document: str | None) -> argparse.Namespace:
    """Flags, or else variables, or else defaults.

    Args:
        document: of the script, for --help.
    """
    parser = script.flags(
        "training.nli",
        document,
        min_accuracy=f"{MIN_ACCURACY}, or {MIN_ACCURACY_LEARNT} with --data",
    )
    parser.add_argument(
        "--data",
        metavar="NAME",
        help="fine-tune on these pairs (needs torch): JSON lines as MultiNLI's; a folder with its "
        "train and dev_matched files; or a data set of the Hugging Face hub, or a copy of one",
    )
    parser.add_argument(
        "--first",
        type=Path,
        metavar="FILE",
        help="more pairs, which only the first epoch learns, mixed with those of --data",
    )
    parser.add_argument(
        "--test",
        type=Path,
        metavar="FILE",
        help="JSON lines to test on (default: the held-out part of --data, or a sample of "
        "MultiNLI's dev-matched set that lies beside the adapter)",
    )
    parser.add_argument(
        "--anew",
        action="store_true",
        help=f"with --data: begin with the encoder alone, without what {MINILM} has learnt here",
    )
    parser.add_argument(
        "--checkpoint-steps",
        type=at_least(1),
        default=100,
        metavar="N",
        help="keep the state in the store every N steps; none with --output (default: %(default)s)",
    )
    setting(
        parser,
        "MODEL_NAME",
        str,
        MINILM,
        "an encoder of BERT's form, in a folder or at an s3:// URI; or a T5 or DeBERTa, which may "
        "be a hub's id too; with --data",
    )
    setting(parser, "BATCH_SIZE", at_least(1), 32, "pairs computed at once")
    setting(parser, "EPOCHS", at_least(1), 4, "times that each pair is seen")
    setting(
        parser,
        "LEARNING_RATE",
        _rate,
        None,
        "of AdamW, at its highest",
        f"{RATE} for an adapter, {T5_RATE} for a T5, {DEBERTA_RATE} for a DeBERTa",
    )
    setting(parser, "MAX_LENGTH", at_least(16), 128, "tokens read of a pair; the rest is cut")
    setting(
        parser,
        "GRADIENT_ACCUMULATION_STEPS",
        at_least(1),
        1,
        "batches that one step of the optimizer learns from",
    )
    args = parser.parse_args()
    for flag in ("first", "anew"):
        if getattr(args, flag) and not args.data:
            parser.error(f"--{flag} is for --data")
    if args.model_name != MINILM and not args.data:
        parser.error(f"MODEL_NAME {args.model_name} has to learn: name --data")
    if args.min_accuracy == -1:
        args.min_accuracy = MIN_ACCURACY_LEARNT if args.data else MIN_ACCURACY
    return args


def _rate(text: str) -> float:
    expected = "expected a number between 0 and 1"
    try:
        value = float(text)
    except ValueError as error:
        raise ValueError(expected) from error
    if not 0 < value < 1:
        raise ValueError(expected)
    return value
