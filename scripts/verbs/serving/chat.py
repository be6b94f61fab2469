"""`serin chat`: chats with a text model in the terminal."""

import sys
import unicodedata
from typing import Any

import click

PROMPT = "> "


@click.command("chat")
@click.argument("model", default="causal-lm")
@click.option(
    "--system", metavar="TEXT", help="Instructions to the model, before the conversation."
)
@click.option(
    "--temperature",
    type=click.FloatRange(0, 2),
    help="0 takes the likeliest word each time; by default the model's own.",
)
@click.option("--host", metavar="URL", help="Another gateway than this checkout's.")
@click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Time limit of each word.",
)
def command(
    model: str,
    system: str | None,
    temperature: float | None,
    host: str | None,
    timeout_seconds: float,
) -> None:
    """Chat with a text model; the default MODEL is causal-lm.

    \b
    serin chat                        sends each line; an empty line does nothing
    echo "Hello" | serin chat         sends each line of stdin as a question

    Ctrl-C stops an answer; between answers it ends the conversation, as Ctrl-D does. When the
    model has no room left, it forgets the oldest turns first.
    """
    from scripts.client import asked, chat
    from scripts.client.gateway import Gateway

    platform = asked.platform(host, model)
    gateway = Gateway.parse(host or platform["gateway_url"])
    if refusal := asked.refused(model, platform):
        raise refusal
    chat.check(gateway, model, timeout_seconds)
    told: chat.Messages = [{"role": "system", "content": system}] if system else []
    settings = {} if temperature is None else {"temperature": temperature}
    turns: chat.Messages = []
    if sys.stdin.isatty():
        import readline  # noqa: F401 - input() has arrow keys and a history with it

        click.secho(f"{model}. Ctrl-D ends.", dim=True, err=True)
    while (said := _line()) is not None:
        if not said.strip():
            continue
        turns.append({"role": "user", "content": said})
        answer = _answer(gateway, model, told, turns, settings, timeout_seconds)
        turns.append({"role": "assistant", "content": answer})


def _line() -> str | None:
    """What the user says next; None at the end."""
    try:
        return input(PROMPT if sys.stdin.isatty() else "")
    except EOFError:
        if sys.stdin.isatty():
            click.echo()
        return None
    except KeyboardInterrupt:
        click.echo()
        return None


def _answer(
    gateway: Any,
    model: str,
    told: list[dict[str, str]],
    turns: list[dict[str, str]],
    settings: dict[str, float],
    timeout_seconds: float,
) -> str:
    """Show an answer as it comes; the oldest turns go where the model has no room for them."""
    from scripts.client import chat

    pieces: list[str] = []
    while True:
        try:
            for piece in chat.answer(gateway, model, [*told, *turns], settings, timeout_seconds):
                pieces.append(piece)
                click.echo(_shown(piece), nl=False)
        except chat.TooLongError:
            if len(turns) == 1:
                raise
            del turns[:2]
            continue
        except KeyboardInterrupt:
            pass
        click.echo()
        return "".join(pieces)


def _shown(text: str) -> str:
    """Text without what would steer the terminal."""
    return "".join(
        "\ufffd" if unicodedata.category(letter) == "Cc" and letter not in "\n\t" else letter
        for letter in text
    )
