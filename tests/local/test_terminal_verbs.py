"""Every verb, in every situation that a first hour has: one sentence, one exit code, no traceback.

All of them run on a terminal of 80 and of 120 columns. Where nothing else is said, nothing runs in
the checkout, and the port that it would use is another checkout's.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click
import psutil
import pytest

from scripts import cli
from tests.support.terminal import SIZES, Shown, Terminal
from tests.support.threads import serving

NOTHING_RUNS = "Nothing runs. Start with: ./serin up"
NO_MODEL = (
    "Error: There is no model irs. Did you mean iris? There are: causal-lm, iris, mnist-cnn, "
    "mnist-forest, nli."
)
FLOWER = "5.1 3.5 1.4 0.2"


def commands() -> list[str]:
    """Every verb, and every verb of a verb."""
    group = cli.serin
    assert isinstance(group, cli.Verbs)
    context = click.Context(group)
    found = []
    for name in group.list_commands(context):
        verb = group.get_command(context, name)
        inner = verb.list_commands(context) if isinstance(verb, click.Group) else []
        found += [f"{name} {word}" for word in inner] or [name]
    return found


COMMANDS = commands()

WRONG_OPTION = {
    # Whose options are another program's, and how it names itself.
    "test": (2, "unrecognized arguments: --no-such-option"),
    "train": (2, "The model comes first, then --no-such-option: ./serin train iris."),
    "install": (2, "No such option '--no-such-option'."),
}

UNKNOWN_MODEL = {
    "chat": "chat irs",
    "infer": f"infer irs {FLOWER}",
    "load": "load irs",
    "logs": "logs irs",
    "models diff": "models diff irs a b",
    "models list": "models list irs",
    "models show": "models show irs a",
    "models verify": "models verify irs",
    "remove model": "remove model irs --yes",
    "rollback": "rollback irs",
    "top": "top irs --once",
    "train": "train irs",
    "up": "up irs",
}
"""Of the verbs that take a model; a rollout's are known to the cluster alone, see RUNNING."""

NOTHING = {
    "channel history": ("channel history iris", 1, NOTHING_RUNS),
    "channel rollback": ("channel rollback iris", 1, NOTHING_RUNS),
    "channel set": ("channel set iris 1f2e", 1, NOTHING_RUNS),
    "channel status": ("channel status iris", 1, NOTHING_RUNS),
    "chat": ("chat", 1, NOTHING_RUNS),
    "dashboards": ("dashboards --draw DIR", 1, NOTHING_RUNS),
    "down": ("down", 0, "Nothing runs."),
    "env": ("env", 1, NOTHING_RUNS),
    "infer": (f"infer iris {FLOWER}", 1, NOTHING_RUNS),
    "load": ("load iris", 1, NOTHING_RUNS),
    "logs": ("logs", 1, "There are no logs of anything in"),
    "models diff": ("models diff iris a b", 1, "No version of iris is published in"),
    "models gc": ("models gc --keep 1", 0, "Nothing to delete."),
    "models list": ("models list", 0, "Nothing is published. Train a model: ./serin train iris"),
    "models show": ("models show iris a", 1, "Publish one with: ./serin train iris"),
    "models verify": ("models verify iris", 1, "No version of iris is published in"),
    "rollback": ("rollback iris", 1, NOTHING_RUNS),
    "rollout abort": ("rollout abort iris", 1, NOTHING_RUNS),
    "rollout history": ("rollout history iris", 1, NOTHING_RUNS),
    "rollout pause": ("rollout pause iris", 1, NOTHING_RUNS),
    "rollout promote": ("rollout promote iris", 1, NOTHING_RUNS),
    "rollout resume": ("rollout resume iris", 1, NOTHING_RUNS),
    "rollout start": ("rollout start iris 1f2e", 1, NOTHING_RUNS),
    "rollout status": ("rollout status iris", 1, NOTHING_RUNS),
    "runs cancel": ("runs cancel f78b", 1, NOTHING_RUNS),
    "runs compare": ("runs compare f78b 03c1", 1, NOTHING_RUNS),
    "runs list": ("runs list", 1, NOTHING_RUNS),
    "runs logs": ("runs logs f78b", 1, NOTHING_RUNS),
    "runs show": ("runs show f78b", 1, NOTHING_RUNS),
    "status": ("status", 1, NOTHING_RUNS),
    "top": ("top --once", 1, NOTHING_RUNS),
}
WITHOUT_A_PLATFORM = {
    *("bench", "check", "install", "new model", "publish", "remove model", "simulate", "test"),
    *("train", "up"),
}
"""Verbs to which it is the same whether one runs."""

READ_ONLY = {
    "models list": "models list",
    "models verify": "models verify",
    "train": "train iris",
    "up": "up iris",
}
"""Verbs that write to the state folder, or start what does, where nothing was there before."""


class Elsewhere(ThreadingHTTPServer):
    """Another checkout's gateway: it must never be asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), _Answer)


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Elsewhere)
        self.server.asked.append(self.path)
        self.send_error(404)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    """A server on the port that this checkout would use."""
    server = Elsewhere()
    with serving(server):
        yield server


@pytest.fixture(params=SIZES, ids=["80x24", "120x40"])
def terminal(request: pytest.FixtureRequest, tmp_path: Path, elsewhere: Elsewhere) -> Terminal:
    """A terminal in this checkout, with a state folder in which nothing ever ran."""
    columns, rows = request.param
    settings = {
        "SERIN_HOME": str(tmp_path / "state"),
        "SERIN_PORT": str(elsewhere.server_port),
        "SERIN_S3_PORT": "0",
        "KUBECONFIG": "",
    }
    return Terminal(columns=columns, rows=rows, settings=settings)


@pytest.fixture
def run(terminal: Terminal, tmp_path: Path) -> Callable[[str], Shown]:
    """Runs a verb, as it is typed; DIR is a folder that does not exist."""

    def typed(line: str) -> Shown:
        shown = terminal.serin(*line.replace("DIR", str(tmp_path / "new")).split())
        assert "Traceback" not in shown.raw
        assert_whole(shown)
        return shown

    return typed


def assert_whole(shown: Shown) -> None:
    """No line is broken within a word: each was written to fit, but for one long word."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.raw)
    for line in plain.replace("\r", "\n").split("\n"):
        fits = len(line) <= shown.columns or len(line.split()) == 1
        assert fits, f"{len(line)} columns of {shown.columns}: {line}"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_quick_installs_nothing_and_fits(command: str, run: Callable[[str], Shown]) -> None:
    """`VERB --help` says how it is called, ends with 0, and is not broken by the terminal."""
    shown = run(f"{command} --help")

    assert shown.code == 0
    assert shown.text.startswith(f"Usage: serin {command}")
    assert "nstalling" not in shown.text


@pytest.mark.parametrize("line", ["", "models --help", "runs --help", "new", "rollout", "channel"])
def test_half_a_command_is_answered_with_its_help(line: str, run: Callable[[str], Shown]) -> None:
    """The verbs that there are, and exit code 2 where one was missing."""
    shown = run(line)

    assert shown.text.startswith(f"Usage: serin {line.removesuffix(' --help')}".rstrip())
    assert shown.code == (0 if "--help" in line else 2)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_option_is_refused(command: str, run: Callable[[str], Shown]) -> None:
    """What begins with two dashes is an option, and one that nobody knows is misuse."""
    code, sentence = WRONG_OPTION.get(command, (2, "No such option '--no-such-option'."))
    shown = run(f"{command} --no-such-option")

    assert (shown.code, sentence in shown.words) == (code, True), shown.text


@pytest.mark.parametrize(
    ("line", "option"),
    [
        (f"infer iris {FLOWER} --sett", "--sett"),
        ("infer causal-lm text --max-tokens 5", "--max-tokens"),
        ("infer nli premise hypothesis --jsn", "--jsn"),
        ("load iris 5.1 3.5 -q", "-q"),
        ("infer iris --rate=5", "--rate"),
    ],
)
def test_a_wrong_option_after_values_is_no_value(
    line: str, option: str, run: Callable[[str], Shown]
) -> None:
    """It is refused before anything is asked, by its name alone."""
    shown = run(line)

    assert shown.code == 2
    assert f"Error: No such option '{option}'." in shown.words


@pytest.mark.parametrize(
    "line",
    [
        "infer iris -5.1 -3.5 -.4 -1e-3",
        "infer iris -5.1,-3.5,1.4,0.2",
        "infer nli -- --premise --hypothesis",
        "infer nli '-a 'b",
    ],
)
def test_negative_numbers_and_what_follows_two_dashes_are_values(
    line: str, run: Callable[[str], Shown]
) -> None:
    """They are taken: only the platform is missing."""
    shown = run(line)

    assert (shown.code, shown.words) == (1, f"Error: {NOTHING_RUNS}")


@pytest.mark.parametrize(("command", "line"), UNKNOWN_MODEL.items(), ids=UNKNOWN_MODEL)
def test_an_unknown_model_is_misuse_everywhere(
    command: str, line: str, run: Callable[[str], Shown]
) -> None:
    """One sentence, which says what may be meant and what there is."""
    shown = run(line)

    assert (shown.code, shown.words) == (2, NO_MODEL)


@pytest.mark.parametrize("line", ["statuss", "models shw", "rollout statsu iris"])
def test_an_unknown_verb_says_which_may_be_meant(line: str, run: Callable[[str], Shown]) -> None:
    """As an unknown model does."""
    shown = run(line)

    assert shown.code == 2
    assert f"Error: No such command '{line.split()[line.count(' ') and 1]}'." in shown.words
    assert re.search(r"Did you mean '(status|show)'\?|Did you mean one of:.*'status'", shown.words)


def test_every_verb_is_in_the_table() -> None:
    """Whoever adds a verb says what it does where nothing runs."""
    assert {*NOTHING, *WITHOUT_A_PLATFORM} == set(COMMANDS)


@pytest.mark.parametrize("command", NOTHING)
def test_where_nothing_runs_nobody_elses_platform_is_asked(
    command: str, run: Callable[[str], Shown], elsewhere: Elsewhere
) -> None:
    """It says that nothing runs, though another checkout's gateway has the port."""
    line, code, sentence = NOTHING[command]
    shown = run(line)

    assert (shown.code, sentence in shown.words) == (code, True), shown.text
    assert elsewhere.asked == []


def test_env_makes_eval_fail_where_nothing_runs(terminal: Terminal) -> None:
    """`eval` of nothing would succeed, and kubectl ask whatever else is configured."""
    shown = terminal.run("bash", "-c", "eval $(./serin env) && echo went on")

    assert (shown.code, shown.words) == (1, f"Error: {NOTHING_RUNS}")


def test_up_names_the_taken_port_and_the_way_out(
    run: Callable[[str], Shown], elsewhere: Elsewhere, tmp_path: Path
) -> None:
    """It ends, and leaves no process and no state."""
    shown = run("up iris")

    assert shown.code == 1
    assert f"Port {elsewhere.server_port}" in shown.words
    assert "./serin up --port" in shown.words
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SERIN_PORT", "abc", "expected a port, 1 … 65535, or 0 for a free one."),
        ("SERIN_PORT", "70000", "expected a port, 1 … 65535, or 0 for a free one."),
        ("SERIN_S3_PORT", "-1", "expected a port, 1 … 65535, or 0 for a free one."),
        ("SERIN_PROMETHEUS_PORT", "9o9o", "expected a port, 1 … 65535, or 0 for a free one."),
        ("SERIN_HPA_SYNC_PERIOD", "0", "expected seconds, more than 0."),
    ],
)
def test_a_wrong_setting_is_named_before_anything_starts(
    name: str, value: str, expected: str, terminal: Terminal, tmp_path: Path
) -> None:
    """The variable, what it is, what was expected."""
    settings = {**terminal.settings, name: value}
    shown = Terminal(columns=terminal.columns, rows=terminal.rows, settings=settings).serin("up")

    assert (shown.code, shown.words) == (2, f"Error: {name} is '{value}': {expected}")
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("command", READ_ONLY)
def test_a_folder_that_may_not_be_written_names_the_setting(
    command: str, terminal: Terminal, tmp_path: Path
) -> None:
    """SERIN_HOME is the way out, also for root, who here may not write everything."""
    tmp_path.chmod(0o555)
    line = [str(terminal.root / "serin"), *READ_ONLY[command].split()]
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root may write everywhere, and setpriv is not here to take that away")
        line = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *line]
    shown = terminal.run(*line)
    tmp_path.chmod(0o755)

    home = tmp_path / "state"
    assert shown.code == 1
    assert f"Error: {home} cannot be written (Permission denied): set SERIN_HOME to" in shown.words


def processes_of(folder: Path) -> list[str]:
    """What runs with the folder in its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and any(
                str(folder) in value for value in process.environ().values()
            ):
                found.append(" ".join(process.cmdline()))
        except (psutil.Error, ProcessLookupError):  # psutil lets the latter through
            continue
    return found
