"""What all training scripts share as programs: the common flags, exit codes, clean endings."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from predictors.runtime import ArtifactError
from training.errors import DataError
from training.job import Teller
from training.publish.artifact import OutputError
from training.publish.gates import GateError
from training.publish.registry import RegistryError, SettingsError
from training.run import Run, current

FAILED, MISUSED = 1, 2
LAST_WORD_SECONDS = 5.0
"""For the Job's annotations, once the training is over."""
_STATES: Mapping[object, str] = {
    0: "Complete",
    128 + signal.SIGINT: "Stopped",
    128 + signal.SIGTERM: "Stopped",
}


def flags(module: str, document: str | None, min_accuracy: str | None) -> argparse.ArgumentParser:
    """A parser with the flags of every training script.

    Args:
        module: as started with `python -m`.
        document: the module's docstring; its first line describes the script.
        min_accuracy: what holds without --min-accuracy (-1); None leaves the flag out.
    """
    parser = argparse.ArgumentParser(
        # What a person types; a Job's pod starts `python -m`, and nobody reads its usage.
        prog=f"serin train {module.rpartition('.')[2].replace('_', '-')}",
        description=(document or "").partition("\n")[0],
        epilog="Without --output, publishes to the S3 store of SERIN_S3_ENDPOINT (AWS_ACCESS_KEY_ID"
        ", AWS_SECRET_ACCESS_KEY, AWS_REGION). The last line of stdout is the version's URI.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of every random choice (default: %(default)s)"
    )
    if min_accuracy is not None:
        parser.add_argument(
            "--min-accuracy",
            type=_share,
            default=-1.0,
            metavar="SHARE",
            help=f"refuse to publish below it, 0 … 1 (default: {min_accuracy})",
        )
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="a few steps on little data, accuracy gate off: proves the pipeline, not the model; "
        "the manifest's metrics say so",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="write the artifact there and publish nothing; replaces an artifact, nothing else",
    )
    return parser


def setting(
    parser: argparse.ArgumentParser,
    name: str,
    read: Callable[[str], Any],
    default: Any,
    help_text: str,
    otherwise: str = "",
) -> None:
    """Add a setting that a Job gives as an environment variable and a person as a flag.

    Args:
        parser: of `flags`.
        name: the variable, BATCH_SIZE; the flag is --batch-size, and wins.
        read: text to value; raises ValueError with what was expected.
        default: where neither is given.
        help_text: what it means; the default and the variable are added.
        otherwise: the default in words, where it depends on the rest.
    """

    def named(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{name}: {error}, got {text!r}") from error

    value = default
    if given := os.environ.get(name):
        try:
            value = named(given)
        except argparse.ArgumentTypeError as error:
            parser.error(str(error))
    parser.add_argument(
        f"--{name.lower().replace('_', '-')}",
        type=named,
        default=value,
        metavar=name.rpartition("_")[2],
        help=f"{help_text} (default: {otherwise or default}; or the variable {name})",
    )


def at_least(minimum: int) -> Callable[[str], int]:
    """A reader of whole numbers for `setting`."""

    def read(text: str) -> int:
        if not text.strip().isdecimal() or int(text) < minimum:
            raise ValueError(f"expected a whole number of at least {minimum}")
        return int(text)

    return read


def run(main: Callable[[], None]) -> NoReturn:
    """Run a script: exit 0 done, 1 failed, 2 misused; one sentence on stderr where it failed.

    While it runs, its Job says how far it is; where it ends, its record is kept.
    """
    signal.signal(signal.SIGTERM, _terminate)
    this = current()
    teller = Teller.here(this, lambda said: print(said, file=sys.stderr, flush=True))
    teller.start()
    code: str | int | None = FAILED
    try:
        code = _exit_code(main, this)
    except SystemExit as leaving:  # SIGTERM, or flags that make no sense
        code = leaving.code
    finally:  # a fault of ours, too, which says so by its traceback
        this.end(_STATES.get(code, "Failed"))
        this.keep()
        teller.stop(LAST_WORD_SECONDS)
    sys.exit(code)


def _exit_code(main: Callable[[], None], this: Run) -> int:
    try:
        main()
    except (OutputError, SettingsError) as error:
        return _failed(error, MISUSED, this)
    except (ArtifactError, DataError, GateError, RegistryError) as error:
        return _failed(error, FAILED, this)
    except OSError as error:  # a full disk, a folder that may not be written
        return _failed(error, FAILED, this)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def _failed(error: Exception, code: int, this: Run) -> int:
    print(f"error: {error}", file=sys.stderr)
    this.error = str(error)
    this.log.append(f"error: {error}")
    return code


def _terminate(number: int, _frame: FrameType | None) -> NoReturn:
    """Leave by an exception, so that temporary folders are removed on the way."""
    sys.exit(128 + number)


def positive(text: str) -> int:
    """The type of a flag that counts, from 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {text}")
    return value


def _share(text: str) -> float:
    value = float(text)
    if value != -1 and not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a share, 0 … 1, or -1; got {text}")
    return value
