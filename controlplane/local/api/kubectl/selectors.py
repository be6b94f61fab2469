"""labelSelector and fieldSelector of a query, as predicates. Pure."""

import re
from collections.abc import Callable, Mapping

from controlplane.kubernetes.meta import Object
from controlplane.kubernetes.refusals import BadRequest

Predicate = Callable[[Object], bool]
Labels = Mapping[str, str]

_SET = re.compile(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)")
_EQUAL = re.compile(r"([^!=,\s]+)\s*(==|=|!=)\s*([^,\s]*)")
_NAME = re.compile(r"(!?)\s*([\w./-]+)")


def selected(labels: str, fields: str) -> Predicate:
    """Whether an object fits both selectors; an empty one fits everything.

    Raises:
        BadRequest: A selector cannot be read.
    """
    wanted = [_label(term) for term in _terms(labels)]
    values = [_field(term) for term in _terms(fields)]

    def fits(one: Object) -> bool:
        has = one["metadata"].get("labels") or {}
        return all(test(has) for test in wanted) and all(test(one) for test in values)

    return fits


def _terms(text: str) -> list[str]:
    """Split at commas that are not inside of parentheses."""
    return [term.strip() for term in re.split(r",(?![^(]*\))", text) if term.strip()]


def _label(term: str) -> Callable[[Labels], bool]:
    if found := _SET.fullmatch(term):
        key, operator = found[1], found[2]
        values = {value.strip() for value in found[3].split(",")}
        if operator == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUAL.fullmatch(term):
        key, operator, value = found.groups()
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _NAME.fullmatch(term):
        absent, key = bool(found[1]), found[2]
        return lambda labels: (key in labels) is not absent
    raise BadRequest(f"unable to parse requirement: {term!r}")


def _field(term: str) -> Predicate:
    found = _EQUAL.fullmatch(term)
    if not found:
        raise BadRequest(f"invalid field selector: {term!r}")
    path, operator, value = found.groups()

    def fits(one: Object) -> bool:
        here: object = one
        for name in path.split("."):
            here = here.get(name) if isinstance(here, dict) else None
        return (("" if here is None else str(here)) == value) is (operator != "!=")

    return fits
