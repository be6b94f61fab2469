"""A canary against the stable version, on the same axes."""

from scripts.boards.panel import (
    FAULTS,
    PREDICTORS,
    READY,
    WINDOW,
    Board,
    Panel,
    Query,
    quantile,
    rate,
)

_REQUESTS = "predictor_requests_total"
_LATENCY = "predictor_request_duration_seconds"
_NAME = "{{deployment}}"
_ON = "inferenceservice"
_CANARY = ',deployment=~".+-canary-predictor"'
_STABLE = ',deployment!~".+-canary-predictor"'
_BY = "deployment, model_version"
_VERSION = "{{deployment}} {{model_version}}"
_CLASSES = f"{rate('predictor_answers_total', 'deployment, class')}"
_CHANNEL = "predictor_channel"
_CONFIDENCE = "predictor_confidence"
_PUSHED = 'job="rollout",namespace="$namespace",inferenceservice=~"$model"'
_LATELY = f"and on ({_ON}) time() - max by ({_ON}) (push_time_seconds{{{_PUSHED}}}) < 60"
"""Of a rollout that goes on: what one pushed last stays in the Pushgateway."""
VERDICT = f"(max by ({_ON}, decision) (rollout_verdict{{{_PUSHED}}}) > 0) {_LATELY}"


def _latency(share: float) -> Panel:
    return Panel(f"p{100 * share:g}", "s", (Query(quantile(share, _LATENCY, _BY), _VERSION),))


BOARD = Board(
    "rollout",
    "Serin / Rollout",
    (
        (
            "Weight",
            (
                Panel(
                    "Canary's share",
                    "percentunit",
                    (
                        Query(
                            "kube_customresource_inferenceservice_canary_traffic_percent"
                            f"{{{PREDICTORS}}} / 100",
                            "{{inferenceservice}} asked",
                        ),
                        Query(
                            f"{rate(_REQUESTS, _ON, _CANARY)} / {rate(_REQUESTS, _ON)}",
                            "{{inferenceservice}} measured",
                        ),
                    ),
                    "A canary gets requests only while it is ready.",
                ),
                Panel(
                    "Verdict",
                    "short",
                    (Query(VERDICT, "{{inferenceservice}} {{decision}}"),),
                    "What serin rollout says of the canary. Its numbers: ./serin rollout status "
                    "MODEL.",
                ),
                Panel(
                    "Evidence, of what aborts",
                    "percentunit",
                    (
                        Query(
                            f"clamp(ln(max by ({_ON}, guard) (rollout_evidence{{{_PUSHED}}})) "
                            f"/ on ({_ON}) group_left () "
                            f"ln(max by ({_ON}) (rollout_evidence_alarm{{{_PUSHED}}})), 0, 1) "
                            f"{_LATELY}",
                            "{{inferenceservice}} {{guard}}",
                        ),
                    ),
                    "Logarithm of each guard's e-value over the alarm's: at 100 % the canary goes.",
                ),
                Panel("Requests", "reqps", (Query(rate(_REQUESTS, _BY), _VERSION),)),
                Panel(
                    "Requests in 5 minutes",
                    "short",
                    (
                        Query(
                            f"sum by (deployment) (increase({_REQUESTS}{{{PREDICTORS}}}[5m]))",
                            _NAME,
                        ),
                    ),
                    "What a judgement has to go by.",
                ),
                Panel("Replicas ready", "short", (Query(READY, _NAME),)),
            ),
        ),
        (
            "Stable against canary",
            (
                Panel(
                    "Failed",
                    "percentunit",
                    (
                        Query(
                            f"{rate(_REQUESTS, _BY, ',' + FAULTS)} / {rate(_REQUESTS, _BY)}",
                            _VERSION,
                        ),
                    ),
                ),
                _latency(0.5),
                _latency(0.99),
                Panel(
                    "p99, canary over stable",
                    "short",
                    (
                        Query(
                            f"histogram_quantile(0.99, sum by ({_ON}, le) "
                            f"(rate({_LATENCY}_bucket{{{PREDICTORS}{_CANARY}}}[{WINDOW}])))"
                            f" / histogram_quantile(0.99, sum by ({_ON}, le) "
                            f"(rate({_LATENCY}_bucket{{{PREDICTORS}{_STABLE}}}[{WINDOW}])))",
                            "{{inferenceservice}}",
                        ),
                    ),
                    "Above 1 the canary is slower.",
                ),
                Panel(
                    "Processor",
                    "short",
                    (Query(rate("process_cpu_seconds_total", _BY.partition(",")[0]), _NAME),),
                    "Cores.",
                ),
            ),
        ),
        (
            "Answers of classifiers",
            (
                Panel(
                    "Share of each class",
                    "percentunit",
                    (
                        Query(
                            f"{_CLASSES} / on (deployment) group_left ()"
                            f" {rate('predictor_answers_total', 'deployment')}",
                            "{{deployment}} {{class}}",
                        ),
                    ),
                    "A canary that answers another distribution has drifted.",
                ),
                Panel(
                    "Mean confidence",
                    "percentunit",
                    (
                        Query(
                            f"{rate(_CONFIDENCE + '_sum', 'deployment')}"
                            f" / {rate(_CONFIDENCE + '_count', 'deployment')}",
                            _NAME,
                        ),
                    ),
                ),
            ),
        ),
        (
            "Channel",
            (
                Panel(
                    "Mixed versions",
                    "s",
                    (
                        Query(
                            f"deployment:predictor_channel_window_seconds:max{{{PREDICTORS}}}",
                            _NAME,
                        ),
                    ),
                    "How far apart the replicas of a channel switched last.",
                ),
                Panel(
                    "Generation",
                    "short",
                    tuple(
                        Query(
                            f"{how} by (deployment) ({_CHANNEL}_{what}_generation{{{PREDICTORS}}})",
                            what,
                        )
                        for how, what in (("max", "seen"), ("min", "prepared"), ("min", "serving"))
                    ),
                    "The newest that a replica has seen, and the oldest that one has and serves.",
                ),
            ),
        ),
    ),
)
