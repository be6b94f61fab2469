"""A replay as an SVG: load, replicas, queue and latency over one time axis."""

from collections.abc import Sequence

from controlplane.simulation.replay import Run
from scripts.show import curves
from scripts.show.curves import POINTS, Line, Panel


def picture(run: Run, panels: Sequence[Panel], note: str) -> str:
    """Draw panels below each other; `note` stands at the foot."""
    title = f"ScaledObject {run.rule.name}: {run.rule.hpa_min_replicas}"
    title = f"{title} to {run.rule.max_replica_count} replicas"
    return curves.picture(title, panels, len(run.moments) - 1, note)


def of_service(run: Run, slo_seconds: float) -> list[Panel]:
    """Panels of a run with simulated pods."""
    return [
        Panel("requests a second", [Line([moment.rate for moment in run.moments])]),
        replicas(run),
        Panel("requests that wait", [Line([float(moment.waiting) for moment in run.moments])]),
        Panel("95th percentile, seconds (red: objective)", [Line(_p95(run))], limit=slo_seconds),
    ]


def of_metric(run: Run) -> list[Panel]:
    """Panels of a run on recorded metrics."""
    readings = [moment.reading for moment in run.moments]
    return [Panel("metric (gaps: the query failed)", [Line(readings)], steps=True), replicas(run)]


def replicas(run: Run) -> Panel:
    """Replicas wanted as a line, ready as an area, the maximum in red."""
    return Panel(
        "replicas: wanted, ready (area), maximum (red)",
        [Line([float(moment.wanted) for moment in run.moments])],
        steps=True,
        area=[float(moment.ready) for moment in run.moments],
        limit=float(run.rule.max_replica_count),
    )


def _p95(run: Run) -> list[float | None]:
    """Of requests that came within the same 1/POINTS of the time."""
    count = len(run.moments)
    width = max(count // POINTS, 5)
    slots: dict[int, list[float]] = {}
    for came, latency in run.latencies:
        slots.setdefault(int(came) // width, []).append(latency)
    found = {slot: sorted(all_)[int(0.95 * len(all_))] for slot, all_ in slots.items()}
    return [found.get(second // width) for second in range(count)]
