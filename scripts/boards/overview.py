"""What every model does now: requests, failures, latency, capacity, budget."""

from scripts.boards.panel import (
    FAULTS,
    PREDICTORS,
    READY,
    WANTED,
    Board,
    Panel,
    Query,
    quantile,
    rate,
)

_VERSION = "inferenceservice, model_version"
_LEGEND = "{{inferenceservice}} {{model_version}}"
_LATENCY = "predictor_request_duration_seconds"
_REQUESTS = "predictor_requests_total"
_CANCELLED = ',outcome="cancelled"'
_BURNT = "inferenceservice:predictor_errors:ratio_rate"


def _latency(share: float) -> Panel:
    query = Query(quantile(share, _LATENCY, _VERSION), _LEGEND)
    return Panel(f"p{100 * share:g}", "s", (query,), "From a request's arrival to its answer.")


BOARD = Board(
    "overview",
    "Serin / Overview",
    (
        (
            "Requests",
            (
                Panel("Requests", "reqps", (Query(rate(_REQUESTS, _VERSION), _LEGEND),)),
                Panel(
                    "Requests by outcome",
                    "reqps",
                    (Query(rate(_REQUESTS, "outcome"), "{{outcome}}"),),
                    "invalid and cancelled are the client's; rejected is a full queue.",
                ),
                Panel(
                    "Failed",
                    "percentunit",
                    (
                        Query(
                            f"{rate(_REQUESTS, 'inferenceservice', ',' + FAULTS)}"
                            f" / {rate(_REQUESTS, 'inferenceservice')}",
                            "{{inferenceservice}}",
                        ),
                        Query(
                            f"{rate(_REQUESTS, 'inferenceservice', _CANCELLED)}"
                            f" / {rate(_REQUESTS, 'inferenceservice')}",
                            "{{inferenceservice}} cancelled",
                        ),
                    ),
                    "Share of requests that ended by a fault of ours; cancelled: the client gave "
                    "up, which many do where answers are late.",
                ),
            ),
        ),
        ("Latency", (_latency(0.5), _latency(0.95), _latency(0.99))),
        (
            "Where the time goes",
            (
                Panel(
                    "Requests waiting",
                    "short",
                    (
                        Query(
                            rate("predictor_queue_duration_seconds_sum", "deployment"),
                            "{{deployment}}",
                        ),
                    ),
                    "On average: seconds waited in a second. Short calls never queue.",
                ),
                Panel(
                    "Model busy",
                    "short",
                    (
                        Query(
                            rate("predictor_infer_duration_seconds_sum", "deployment"),
                            "{{deployment}}",
                        ),
                    ),
                    "Seconds within the model in a second.",
                ),
                Panel(
                    "Rows in a call",
                    "short",
                    (
                        Query(
                            f"{rate('predictor_batch_rows_sum', 'deployment')}"
                            f" / {rate('predictor_batch_rows_count', 'deployment')}",
                            "{{deployment}}",
                        ),
                    ),
                    "Requests that arrive together are computed together.",
                ),
            ),
        ),
        (
            "Capacity",
            (
                Panel(
                    "In flight",
                    "short",
                    (
                        Query(
                            f"sum by (deployment) (predictor_requests_in_flight{{{PREDICTORS}}})",
                            "{{deployment}}",
                        ),
                    ),
                    "Requests received and not answered: what the models are scaled on.",
                ),
                Panel(
                    "Replicas",
                    "short",
                    (
                        Query(WANTED, "{{deployment}} wanted"),
                        Query(READY, "{{deployment}} ready"),
                    ),
                ),
                Panel(
                    "Processor",
                    "short",
                    (Query(rate("process_cpu_seconds_total", "deployment"), "{{deployment}}"),),
                    "Cores.",
                ),
                Panel(
                    "Memory",
                    "bytes",
                    (
                        Query(
                            f"sum by (deployment) (process_resident_memory_bytes{{{PREDICTORS}}})",
                            "{{deployment}}",
                        ),
                    ),
                ),
            ),
        ),
        (
            "Error budget",
            (
                Panel(
                    "Burn rate",
                    "short",
                    (
                        Query(
                            f"{_BURNT}5m{{{PREDICTORS}}} / 0.001",
                            "{{inferenceservice}} 5 min",
                        ),
                        Query(
                            f"{_BURNT}1h{{{PREDICTORS}}} / 0.001",
                            "{{inferenceservice}} 1 h",
                        ),
                    ),
                    "1 uses up the month's budget, 0.1 % of requests, in a month; 14.4 pages.",
                ),
                Panel(
                    "Too slow",
                    "percentunit",
                    (
                        Query(
                            f"inferenceservice:predictor_slow:ratio_rate5m{{{PREDICTORS}}}",
                            "{{inferenceservice}}",
                        ),
                    ),
                    "Share of requests past their latency objective; 1 % is the budget.",
                ),
            ),
        ),
    ),
)
