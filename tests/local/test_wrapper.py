"""The ./serin wrapper: .venv made once, repaired, kept, and found from anywhere."""

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.support.terminal import Shown, Terminal

ROOT = Path(__file__).parents[2]
PROGRAM = 'import os, sys\nprint(os.getcwd(), *sys.argv[1:], sep="|")\n'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose parts install nothing and whose program prints how it was called."""
    root = tmp_path / "check out"  # a space, as in many home folders
    for folder in ("requirements", "scripts"):
        (root / folder).mkdir(parents=True)
    shutil.copy(ROOT / "serin", root / "serin")
    for part in ("base", "extra"):
        (root / "requirements" / f"{part}.txt").write_text("# nothing\n", "utf-8")
    (root / "scripts" / "cli.py").write_text(PROGRAM, "utf-8")
    return root


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python whose `-m venv` borrows this one's pip: seconds less than installing it anew."""
    program = tmp_path_factory.mktemp("python") / "python3"
    site = sysconfig.get_path("purelib")
    here = f"python{sys.version_info.major}.{sys.version_info.minor}"
    program.write_text(
        f"""#!/bin/sh
[ "$1 $2" = "-m venv" ] || exec "{sys.executable}" "$@"
"{sys.executable}" -m venv --without-pip "$3" &&
echo "{site}" >"$3/lib/{here}/site-packages/borrowed.pth"
""",
        "utf-8",
    )
    program.chmod(0o755)
    return program


def run(
    command: Path,
    *arguments: str,
    python: Path | str = sys.executable,
    cwd: Path | None = None,
    wheels: Path | str = "",
) -> subprocess.CompletedProcess[str]:
    """Run the wrapper."""
    env = {**os.environ, "SERIN_PYTHON": str(python), "PIP_NO_INDEX": "1"}
    if wheels:
        env["PIP_FIND_LINKS"] = str(wheels)
    return subprocess.run(
        [command, *arguments],
        cwd=cwd or command.parent,
        env=env,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_first_use_makes_a_venv_and_later_uses_do_not(checkout: Path) -> None:
    """It says so once; a symlink and another folder work, and the folder is the verb's."""
    link = checkout.parent / "link"
    link.symlink_to("check out/serin")
    first = run(checkout / "serin", "up", "a b")
    second = run(link, "up", cwd=Path("/"))

    assert first.stdout == f"{checkout}|up|a b\n"
    assert "first use" in first.stderr
    assert second.stdout == "/|up\n"
    assert second.stderr == ""
    assert not (checkout / ".serin").exists()


def test_changed_pins_and_an_unfinished_part_are_installed_into_the_same_venv(
    checkout: Path, quick: Path
) -> None:
    """The stamp is a copy of the requirements, placed last; other parts stay as they are."""
    run(checkout / "serin", "install", "extra", python=quick)
    venv = checkout / ".venv"
    (venv / "kept").touch()
    (checkout / "requirements" / "base.txt").write_text("# other pins\n", "utf-8")
    changed = run(checkout / "serin", python=quick)
    (venv / ".installed-base.txt").unlink()
    finished = run(checkout / "serin", python=quick)

    for done in (changed, finished):
        assert done.returncode == 0, done.stderr
        assert "installing part 'base' into .venv" in done.stderr
    assert (venv / "kept").exists()
    assert (venv / ".installed-extra.txt").exists()
    assert (venv / ".installed-base.txt").read_text() == "# other pins\n"


def test_a_venv_whose_python_is_gone_is_made_anew(checkout: Path, quick: Path) -> None:
    """As after an upgrade of the system's Python, which its links point to."""
    run(checkout / "serin", "install", "extra", python=quick)
    for link in (checkout / ".venv" / "bin").glob("python*"):
        link.unlink()
    repaired = run(checkout / "serin", python=quick)

    assert repaired.returncode == 0, repaired.stderr
    assert "making it anew" in repaired.stderr
    assert not (checkout / ".venv" / ".installed-extra.txt").exists()


def test_a_part_is_installed_once(checkout: Path, quick: Path) -> None:
    """`serin install PART` needs nothing of the program; an unknown part names those there are."""
    first = run(checkout / "serin", "install", "extra", python=quick)
    second = run(checkout / "serin", "install", "extra", python=quick)
    unknown = run(checkout / "serin", "install", "other", python=quick)

    assert "installing part 'extra'" in first.stderr
    assert "installing" not in second.stderr
    assert unknown.returncode == 2
    assert "Parts: base extra." in unknown.stderr


def test_a_dead_owners_lock_is_taken_over(checkout: Path, quick: Path) -> None:
    """A first run that was killed must not block the next one."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    lock = checkout / ".serin" / "install.lock"
    lock.mkdir(parents=True)
    (lock / "pid").write_text(f"{gone.pid}\n", "utf-8")

    done = run(checkout / "serin", "up", python=quick)

    assert done.returncode == 0, done.stderr
    assert not lock.exists()


def test_two_first_runs_make_one_venv(checkout: Path, quick: Path) -> None:
    """The second waits for the first and uses what it made."""
    env = {**os.environ, "SERIN_PYTHON": str(quick), "PIP_NO_INDEX": "1"}
    runs = [
        subprocess.Popen(
            [checkout / "serin", "up"],
            env=env,
            cwd=checkout,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    told = [process.communicate(timeout=100)[1] for process in runs]

    assert [process.returncode for process in runs] == [0, 0], told
    assert sum("first use" in text for text in told) == 1


def test_no_usable_python_is_one_sentence(checkout: Path, tmp_path: Path) -> None:
    """It says which versions would do and how to name one."""
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n", "utf-8")
    old.chmod(0o755)

    done = run(checkout / "serin", python=str(old))

    assert done.returncode == 1
    assert done.stderr.startswith("Error: Serin needs Python 3.11, 3.12 or 3.13")
    assert not (checkout / ".venv").exists()


def on_a_terminal(checkout: Path, quick: Path, *arguments: str) -> Shown:
    """Run the wrapper on a terminal of 80x24."""
    settings = {"SERIN_PYTHON": str(quick), "PIP_NO_INDEX": "1"}
    terminal = Terminal(checkout, settings=settings)
    return terminal.run(str(checkout / "serin"), *arguments, seconds=100)


def test_on_a_terminal_pip_is_one_line_that_goes(checkout: Path, quick: Path) -> None:
    """What it fetches is counted; when it succeeded, its hundreds of lines are seen by nobody."""
    installed = f"pip=={version('pip')}\n"
    (checkout / "requirements" / "base.txt").write_text(installed, "utf-8")

    shown = on_a_terminal(checkout, quick, "up")

    assert shown.code == 0, shown.text
    assert "Fetching packages: 1 of 1" in shown.raw
    assert "Requirement already satisfied" not in shown.raw
    assert shown.lines[-1] == f"{checkout}|up"[-len(shown.lines[-1]) :]
    assert "Fetching" not in shown.text
    assert not (checkout / ".venv" / ".pip.log").exists()


def test_on_a_terminal_pips_words_are_shown_where_it_fails(checkout: Path, quick: Path) -> None:
    """All of them, above the sentence that says that they are above."""
    (checkout / "requirements" / "base.txt").write_text("no-such-package-here==1\n", "utf-8")

    shown = on_a_terminal(checkout, quick, "up")

    assert shown.code == 1
    assert "No matching distribution found for no-such-package-here==1" in shown.words
    assert "pip could not install requirements/base.txt; its message is above" in shown.words


def test_a_package_that_is_not_the_one_meant_is_refused(checkout: Path, quick: Path) -> None:
    """A file with another hash than the requirements name, or with none, is not installed."""
    wheel = checkout.parent / "wheels" / "mine-1-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as made:
        made.writestr("mine.py", "")
        made.writestr(
            "mine-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: mine\nVersion: 1\n"
        )
        made.writestr(
            "mine-1.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        made.writestr("mine-1.dist-info/RECORD", "")
    right = hashlib.sha256(wheel.read_bytes()).hexdigest()
    extra = checkout / "requirements" / "extra.txt"
    ended = []
    for line in (f"mine==1 --hash=sha256:{'0' * 64}", "mine==1", f"mine==1 --hash=sha256:{right}"):
        extra.write_text(f"{line}\n", "utf-8")
        ended.append(run(checkout / "serin", "install", "extra", python=quick, wheels=wheel.parent))

    assert [one.returncode for one in ended] == [1, 1, 0], [one.stderr for one in ended]
    assert "DO NOT MATCH THE HASHES" in ended[0].stderr
    assert "Hashes are required" in ended[1].stderr


def test_ctrl_c_while_packages_are_fetched_says_how_to_go_on(checkout: Path, quick: Path) -> None:
    """Exit code 130 and a sentence; the lock is gone, and the next run installs."""
    base = checkout / "requirements" / "base.txt"
    base.write_text("pip==0\n", "utf-8")
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        deaf.settimeout(60)
        index = f"http://127.0.0.1:{deaf.getsockname()[1]}/simple"
        settings = {"SERIN_PYTHON": str(quick), "PIP_INDEX_URL": index, "PIP_NO_INDEX": "0"}
        running = Terminal(checkout, settings=settings).start(str(checkout / "serin"), "up")
        connection, _ = deaf.accept()  # pip asks, and is never answered
        running.interrupt()
        shown = running.ended(60)
        connection.close()
    base.write_text("# nothing\n", "utf-8")
    again = run(checkout / "serin", "up", python=quick)

    assert shown.code == 130
    assert "Stopped amid the installation. Run ./serin again" in shown.words
    assert not (checkout / ".serin").exists()
    assert again.returncode == 0, again.stderr


def test_a_failed_installation_is_not_taken_for_a_finished_one(checkout: Path, quick: Path) -> None:
    """Pip's message stays visible, the exit code is 1, and the next run tries again."""
    base = checkout / "requirements" / "base.txt"
    base.write_text("no-such-package-here==1\n", "utf-8")
    failed = run(checkout / "serin", "up", python=quick)
    base.write_text("# nothing\n", "utf-8")
    repaired = run(checkout / "serin", "up", python=quick)

    assert failed.returncode == 1
    assert "pip could not install requirements/base.txt" in failed.stderr
    assert "Without a network, pip takes packages from a folder" in failed.stderr
    assert repaired.returncode == 0, repaired.stderr
