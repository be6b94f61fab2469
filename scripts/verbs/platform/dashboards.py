"""`serin dashboards`: writes Grafana's dashboards, or draws them from what runs here."""

from pathlib import Path

import click


@click.command("dashboards")
@click.option("--draw", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER")
@click.option("--minutes", type=click.FloatRange(min=1), default=15.0, show_default=True)
@click.option("--prometheus", "url", metavar="URL", help="Another Prometheus than this platform's.")
def command(draw: Path | None, minutes: float, url: str | None) -> None:
    """Write monitoring/dashboards from scripts/boards; `serin check` compares them.

    With --draw, draw each dashboard's panels over the last --minutes into FOLDER instead, as SVG,
    from the live data of a Prometheus. This needs no Grafana.
    """
    from controlplane import parts

    parts.install(["dashboards"])
    from scripts.boards import grafana

    if not draw:
        for path, content in grafana.files().items():
            path.write_text(content, "utf-8")
            click.echo(f"Written: {path}")
        return
    from scripts.boards import live
    from scripts.client import asked

    url = url or asked.prometheus()
    draw.mkdir(parents=True, exist_ok=True)
    for board in grafana.BOARDS:
        path = draw / f"{board.name}.svg"
        path.write_text(live.picture(url, board, minutes), "utf-8")
        click.echo(f"Written: {path}")
