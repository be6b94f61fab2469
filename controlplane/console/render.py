"""Templates with everything in them escaped, and the addresses of what they load."""

import functools
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from controlplane.console.pages import charts, words
from controlplane.console.settings import Settings

_HERE = Path(__file__).parent
STATIC = _HERE / "static"
PAGES = (
    ("models", "/", "Models"),
    ("rollouts", "/rollouts", "Rollouts"),
    ("channels", "/channels", "Channels"),
    ("training", "/training", "Training"),
    ("scaling", "/scaling", "Scaling"),
    ("alerts", "/alerts", "Alerts"),
    ("registry", "/registry", "Registry"),
)


class Renderer:
    """Makes a page from a template."""

    def __init__(self, settings: Settings, namespace: str) -> None:
        self._values: dict[str, Any] = {
            "namespace": namespace,
            "read_only": settings.read_only,
            "command": settings.command,
        }

    def __call__(
        self, request: Request, template: str, *, code: int = 200, **values: Any
    ) -> Response:
        """A page."""
        clock = datetime.now(UTC).strftime("%H:%M:%S UTC")
        page = _environment().get_template(template)
        text = page.render(clock=clock, **self._values, **values)
        return HTMLResponse(text, code)


@functools.cache
def _environment() -> Environment:
    """The templates, compiled once."""
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=words.clean,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "age": words.age,
        "duration": words.duration,
        "latency": words.latency,
        "rate": words.rate,
        "share": words.share,
        "segment": lambda text: quote(str(text), safe=""),
        "moment": words.moment,
    }
    environment.globals |= {
        "static": _addresses(),
        "pages": PAGES,
        "chart_width": charts.WIDTH,
        "chart_height": charts.HEIGHT,
        "spark_width": charts.SPARK_WIDTH,
        "spark_height": charts.SPARK_HEIGHT,
    }
    return environment


def _addresses() -> dict[str, str]:
    """File → its URL, which changes with the file."""
    return {
        path.name: f"/static/{path.name}?{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
        for path in STATIC.iterdir()
    }
