"""`serin test`: runs the tests with pytest."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import click

ROOT = Path(__file__).parents[3]
FOLDERS = ("unit", "contract", "local")
STOPPED = 130
EXIT_CODES = {0: 0, 1: 1, 2: STOPPED, -signal.SIGINT: STOPPED, 4: 2}
"""Pytest's, as every verb ends: done, failed, stopped, misused; no test at all is a failure."""
PYTEST = """
import signal
signal.signal(signal.SIGINT, signal.SIG_DFL)  # until it can answer Ctrl-C in its own words
import sys, pytest
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    code = pytest.main()
except KeyboardInterrupt:
    code = pytest.ExitCode.INTERRUPTED
sys.exit(code)
"""
REPORTS = ".reports"  # ignored by git
CLUSTER = "tests/cluster"  # by itself: a cluster takes the processors that others measure with


@click.command("test", context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[PATH… | PYTEST OPTION…]")
def command(arguments: tuple[str, ...]) -> None:
    """Run the tests, in random order; every pytest option is passed on.

    \b
    serin test                       unit, contract, local; cluster's smoke tests
    serin test tests/unit -k digits  some of them
    serin test -x --lf               the last failures, until one fails again
    serin test tests/cluster         all: on the testbed beside the checkout, or
                                     on what KUBECONFIG names
    """
    from controlplane import parts

    parts.install(["dev"])
    paths = [argument for argument in arguments if _is_path(argument)]
    folders = (
        [] if paths else [f"tests/{name}" for name in FOLDERS if (ROOT / "tests" / name).is_dir()]
    )
    if any(not path.startswith(("tests/unit", CLUSTER)) for path in paths or folders):
        parts.install(parts.of_models())  # all are trained and served
    signal.signal(signal.SIGINT, lambda *_: None)  # pytest's own: it stops what it started
    code = _pytest(*arguments, *folders) if arguments else _all(folders)
    raise SystemExit(EXIT_CODES.get(code, 1))


def _all(folders: list[str]) -> int:
    """Everything: two workers or more, then alone what measures, then the cluster's smoke tests."""
    workers = str(max(2, os.cpu_count() or 2))  # with one core too: tests mostly wait
    code = _pytest(*folders, "-m", "not calm", "-n", workers, *_reports("tests"))
    if EXIT_CODES.get(code) != STOPPED:
        code = _pytest(*folders, "-m", "calm", *_reports("calm")) or code
    if code == 0 and (ROOT / CLUSTER).is_dir():
        os.environ.pop("KUBECONFIG", None)  # a cluster in use is tested on only where it is named
        code = _pytest(CLUSTER, "-m", "smoke", *_reports("cluster"))  # all of them: .ci/nightly
    return code


def _reports(name: str) -> tuple[str, ...]:
    """What a run costs: its longest tests in the log, every test's seconds in a file."""
    return ("--durations=40", f"--junitxml={REPORTS}/{name}.xml")


def _pytest(*arguments: str) -> int:
    return subprocess.run(
        [sys.executable, "-c", PYTEST, *arguments], cwd=ROOT, check=False
    ).returncode


def _is_path(argument: str) -> bool:
    """Whether pytest would take it for a path or a test's id."""
    return not argument.startswith("-") and (ROOT / argument.split("::", 1)[0]).exists()
