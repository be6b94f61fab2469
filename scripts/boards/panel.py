"""A dashboard without Grafana: rows of panels, each with its queries."""

from dataclasses import dataclass

PREDICTORS = 'namespace="$namespace",inferenceservice=~"$model"'
"""Matches the series of the chosen models' pods, stable and canary."""
DEPLOYMENTS = 'namespace="$namespace",deployment=~"($model)(-canary)?-predictor"'
"""The same in kube-state-metrics' series of Deployments."""
WANTED, READY = (
    # The exporter's restart changes other labels: one curve all the same.
    f"max by (deployment) (kube_deployment_{metric}{{{DEPLOYMENTS}}})"
    for metric in ("spec_replicas", "status_replicas_ready")
)
"""Replicas of each Deployment."""
SCALERS = 'namespace="$namespace",horizontalpodautoscaler=~"keda-hpa-($model)(-canary)?-predictor"'
FAULTS = 'outcome=~"error|rejected|deadline|unready"'
"""What is no fault of the client."""
WINDOW = "$__rate_interval"


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel."""

    expr: str
    legend: str
    """Grafana's: `{{label}}` stands for a label's value."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Curves over time."""

    title: str
    unit: str
    """Grafana's name of it: reqps, s, percentunit, short, bytes."""
    queries: tuple[Query, ...]
    text: str = ""
    """What to read from it."""


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard."""

    name: str
    """Of its file, and of its uid behind `serin-`."""
    title: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]
    """Titles with panels."""

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All of them."""
        return tuple(panel for _, panels in self.rows for panel in panels)


def quantile(share: float, metric: str, by: str) -> str:
    """A histogram's quantile over the window."""
    rates = f"sum by ({by}, le) (rate({metric}_bucket{{{PREDICTORS}}}[{WINDOW}]))"
    return f"histogram_quantile({share}, {rates})"


def rate(metric: str, by: str, more: str = "") -> str:
    """A counter's increase a second, summed."""
    return f"sum by ({by}) (rate({metric}{{{PREDICTORS}{more}}}[{WINDOW}]))"
