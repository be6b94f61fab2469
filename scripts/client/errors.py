"""What can go wrong when a person asks a model.

ClientError            one sentence; click prints it and ends with `exit_code`
├── UsageError         asked wrongly: a count, a file, a model's name (exit 2)
└── RequestError       asked rightly and not answered (exit 1)
"""

import click


class ClientError(click.ClickException):
    """The base of this package's errors."""


class UsageError(ClientError):
    """The question does not fit the model."""

    exit_code = 2


class UnknownModelError(UsageError):
    """The gateway has no model of that name."""


class RequestError(ClientError):
    """The gateway cannot be reached, or it refused."""
