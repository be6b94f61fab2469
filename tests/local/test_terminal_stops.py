"""Ctrl-C in every verb, on a terminal: exit code 130, no traceback, and nothing that outlives it.

A verb that asks somebody asks a server that takes the request and never answers, so that it is
stopped while it waits. The stops of `up` are in test_first_hour.py and test_start_and_stop.py.
"""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Self

import psutil
import pytest

from tests.local.test_terminal_verbs import COMMANDS, FLOWER, processes_of
from tests.support import model_files, required, trained
from tests.support.platform import wait_for
from tests.support.terminal import SIZES, Running, Terminal

CPU_SECONDS = 0.3
"""Of its own that a verb has used when it no longer only starts: Python and imports take more."""

ASKING = {
    "channel history": "channel history iris --kubeconfig KUBECONFIG",
    "channel rollback": "channel rollback iris --kubeconfig KUBECONFIG",
    "channel set": "channel set iris 1f2e --kubeconfig KUBECONFIG",
    "channel status": "channel status iris --kubeconfig KUBECONFIG",
    "chat": "chat causal-lm --host URL",
    "dashboards": "dashboards --draw DIR --prometheus URL",
    "infer": f"infer iris {FLOWER} --host URL",
    "infer --grpc": f"infer iris {FLOWER} --grpc --host URL",
    "load": f"load iris {FLOWER} --host URL",
    "models diff": "models diff iris a b",
    "models gc": "models gc --keep 1 --no-cluster",
    "models list": "models list",
    "models show": "models show iris a",
    "models verify": "models verify iris",
    "publish": "publish wine MODEL",
    "rollout abort": "rollout abort iris --kubeconfig KUBECONFIG",
    "rollout history": "rollout history iris --kubeconfig KUBECONFIG",
    "rollout pause": "rollout pause iris --kubeconfig KUBECONFIG",
    "rollout promote": "rollout promote iris --kubeconfig KUBECONFIG",
    "rollout resume": "rollout resume iris --kubeconfig KUBECONFIG",
    "rollout start": "rollout start iris 1f2e --kubeconfig KUBECONFIG --prometheus URL",
    "rollout status": "rollout status iris --kubeconfig KUBECONFIG",
    "runs cancel": "runs cancel f78b --kubeconfig KUBECONFIG",
    "runs compare": "runs compare f78b 03c1 --kubeconfig KUBECONFIG",
    "runs list": "runs list --kubeconfig KUBECONFIG",
    "runs logs": "runs logs f78b --kubeconfig KUBECONFIG",
    "runs show": "runs show f78b --kubeconfig KUBECONFIG",
    "top": "top --prometheus URL",
    "train --job": "train iris --job --kubeconfig KUBECONFIG",
    "train": "train iris",
}
"""Verbs that wait for somebody's answer, stopped while they do."""
WORKING = {
    "bench": ("bench --models iris --peers serin --artifacts ARTIFACTS --seconds 60", "wrk "),
    "check": ("check", "-m mypy"),
    "logs": ("logs -f", "old line"),
    "simulate": ("simulate keda/iris.yaml --minutes 100000", "scripts.cli simulate"),
    "test": ("test tests/unit/test_documents.py", "import sys, pytest"),
    "test PATH": ("test ENDLESS -p no:cacheprovider", "collected 1 item"),
    "train": ("train iris", "training.iris"),
}
"""Verbs that work themselves, stopped when they have written or started something."""
ELSEWHERE = {
    "up": "test_first_hour.py, test_start_and_stop.py",
    "rollback": "waits for a version, as `up` does",
    "install": "the wrapper's: test_wrapper.py",
}
AT_ONCE = {"down", "env", "new model", "remove model", "status"}
"""Verbs that end before a finger is on the keys, or end something that goes on without them."""

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: silent
contexts: [{name: silent, context: {cluster: silent, user: silent}}]
clusters: [{name: silent, cluster: {server: URL}}]
users: [{name: silent, user: {token: none}}]
"""


class Silent:
    """A server that takes what it is asked, and says nothing."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._taken: list[socket.socket] = []
        self.asked = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for connection in self._taken:
            connection.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._taken.append(connection)
            if connection.recv(1):
                self.asked.set()


@pytest.fixture
def silent() -> Iterator[Silent]:
    """A gateway, store, Prometheus and Kubernetes that never answers."""
    with Silent() as server:
        yield server


@pytest.fixture(params=SIZES, ids=["80x24", "120x40"])
def begin(request: pytest.FixtureRequest, tmp_path: Path, silent: Silent) -> Callable[..., Running]:
    """Starts a verb in a state folder of its own; capital words stand for what is made here."""
    columns, rows = request.param
    (tmp_path / "tmp").mkdir()
    logs = tmp_path / "state" / "logs"
    logs.mkdir(parents=True)
    (logs / "supervisor.log").write_text("old line\n", "utf-8")
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG.replace("URL", silent.url), "utf-8")
    endless = tmp_path / "test_endless.py"
    endless.write_text("import threading\ndef test_it(): threading.Event().wait()\n", "utf-8")

    def begun(line: str, store: str = "") -> Running:
        external = {"SERIN_S3_ENDPOINT": store, "AWS_ACCESS_KEY_ID": "a", "AWS_REGION": "a"}
        external["AWS_SECRET_ACCESS_KEY"] = "a"
        settings: Mapping[str, str] = {
            "SERIN_HOME": str(tmp_path / "state"),
            "SERIN_PORT": "0",
            "SERIN_S3_PORT": "0",
            "KUBECONFIG": "",
            "TMPDIR": str(tmp_path / "tmp"),
            **(external if store else {}),
        }
        meant = {
            "KUBECONFIG": kubeconfig,
            "URL": silent.url,
            "DIR": tmp_path / "new",
            "ENDLESS": endless,
            "MODEL": tmp_path / "model.onnx",
        }
        if "MODEL" in line:
            model_files.classifier(tmp_path / "model.onnx")
        if "ARTIFACTS" in line:
            required.binary("wrk")
            required.binary("h2load")
            meant["ARTIFACTS"] = tmp_path / "artifacts"
            (tmp_path / "artifacts").mkdir()
            (tmp_path / "artifacts" / "iris").symlink_to(trained.brief("iris"))
        words = [str(meant.get(word, word)) for word in line.split()]
        return Terminal(columns=columns, rows=rows, settings=settings).begin(*words)

    return begun


def assert_stops(running: Running, folder: Path) -> None:
    """Ctrl-C ends it, with 130, and leaves no process and no temporary file."""
    running.interrupt()
    shown = running.ended()

    assert shown.code in {130, -2}, shown.text
    assert "Traceback" not in shown.raw
    assert "Error" not in shown.raw
    assert processes_of(folder) == []
    assert list((folder / "tmp").iterdir()) == []


def test_every_verb_is_in_the_table() -> None:
    """Whoever adds a verb says where Ctrl-C meets it."""
    forms = {"infer --grpc", "test PATH", "train --job"}
    named = {*ASKING, *WORKING, *ELSEWHERE, *AT_ONCE} - forms

    assert named == set(COMMANDS)


@pytest.mark.parametrize("command", ASKING)
def test_ctrl_c_ends_a_verb_that_waits_for_an_answer(
    command: str, begin: Callable[..., Running], silent: Silent, tmp_path: Path
) -> None:
    """It does not wait for the answer's time limit."""
    asks_the_store = command in {"publish", "train"} or command.startswith(("channel", "models"))
    running = begin(ASKING[command], store=silent.url if asks_the_store else "")
    wait_for(silent.asked.is_set, 60, f"a request of {command}")

    assert_stops(running, tmp_path)


@pytest.mark.parametrize("command", WORKING)
def test_ctrl_c_ends_a_verb_that_works(
    command: str, begin: Callable[..., Running], tmp_path: Path
) -> None:
    """With all that it started."""
    line, ready = WORKING[command]
    running = begin(line)
    if command == "simulate":  # it writes nothing until it is done
        own = psutil.Process(running.pid)
        wait_for(lambda: own.cpu_times().user > CPU_SECONDS, 60, "the replay to begin")
    else:
        running.until(ready, or_starts=True)

    assert_stops(running, tmp_path)
