"""The queries of the pages. Names and labels are those of docs/promql.md."""

import json

FAULTS = 'outcome=~"error|rejected|deadline|unready"'
_REQUESTS = "predictor_requests_total"
_LATENCY = "predictor_request_duration_seconds_bucket"


def quoted(text: str) -> str:
    """A label's value in a query."""
    return json.dumps(text, ensure_ascii=False)


def chosen(namespace: str, model: str = "") -> str:
    """Selectors of a namespace's predictors, or of one model's."""
    selector = f"namespace={quoted(namespace)}"
    return f"{selector},inferenceservice={quoted(model)}" if model else selector


def requests(selector: str, by: str = "deployment") -> str:
    """Requests a second."""
    return f"sum by ({by}) (rate({_REQUESTS}{{{selector}}}[1m]))"


def failures(selector: str, by: str = "deployment") -> str:
    """The share of requests that ended by a fault of the platform's."""
    failed = f"sum by ({by}) (rate({_REQUESTS}{{{selector},{FAULTS}}}[1m]))"
    return f"({failed} or 0 * {requests(selector, by)}) / ({requests(selector, by)} > 0)"


def latency(selector: str, quantile: float, by: str = "deployment") -> str:
    """Seconds from a request's arrival to its answer."""
    return (
        f"histogram_quantile({quantile:g}, sum by ({by}, le) (rate({_LATENCY}{{{selector}}}[1m])))"
    )


def in_flight(selector: str, by: str = "deployment") -> str:
    """Requests received and not answered."""
    return f"sum by ({by}) (predictor_requests_in_flight{{{selector}}})"


def firing(namespace: str) -> str:
    """Alerts."""
    return f'ALERTS{{alertstate=~"firing|pending",namespace={quoted(namespace)}}}'
