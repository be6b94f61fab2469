"""What can keep a benchmark from being a result.

BenchmarkError         one sentence; click prints it and ends with 1
├── AnswerError        a server answered wrongly
├── NoAnswerError      a server did not answer, or refused; while it starts, that is no error
└── LoadError          a load had errors, or the load generator failed
"""

import click


class BenchmarkError(click.ClickException):
    """The base of this package's errors."""


class AnswerError(BenchmarkError):
    """A server answered wrongly."""


class NoAnswerError(BenchmarkError):
    """A server did not answer, or refused; while it starts, that is no error."""


class LoadError(BenchmarkError):
    """A load had errors, or the load generator failed."""
