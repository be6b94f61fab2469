"""The options by which several verbs are told which cluster they ask."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

KUBECONFIG = (
    click.option(
        "--kubeconfig",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Default: KUBECONFIG, or this laptop's platform.",
    ),
    click.option("--context", help="Of the kubeconfig; default: its current one."),
)
NAMESPACE = click.option("-n", "--namespace", help="Default: the context's.")
Option = Callable[[Callable[..., Any]], Callable[..., Any]]


def taking(function: Callable[..., Any], *options: Option) -> Callable[..., Any]:
    """A verb with options, which its help lists in this order."""
    for option in reversed(options):
        function = option(function)
    return function
