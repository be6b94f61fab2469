"""What a verb takes for a value, and what for an option."""

import click
import pytest
from click.testing import CliRunner

from scripts.verbs.values import ValuesCommand


@click.command("ask", cls=ValuesCommand)
@click.argument("model")
@click.argument("values", nargs=-1, required=True)
@click.option("--rate", type=float, default=0.0)
def ask(model: str, values: tuple[str, ...], rate: float) -> None:
    """Print what came."""
    click.echo([model, *values, rate])


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["-1"], ["-1"]),
        (["-.5e-3", "--rate", "-2"], ["-.5e-3"]),
        (["-5.1,3.5;-2"], ["-5.1,3.5;-2"]),
        (["- a list"], ["- a list"]),
        (["--", "--rate", "-x"], ["--rate", "-x"]),
        (["a", "--rate=-2", "--", "-x"], ["a", "-x"]),
    ],
)
def test_negative_numbers_and_what_follows_two_dashes_are_values(
    words: list[str], values: list[str]
) -> None:
    """They come as they were typed, in their order."""
    done = CliRunner().invoke(ask, ["iris", *words])

    assert done.exit_code == 0, done.output
    assert done.output.startswith(str(["iris", *values])[:-1])


@pytest.mark.parametrize(
    "words",
    [["1", "--rat"], ["--rat"], ["1", "--rat=5"], ["--rat", "--", "1"], ["1", "-x"], ["-x", "1"]],
)
def test_an_unknown_option_is_never_a_value(words: list[str]) -> None:
    """Wherever it stands, and with its value; exit code 2."""
    done = CliRunner().invoke(ask, ["iris", *words])

    assert done.exit_code == 2
    assert "No such option '-" in done.output
