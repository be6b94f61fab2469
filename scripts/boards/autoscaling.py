"""What the triggers say, and what became of it."""

from scripts.boards.panel import PREDICTORS, READY, SCALERS, WANTED, WINDOW, Board, Panel, Query

_NAME = "{{horizontalpodautoscaler}}"
_OBJECTS = 'namespace="$namespace",scaledObject=~"($model)(-canary)?-predictor"'


def _scaler(metric: str, more: str = "") -> str:
    by = f"horizontalpodautoscaler{more}"
    return f"max by ({by}) (kube_horizontalpodautoscaler_{metric}{{{SCALERS}}})"


BOARD = Board(
    "autoscaling",
    "Serin / Autoscaling",
    (
        (
            "Signal",
            (
                Panel(
                    "Trigger",
                    "short",
                    (
                        Query(
                            "sum by (scaledObject, metric) "
                            f"(keda_scaler_metrics_value{{{_OBJECTS}}})",
                            "{{scaledObject}} {{metric}}",
                        ),
                    ),
                    "As KEDA reads it.",
                ),
                Panel(
                    "Threshold a replica",
                    "short",
                    (
                        Query(
                            _scaler("spec_target_metric", ", metric_name"),
                            f"{_NAME} {{{{metric_name}}}}",
                        ),
                    ),
                ),
                Panel(
                    "In flight, mean of a minute",
                    "short",
                    (
                        Query(
                            f"deployment:predictor_requests_in_flight:sum_avg1m{{{PREDICTORS}}}",
                            "{{deployment}}",
                        ),
                    ),
                    "What the trigger should say.",
                ),
            ),
        ),
        (
            "Replicas",
            (
                Panel(
                    "Desired and allowed",
                    "short",
                    (
                        Query(_scaler("status_desired_replicas"), f"{_NAME} desired"),
                        Query(_scaler("spec_min_replicas"), f"{_NAME} min"),
                        Query(_scaler("spec_max_replicas"), f"{_NAME} max"),
                    ),
                ),
                Panel(
                    "Wanted and ready",
                    "short",
                    (
                        Query(WANTED, "{{deployment}} wanted"),
                        Query(READY, "{{deployment}} ready"),
                    ),
                ),
            ),
        ),
        (
            "Trouble",
            (
                Panel(
                    "Trigger errors",
                    "short",
                    (
                        Query(
                            "sum by (scaledObject) "
                            f"(rate(keda_scaler_detail_errors_total{{{_OBJECTS}}}[{WINDOW}]))",
                            "{{scaledObject}}",
                        ),
                    ),
                    "A second. After failureThreshold errors in a row KEDA is on its fallback.",
                ),
                Panel(
                    "Start of a replica",
                    "s",
                    (
                        Query(
                            f"max by (deployment) (predictor_load_seconds{{{PREDICTORS}}})",
                            "{{deployment}}",
                        ),
                    ),
                    "From the start of the load to the golden sample answered.",
                ),
            ),
        ),
    ),
)
