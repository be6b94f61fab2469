"""`serin top`: shows live rate, latency, replicas and alerts, from Prometheus."""

import math
import sys
import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Group

HEADER = (
    *("MODEL", "VERSION", "RATE", "FAILED", "CANCELLED", "P50", "P95", "P99"),
    *("IN FLIGHT", "REPLICAS"),
)
SPARED = ("P50", "IN FLIGHT", "REPLICAS")
"""Columns that a narrow terminal has no room for, the first to go first."""
SHORT = 7
"""Letters of a version on a terminal: as many as git shows of a commit."""
_REQUESTS = "predictor_requests_total"
_LATENCY = "predictor_request_duration_seconds_bucket"
_BY = "deployment, model_version"
_FAULTS = 'outcome=~"error|rejected|deadline|unready"'
_CANCELLED = 'outcome="cancelled"'


@click.command("top")
@click.argument("models", nargs=-1)
@click.option("--once", is_flag=True, help="Print one table and end; also where no terminal is.")
@click.option("--every", type=click.FloatRange(min=1), default=2.0, show_default=True)
@click.option("--prometheus", "url", metavar="URL", help="Instead of the one of this platform.")
@click.option("--namespace", "-n", default="models", show_default=True)
def command(
    models: tuple[str, ...], once: bool, every: float, url: str | None, namespace: str
) -> None:
    """Show rate, failures, latency, replicas of Deployments by version; rollouts and alerts.

    All figures cover the last minute. Ctrl-C ends it.
    """
    from scripts.client import asked
    from scripts.show import columns, lines

    if not url:
        for name in models:
            asked.served(name)
        url = asked.prometheus()
    chosen = f'namespace="{namespace}",inferenceservice=~"{"|".join(models) or ".+"}"'
    if once or not sys.stdout.isatty():
        told = rows(url, chosen, namespace)
        width = lines.columns() if sys.stdout.isatty() else None
        columns.show(*(fitted(told, width) if width else (HEADER, told)))
        for line in (*_rollouts(url, namespace), *_alerts(url, namespace)):
            click.echo(line)
        return
    from rich.live import Live

    with Live(screen=True, auto_refresh=False) as live:
        while True:
            live.update(_screen(url, chosen, namespace), refresh=True)
            time.sleep(every)


def rows(url: str, chosen: str, namespace: str) -> list[tuple[str, ...]]:
    """One for each version of each Deployment, stable and canary.

    Raises:
        SerinError: Prometheus does not answer.
    """
    from scripts.show.durations import milliseconds

    def asked(expr: str) -> "dict[tuple[str, str], float]":
        return _by_version(url, expr)

    rate = asked(f"sum by ({_BY}) (rate({_REQUESTS}{{{chosen}}}[1m]))")
    cancelled = asked(f"sum by ({_BY}) (rate({_REQUESTS}{{{chosen},{_CANCELLED}}}[1m]))")
    failed = asked(f"sum by ({_BY}) (rate({_REQUESTS}{{{chosen},{_FAULTS}}}[1m]))")
    flight = asked(f"sum by ({_BY}) (predictor_requests_in_flight{{{chosen}}})")
    latency = [
        asked(f"histogram_quantile({share}, sum by ({_BY}, le) (rate({_LATENCY}{{{chosen}}}[1m])))")
        for share in (0.5, 0.95, 0.99)
    ]
    ready, wanted = (
        asked(f'sum by (deployment) (kube_deployment_{name}{{namespace="{namespace}"}})')
        for name in ("status_replicas_ready", "spec_replicas")
    )
    found = []
    for key in sorted(flight, key=by_model):
        name, version = key
        found.append(
            (
                model(name),
                version,
                f"{rate.get(key, 0.0):.1f}/s",
                *(
                    f"{one.get(key, 0.0) / rate[key] if rate.get(key) else 0.0:.2%}"
                    for one in (failed, cancelled)
                ),
                *(milliseconds(_number(one.get(key))) for one in latency),
                f"{flight[key]:.0f}",
                "/".join(_count(one.get((name, ""))) for one in (ready, wanted)),
            )
        )
    return found


def by_model(key: tuple[str, str]) -> tuple[str, str]:
    """The order of rows, by (Deployment, version): a model, then its canary."""
    deployment, version = key
    return model(deployment), version


def model(deployment: str) -> str:
    """Whose Deployment it is: `iris`, or `iris canary`."""
    name = deployment.removesuffix("-predictor")
    return f"{name.removesuffix('-canary')} canary" if name.endswith("-canary") else name


def fitted(
    found: "Sequence[tuple[str, ...]]", width: int
) -> "tuple[tuple[str, ...], list[tuple[str, ...]]]":
    """Header and rows for a terminal: short versions, and only columns that it has room for."""
    kept = [HEADER.index(name) for name in HEADER]
    cut = HEADER.index("VERSION")
    table = [HEADER, *((*row[:cut], row[cut][:SHORT], *row[cut + 1 :]) for row in found)]
    clients = HEADER.index("CANCELLED")
    if all(row[clients] == "0.00%" for row in found):
        kept.remove(clients)
    for name in SPARED:
        if sum(max(len(row[at]) for row in table) + 2 for at in kept) - 2 <= width:
            break
        kept.remove(HEADER.index(name))
    header, *rest = (tuple(row[at] for at in kept) for row in table)
    return header, rest


def _rollouts(url: str, namespace: str) -> list[str]:
    """What rollouts that go on say of their canaries."""
    from scripts.boards import live
    from scripts.boards.rollout import VERDICT

    found = live.instant(url, VERDICT.replace("$namespace", namespace))
    said = sorted((labels["inferenceservice"], labels["decision"]) for labels, _ in found)
    return [f"ROLLOUT {name}: {word} (serin rollout status {name})" for name, word in said]


def _alerts(url: str, namespace: str) -> list[str]:
    """Alerts that fire, each with what it is about."""
    from scripts.boards import live

    firing = f'ALERTS{{alertstate="firing",namespace="{namespace}"}}'
    return sorted(f"ALERT {_words(labels)}" for labels, _ in live.instant(url, firing))


def _words(labels: "Mapping[str, str]") -> str:
    about = labels.get("deployment") or labels.get("inferenceservice") or ""
    about = about or labels.get("scaledObject") or labels.get("horizontalpodautoscaler") or ""
    name = labels["alertname"]
    return f"{labels.get('severity', '')} {name} {about} (docs/runbooks/{name}.md)"


def _screen(url: str, chosen: str, namespace: str) -> "Group":
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from scripts.show import lines

    table = Table(box=None, pad_edge=False, title=time.strftime("%H:%M:%S"), title_justify="left")
    header, found = fitted(rows(url, chosen, namespace), lines.columns())
    for title in header:
        table.add_column(title, justify="left" if title in HEADER[:2] else "right")
    for row in found:
        table.add_row(*row)
    said = [Text(one) for one in _rollouts(url, namespace)]
    return Group(table, *said, *(Text(one, style="red") for one in _alerts(url, namespace)))


def _by_version(url: str, expr: str) -> dict[tuple[str, str], float]:
    from scripts.boards import live

    return {
        (labels.get("deployment", ""), labels.get("model_version", "")): value
        for labels, value in live.instant(url, expr)
    }


def _count(value: float | None) -> str:
    """A dash where nobody exports it, as without kube-state-metrics."""
    return "–" if value is None else f"{value:.0f}"


def _number(value: float | None) -> float | None:
    """None for NaN: nothing was asked in the last minute."""
    return None if value is None or math.isnan(value) else value
