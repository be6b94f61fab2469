"""A dashboard as Grafana's JSON, by Grafana's own builders, and where it is committed."""

import json
from pathlib import Path

from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DatasourceVariable,
    QueryVariable,
    Row,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.timeseries import Panel as Timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.dashboard import GridPos, VariableRefresh

from scripts.boards import autoscaling, overview, rollout, training
from scripts.boards.panel import Board, Panel

FOLDER = Path(__file__).parents[2] / "monitoring" / "dashboards"
BOARDS = (overview.BOARD, rollout.BOARD, autoscaling.BOARD, training.BOARD)
_SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
_WIDTH, _HEIGHT = 24, 8  # of Grafana's grid


def files() -> dict[Path, str]:
    """Every dashboard's file and content."""
    return {FOLDER / f"{board.name}.json": as_json(board) for board in BOARDS}


def as_json(board: Board) -> str:
    """The JSON that Grafana imports."""
    dashboard = (
        Dashboard(board.title)
        .uid(f"serin-{board.name}")
        .tags(["serin"])
        .refresh("10s")
        .time("now-30m", "now")
        .with_variable(DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    if board is training.BOARD:
        _choose(dashboard, "model", 'label_values(push_time_seconds{job="training"}, model)')
    else:
        series = "predictor_requests_in_flight"
        dashboard.with_variable(
            QueryVariable("namespace")
            .datasource(_SOURCE)
            .query(f"label_values({series}, namespace)")
            .refresh(VariableRefresh.ON_DASHBOARD_LOAD)
        )
        chosen = f'label_values({series}{{namespace="$namespace"}}, inferenceservice)'
        _choose(dashboard, "model", chosen)
    y = 0
    for title, panels in board.rows:
        dashboard.with_row(Row(title).grid_pos(GridPos(h=1, w=_WIDTH, x=0, y=y)))
        y += 1
        width = _WIDTH // min(len(panels), 4)
        for number, panel in enumerate(panels):
            x = number % 4 * width
            place = GridPos(h=_HEIGHT, w=width, x=x, y=y + number // 4 * _HEIGHT)
            dashboard.with_panel(_panel(panel, place))
        y += _HEIGHT * -(-len(panels) // 4)
    text: str = JSONEncoder(sort_keys=True, indent=1).encode(dashboard.build())
    return json.dumps(json.loads(text), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _choose(dashboard: Dashboard, name: str, query: str) -> None:
    dashboard.with_variable(
        QueryVariable(name)
        .datasource(_SOURCE)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".+")
    )


def _panel(panel: Panel, place: GridPos) -> Timeseries:
    found = Timeseries().title(panel.title).unit(panel.unit).datasource(_SOURCE).grid_pos(place)
    found.min(0)
    if panel.text:
        found.description(panel.text)
    for number, query in enumerate(panel.queries):
        found.with_target(
            Dataquery()
            .datasource(_SOURCE)
            .expr(query.expr)
            .legend_format(query.legend)
            .ref_id("ABCDEF"[number])
        )
    return found
