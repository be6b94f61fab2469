"""The front door: finds the verb, runs it, and turns every failure into one sentence.

A verb is a module of a room in verbs/ with a click command named `command`; there is no list of
them. Nothing else is imported until its verb runs: `./serin VERB` should start at once.
"""

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Ctrl-C while modules are being imported can be swallowed by the import system; until `main`
    # takes over it ends the process at once, as there is nothing to clean up yet.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import ast
import errno
import importlib
import itertools
import os
import re
import shlex
import sys
import traceback
from pathlib import Path
from typing import Any

import click

from controlplane.errors import SerinError
from scripts.show.lines import wrapped

VERBS = Path(__file__).parent / "verbs"
UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}


class Verbs(click.Group):
    """A group whose commands are the modules of the rooms in verbs/."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every verb, by file name."""
        return sorted(modules())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command; its module is imported now."""
        path = modules().get(cmd_name)
        if path is None:
            return None
        module = importlib.import_module(f"scripts.verbs.{path.parent.name}.{path.stem}")
        command = module.command
        assert isinstance(command, click.Command)  # noqa: S101  the folder's contract
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb that is named first; one that does not exist may be a slip of the finger."""
        known = self.list_commands(ctx)
        if args and not args[0].startswith("-") and args[0] not in known:
            raise click.exceptions.NoSuchCommand(args[0], possibilities=known, ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs with their modules' first lines, without importing them."""
        with formatter.section("Verbs"):
            formatter.write_dl(
                [(name, _summary(name, path)) for name, path in sorted(modules().items())]
            )


def modules() -> dict[str, Path]:
    """The module of each verb, found by its file name."""
    paths = (path for path in VERBS.glob("*/*.py") if not path.stem.startswith("_"))
    return {path.stem.replace("_", "-"): path for path in paths}


def version() -> str:
    """The newest release in CHANGELOG.md, which is where a release gets its number."""
    changelog = (Path(__file__).parents[1] / "CHANGELOG.md").read_text("utf-8")
    return next(iter(re.findall(r"^## \[(\d[^]]*)\]", changelog, re.MULTILINE)), "unreleased")


def _show_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        click.echo(f"serin {version()}")
        ctx.exit()


@click.command(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: ./serin up",
)
@click.option("--debug", is_flag=True, help="Show a traceback on failure.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version.",
)
def serin(debug: bool) -> None:
    """Serve machine-learning models on this laptop or on a Kubernetes cluster."""


def main() -> int:
    """Run the command line and return its exit code: 0 done, 1 failed, 2 misused, 130 stopped."""
    # A cancelled CI job or a closed terminal ends a verb as Ctrl-C does: with its own clean-up.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    debug = _debugged()
    try:
        result: Any = serin.main(prog_name="serin", standalone_mode=False)
    except (KeyboardInterrupt, click.Abort):
        return 130
    except click.exceptions.Exit as done:
        return done.exit_code
    except BrokenPipeError:  # `serin logs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001  the one place where any failure ends
        if debug:
            traceback.print_exc()
        return _complain(error)
    return result if isinstance(result, int) else 0


def _complain(error: Exception) -> int:
    code = 1
    match error:
        case click.exceptions.NoArgsIsHelpError():
            click.echo(error.format_message(), err=True)
            return error.exit_code
        case click.UsageError():
            code, text = error.exit_code, _misuse(error)
        case click.ClickException():
            code, text = error.exit_code, error.format_message()
        case SerinError():
            code, text = error.exit_code, str(error)
        case OSError(errno=errno.ENOSPC):
            text = (
                f"The disk is full ({error.filename or 'see df -h'}): free some space, run again."
            )
        case OSError(errno=number, filename=str()) if number in UNWRITABLE and _kept(error):
            text = (
                f"{error.filename} cannot be written ({error.strerror}): set SERIN_HOME to a "
                "folder that you may write, and run again."
            )
        case OSError() if error.filename:
            text = f"{error.strerror}: {error.filename}."
        case ModuleNotFoundError() if not _ours(error.name):
            text = (
                f"The package {error.name} is not installed: remove .venv and run ./serin again to "
                "install everything anew."
            )
        case _:
            text = f"{type(error).__name__}: {error}. This should not happen"
            if _debugged():
                text += "; where it did is above."
            else:
                text += f"; ./serin --debug {shlex.join(sys.argv[1:])} shows where it did."
    click.echo(wrapped(f"Error: {text}", sys.stderr, indent=0), err=True)
    return code


def _misuse(error: click.UsageError) -> str:
    """What was asked wrongly, and where the right way is told."""
    text = error.format_message()
    if error.ctx is None:
        return text
    stop = "" if text.endswith((".", "?", ")")) else "."
    return f"{text}{stop} See: ./{error.ctx.command_path} --help"


def _debugged() -> bool:
    return "--debug" in itertools.takewhile(lambda word: word.startswith("-"), sys.argv[1:])


def _kept(error: OSError) -> bool:
    """Whether what could not be written is the state folder, or belongs into it."""
    from controlplane import statefolder

    home, path = statefolder.home().path, Path(str(error.filename)).absolute()
    return path.is_relative_to(home) or home.is_relative_to(path)


def _ours(name: str | None) -> bool:
    return (name or "").split(".")[0] in {"scripts", "controlplane"}


def _summary(name: str, path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    first = text.split("\n", 1)[0].removeprefix(f"`serin {name}`: ").rstrip(".")
    return first[:1].upper() + first[1:]


if __name__ == "__main__":
    sys.exit(main())
