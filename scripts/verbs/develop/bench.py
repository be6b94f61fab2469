"""`serin bench`: measures Serin beside other servers on this machine."""

from pathlib import Path

import click
from click.core import ParameterSource

COMMAS = "one,two"


@click.command("bench")
@click.option("--models", default="iris,mnist-forest", show_default=True, metavar=COMMAS)
@click.option("--peers", metavar=COMMAS, help="Servers to measure.  [default: all]")
@click.option(
    "--before",
    metavar="COMMIT",
    help="Also measure Serin at an earlier commit, and tell the ratio of now to then.",
)
@click.option(
    "--connections",
    default="1,8,64",
    show_default=True,
    metavar=COMMAS,
    help="Number of requests in progress at a time.",
)
@click.option(
    "--seconds",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="Duration of each load.",
)
@click.option(
    "--warm-up",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    metavar="SECONDS",
    help="Load that is not counted, before the loads of each protocol.",
)
@click.option("--rounds", type=click.IntRange(min=1), default=2, show_default=True)
@click.option(
    "--overload",
    is_flag=True,
    help="Also load Serin with four times its capacity, and measure the accepted requests' wait.",
)
@click.option(
    "--soak",
    type=click.IntRange(min=1),
    metavar="MINUTES",
    help="Instead: load Serin alone at 80 % of its capacity, minute by minute.",
)
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Real MNIST, for the mnist models; scikit-learn's digits, if not given.",
)
@click.option(
    "--artifacts",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder with a trained artifact for each model, instead of training them.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("docs/benchmarks"),
    show_default=True,
    help="Where <date>.json and <date>.svg are written; with --before <date>-before.json.",
)
def command(
    models: str,
    peers: str | None,
    before: str | None,
    connections: str,
    seconds: int,
    warm_up: int,
    rounds: int,
    overload: bool,
    soak: int | None,
    data: Path | None,
    artifacts: Path | None,
    output: Path,
) -> None:
    """Compare Serin with stock KServe, MLServer and a bare echo, side by side on loopback.

    All serve the same models, each server on one core and the load on another. Needs wrk and
    h2load. Peers are installed into .serin/bench on first use. Ratios come first: they carry over
    to other machines, requests a second do not.

    \b
    serin bench                                       all, about 12 minutes
    serin bench --models iris --seconds 1 --rounds 1  a quick look
    serin bench --peers serin --before HEAD~10 --rounds 6
                                                      what ten commits changed
    serin bench --models mnist-cnn --data ~/mnist     needs PyTorch: installs it
    serin bench --models nli                          texts, beside transformers
    serin bench --models causal-lm --peers llama.cpp  or float32
    """
    from scripts.benchmark import texts
    from scripts.benchmark.peer import STOCK
    from scripts.benchmark.session import Wanted, run, soak_only

    if asked := texts.names().intersection(_words(models)):
        if len(_words(models)) > 1:
            raise click.UsageError(f"{min(asked)} is compared alone: --models {min(asked)}")
        context = click.get_current_context()
        by_hand = ParameterSource.COMMANDLINE
        given = [name for name in context.params if context.get_parameter_source(name) is by_hand]
        texts.check(min(asked), peers or STOCK, given)
        much = texts.Asked(_counts(connections), seconds, rounds)
        texts.run(min(asked), peers or STOCK, much, artifacts, output)
        return
    wanted = Wanted(
        models=_words(models),
        peers=_words(peers or ""),
        before=before,
        connections=_counts(connections),
        seconds=seconds,
        warm_up_seconds=warm_up,
        rounds=rounds,
        overload=overload,
        data=data,
        artifacts=artifacts,
        output=output,
    )
    if soak and before:
        raise click.UsageError("--soak loads Serin alone: --before does not go with it")
    if soak:
        soak_only(wanted, soak)
    else:
        run(wanted)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _counts(text: str) -> tuple[int, ...]:
    try:
        counts = tuple(sorted({int(word) for word in _words(text)}))
    except ValueError:
        counts = ()
    if not counts or counts[0] < 1:
        raise click.BadParameter(f"{text!r} is no list of counts like 1,8,64")
    return counts
