"""What the triggers say, and what became of it."""

from scripts.boards.panel import DEPLOYMENTS, PREDICTORS, SCALERS, WINDOW, Board, Panel, Query

_HPA = "kube_horizontalpodautoscaler"
_NAME = "{{horizontalpodautoscaler}}"
_OBJECTS = 'namespace="$namespace",scaledObject=~"($model)(-canary)?-predictor"'

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
                            f"{_HPA}_spec_target_metric{{{SCALERS}}}",
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
                        Query(f"{_HPA}_status_desired_replicas{{{SCALERS}}}", f"{_NAME} desired"),
                        Query(f"{_HPA}_spec_min_replicas{{{SCALERS}}}", f"{_NAME} min"),
                        Query(f"{_HPA}_spec_max_replicas{{{SCALERS}}}", f"{_NAME} max"),
                    ),
                ),
                Panel(
                    "Wanted and ready",
                    "short",
                    (
                        Query(
                            f"kube_deployment_spec_replicas{{{DEPLOYMENTS}}}",
                            "{{deployment}} wanted",
                        ),
                        Query(
                            f"kube_deployment_status_replicas_ready{{{DEPLOYMENTS}}}",
                            "{{deployment}} ready",
                        ),
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
