"""`serin infer`: sends a request to a served model and shows the answer."""

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click

from scripts.client.errors import RequestError, UnknownModelError, UsageError
from scripts.client.gateway import Gateway
from scripts.verbs.values import ValuesCommand


@click.command("infer", cls=ValuesCommand)
@click.argument("model")
@click.argument("values", nargs=-1, metavar="[NUMBER… | TEXT… | IMAGE…]")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Another input of the model, such as max_tokens=32; may be given several times, and of a "
    "list, such as candidate_labels=sports, once for each element.",
)
@click.option("--grpc", "over_grpc", is_flag=True, help="Use gRPC instead of REST.")
@click.option(
    "--host",
    metavar="URL",
    help="Another gateway than this checkout's. An address with a name keeps it as the Host; an "
    "IP address is asked for <model>-models.localhost.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the V2 answer as JSON.")
@click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Time limit of each answer.",
)
def command(
    model: str,
    values: tuple[str, ...],
    settings: tuple[str, ...],
    over_grpc: bool,
    host: str | None,
    as_json: bool,
    timeout_seconds: float,
) -> None:
    """Send a request to a served model and show the answer.

    \b
    serin infer iris 5.1 3.5 1.4 0.2                  one flower; or with commas
    serin infer iris 5.1 3.5 1.4 0.2 6.7 3.0 5.2 2.3  two flowers
    serin infer mnist-cnn photo.jpg                   a digit, as PNG or JPEG
    serin infer nli "A man sleeps." "He is awake."    one text for each text input
    serin infer causal-lm "Once upon a time"          prints text as it comes
    serin infer wine                                  its golden sample

    The inputs come from the model's V2 metadata. Put text that begins with two dashes after a
    separate --.
    """
    from scripts.client import asked, rest, rpc, sample, stream
    from scripts.client.question import question_of
    from scripts.show import lines
    from scripts.show.document import pretty

    platform = asked.platform(host, model)
    gateway = Gateway.parse(host or platform["gateway_url"])
    try:
        # Over REST in both cases: V2's gRPC metadata has no place for labels.
        metadata = rest.metadata(gateway, model, timeout_seconds)
        if values:
            question = question_of(model, metadata, values, _by_name(settings))
        else:
            question = sample.question(platform, model, _by_name(settings))
        if stream.offered(metadata) and not (over_grpc or as_json) and len(question.asked) == 1:
            tell(stream.generate(gateway, model, question.tensors, timeout_seconds), question.asked)
            return
        ask = rpc.infer if over_grpc else rest.infer
        answer = ask(gateway, model, question.tensors, timeout_seconds)
    except (UnknownModelError, RequestError) as error:
        raise asked.refused(model, platform) or error from None
    if as_json:
        text = json.dumps(answer, ensure_ascii=False)
        if sys.stdout.isatty():
            text = pretty(answer, lines.columns())
        click.echo(text)
        return
    show(answer, metadata, question.asked)


def _by_name(settings: tuple[str, ...]) -> dict[str, list[str]]:
    chosen: dict[str, list[str]] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise UsageError(f"--set {setting}: expected NAME=VALUE")
        chosen.setdefault(name, []).append(value)
    return chosen


def tell(pieces: Iterator[dict[str, Any]], asked: Sequence[str]) -> None:
    """The prompt and what follows it, as it comes, on stdout; how it ended on stderr."""
    last: dict[str, Any] = {}
    for piece in pieces:
        if not last:
            click.secho(asked[0], bold=True, nl=False)
        click.echo(piece["text_output"], nl=False)
        last = piece
    click.echo()
    counts = f"{last['prompt_tokens']} + {last['completion_tokens']} tokens"
    click.secho(f"{counts}, {last['finish_reason']}", dim=True, err=True)


def show(answer: dict[str, Any], metadata: dict[str, Any], asked: Sequence[str]) -> None:
    """The table on stdout; rich leaves colour out where NO_COLOR is set."""
    from rich.console import Console

    from scripts.client import table

    if not sys.stdout.isatty():
        click.echo(table.shown(answer, metadata, asked), nl=False)
        return
    console = Console()
    console.print(table.table_of(answer, metadata, asked, console.width))
