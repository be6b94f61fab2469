"""`serin test`: pytest, with what this repository's tests need."""

import subprocess
import sys
from pathlib import Path

import click

ROOT = Path(__file__).parents[1]
FOLDERS = ("unit", "contract", "local")  # cluster is asked for by name: it needs a cluster


@click.command("test", context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[PATH… | PYTEST OPTION…]")
def command(arguments: tuple[str, ...]) -> None:
    """Run the tests, in random order; every pytest option is passed on.

    \b
    serin test                          unit, contract and local
    serin test tests/unit -k digits     some of them
    serin test -x --lf                  what failed last time, until the first failure
    serin test tests/cluster            against the cluster of the current context
    """
    paths = [argument for argument in arguments if _is_path(argument)]
    folders = (
        [] if paths else [f"tests/{name}" for name in FOLDERS if (ROOT / "tests" / name).is_dir()]
    )
    if any(not path.startswith("tests/unit") for path in paths or folders):
        from controlplane import parts

        parts.install(parts.of_models())  # all are trained and served
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, *folders], cwd=ROOT, check=False
    )
    raise SystemExit(done.returncode)


def _is_path(argument: str) -> bool:
    """Whether pytest would take it for a path or a test's id."""
    return not argument.startswith("-") and (ROOT / argument.split("::", 1)[0]).exists()
