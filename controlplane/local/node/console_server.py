"""The console as a process: pages for people, beside the gateway."""

import contextlib
import logging
import os
import secrets
import sys
import time
from dataclasses import dataclass

from controlplane import settings
from controlplane.local.node import processes
from controlplane.local.node.processes import Child
from controlplane.statefolder import ROOT, Home, read_json, write_json, write_text
from controlplane.store.s3 import Store

RESTART_SECONDS = 2.0
LONGEST_SECONDS = 60.0
"""Between two tries of a console that ends again and again."""
STOP_SECONDS = 3.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where it asks; it is started anew when they change."""

    gateway: str
    prometheus: str
    pushgateway: str
    store: Store


class Server:
    """The console of one state folder. Without it everything else works."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._folder = home.path / "pki"
        self.port = settings.port(settings.CONSOLE_PORT, 0)
        self._fixed = bool(self.port)
        self.error = ""
        """Why there is none; empty where it runs."""
        self.child: Child | None = None
        self._addresses: Addresses | None = None
        self._token = ""
        self._retry_at = 0.0
        self._pause = RESTART_SECONDS

    @property
    def url(self) -> str:
        """What opens it; empty where it does not run."""
        if self.child is None or self.child.exit_code() is not None:
            return ""
        return f"http://127.0.0.1:{self.port}/?token={self._token}"

    def step(self, addresses: Addresses) -> None:
        """Start it if it does not run, or asks elsewhere; at most every few seconds."""
        now, child = time.monotonic(), self.child
        code = child.exit_code() if child else None
        if child and code is None and now - child.started_at > LONGEST_SECONDS:
            self._pause = RESTART_SECONDS
        runs = child is not None and code is None
        if (runs and addresses == self._addresses) or now < self._retry_at:
            return
        if child and code is not None:
            self.error = f"The console ended ({code}): {child.log} says why."
            _LOG.error("%s Starting it again.", self.error)
            self._pause = min(2 * self._pause, LONGEST_SECONDS)
        self._retry_at = now + self._pause
        if self.child:
            self.child.kill()  # it holds nothing that could be lost
            self.child = None
        if not self._choose_port():
            return
        self._token = self._token or self._kept_token()
        command = [
            *(sys.executable, "-P", "-m", "controlplane.console"),
            f"--port={self.port}",
            f"--gateway={addresses.gateway}",
            f"--prometheus={addresses.prometheus}",
            f"--pushgateway={addresses.pushgateway}",
            f"--logs={self._home.logs}",
            f"--kubeconfig={self._home.kubeconfig}",
            f"--token-file={self._folder / 'console'}",
        ]
        env = {**os.environ, **addresses.store.env(), "PYTHONPATH": str(ROOT)}
        log = self._home.logs / "console.log"
        self.child = Child("The console", command, log, env, ROOT)
        self._addresses = addresses

    def state(self) -> dict[str, str]:
        """What `serin status` tells of it."""
        url = self.url
        return {"console_url": url, "console_error": "" if url else self.error}

    def stop(self) -> None:
        """Stop it."""
        if self.child:
            self.child.stop(STOP_SECONDS)
            self.child = None

    def _choose_port(self) -> bool:
        """The one that was asked for; else that of the last time, so that open pages go on."""
        kept = self._folder / "console.json"
        if not self._fixed:
            self.port = int(read_json(kept).get("port") or 0)
            if not self.port or not processes.is_free(self.port):
                self.port = processes.free_ports(1)[0]
            with contextlib.suppress(OSError):
                write_json(kept, {"port": self.port}, 0o600)
        elif not processes.is_free(self.port):
            self.error = (
                f"Port {self.port}, for the console, is taken: stop what listens there, or choose "
                "another with SERIN_CONSOLE_PORT (0 = any)."
            )
            return False
        return True

    def _kept_token(self) -> str:
        """The token of the last time, so that open pages and kept addresses go on; or a new one."""
        path = self._folder / "console"
        with contextlib.suppress(OSError):
            if kept := path.read_text("utf-8").strip():
                return kept
        fresh = secrets.token_urlsafe(24)
        write_text(path, fresh, 0o600)
        return fresh
