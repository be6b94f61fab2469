"""A load while it runs: rich on a terminal, a line every few seconds elsewhere."""

import sys
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from scripts.loadtest.tally import Second, Tally
from scripts.show.durations import milliseconds

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live

WINDOW_SECONDS = 2.0
"""What "now" means."""
LINE_SECONDS = 5.0
DRAW_SECONDS = 0.5
BAR = 24


class View:
    """Shows what comes in; draw as often as you like, it draws as often as makes sense."""

    def __init__(
        self, title: str, seconds: float, tally: Tally, replicas: Callable[[], str]
    ) -> None:
        """Show nothing yet.

        Args:
            title: What is loaded.
            seconds: How long it takes.
            tally: The counts so far.
            replicas: Ready and wanted ones, as text; empty where nobody knows.
        """
        self._title = title
        self._seconds = seconds
        self._tally = tally
        self._replicas = replicas
        self._live: Live | None = None
        self._recent: deque[tuple[float, Second]] = deque()
        self._began = self._drawn = time.monotonic()

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), transient=True, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    def came(self, batch: Second) -> None:
        """Answers came in."""
        self._recent.append((time.monotonic(), batch))

    def draw(self) -> None:
        """Show it, if it is time."""
        now = time.monotonic()
        if now - self._drawn < (DRAW_SECONDS if self._live else LINE_SECONDS):
            return
        self._drawn = now
        while self._recent and self._recent[0][0] < now - WINDOW_SECONDS:
            self._recent.popleft()
        recent = Second()
        for _, batch in self._recent:
            recent.add(batch)
        width = min(WINDOW_SECONDS, now - self._began)
        if self._live:
            self._live.update(self._table(recent, width, now), refresh=True)
        else:
            sys.stderr.write(self._line(recent, width, now))
            sys.stderr.flush()

    def _line(self, recent: Second, width: float, now: float) -> str:
        quantiles = zip(("p50", "p95", "p99"), recent.quantiles(0.5, 0.95, 0.99), strict=True)
        parts = [
            f"{now - self._began:4.0f} s  {recent.requests / width:.0f}/s",
            *(f"{name} {milliseconds(value)}" for name, value in quantiles),
            f"{sum(recent.errors.values())} failed",
            *(f"{name or 'unknown'} {count}" for name, count in sorted(recent.versions.items())),
        ]
        if replicas := self._replicas():
            parts.append(f"replicas {replicas}")
        return "  ".join(parts) + "\n"

    def _table(self, recent: Second, width: float, now: float) -> "Group":
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        at = min(now - self._began, self._seconds)
        table = Table(box=None, pad_edge=False)
        for name in ("", "now", "so far"):
            table.add_column(name, justify="left" if not name else "right")
        total = self._tally.total
        answered = max(sum(total.versions.values()), 1)
        table.add_row(
            "requests a second",
            f"{recent.requests / width:,.0f}",
            f"{total.requests / max(at, 0.1):,.0f}",
        )
        latency = self._tally.latency
        for share, value in zip((0.5, 0.95, 0.99), recent.quantiles(0.5, 0.95, 0.99), strict=True):
            whole = latency.quantile(share) if latency.count else None
            table.add_row(f"p{100 * share:g}", milliseconds(value), milliseconds(whole))
        for what in sorted(total.errors):
            table.add_row(f"[red]{what}[/]", str(recent.errors[what]), str(total.errors[what]))
        for version, count in sorted(total.versions.items()):
            share = recent.versions[version] / max(sum(recent.versions.values()), 1)
            name = f"version {version or 'unknown'}"
            table.add_row(name, f"{share:.1%}", f"{count / answered:.1%}")
        if replicas := self._replicas():
            table.add_row("replicas ready/wanted", replicas, "")
        bar = ProgressBar(total=self._seconds, completed=at, width=BAR)
        table.add_row(bar, f"{at:.0f} of {self._seconds:.0f} s", "")
        return Group(Text(self._title, style="italic"), table)
