"""What people and Prometheus see of requests: none of it changes an answer.

metrics         the series of one model version
token_metrics   those of models that read and write tokens
memory          where these numbers are
shared_metrics  the same, summed over worker processes in shared memory
together        the metrics of all engines of a process, on one page
scrapes         the port of /metrics
logs            JSON lines on stdout, requests' by a fast path
telemetry       OpenTelemetry spans, off unless an endpoint is set

Comes in: whatever serves requests. It knows v2's record of a call, and nothing of models,
transports or processes.
"""
