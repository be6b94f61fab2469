"""A value, or why there is none: what fails spoils its own box on a page."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from controlplane.errors import SerinError

Item = TypeVar("Item")
Row = TypeVar("Row")
Value = TypeVar("Value")
MALFORMED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading a document raises that is not of the form it should have."""


class SourceError(SerinError):
    """A source does not answer, refuses, or answers too much; one sentence."""

    status = 502
    """What the console answers then."""


class ForbiddenError(SourceError):
    """The console's credentials lack a right; the sentence is the source's own."""

    status = 403


@dataclass(frozen=True, slots=True)
class Answer(Generic[Value]):
    """What a source said."""

    value: Value
    error: str = ""


async def answered(asking: Awaitable[Value], otherwise: Value) -> Answer[Value]:
    """The value, or `otherwise` with the reason."""
    try:
        return Answer(await asking)
    except SerinError as error:
        return Answer(otherwise, str(error))
    except asyncio.CancelledError:
        raise
    except MALFORMED as error:
        return Answer(otherwise, f"The answer has an unexpected form: {type(error).__name__}.")


def each(
    items: Iterable[Item], read: Callable[[Item], Row], spoiled: Callable[[Item], Row]
) -> list[Row]:
    """A row for each; one that cannot be read gets the row that says so."""
    rows = []
    for item in items:
        try:
            rows.append(read(item))
        except MALFORMED:
            rows.append(spoiled(item))
    return rows
