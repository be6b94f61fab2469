"""Call: one infer call from its first byte to its answer, as its log line tells it."""


class Call:
    """Filled in as the call goes on; a failed one stays as far as it came."""

    __slots__ = ("client_id", "protocol", "request_id", "rows", "started", "traceparent")

    def __init__(self, protocol: str, started: float) -> None:
        self.protocol = protocol
        self.started = started  # time.perf_counter()
        self.request_id = ""
        self.client_id = ""  # x-request-id, as Envoy sets it
        self.traceparent = ""
        self.rows = 0
