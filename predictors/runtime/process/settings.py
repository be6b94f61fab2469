"""PREDICTOR_* environment variables: what an operator may set and kserve has no flag for."""

import socket
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read once at start; every wrong value is reported then, together."""

    model_config = SettingsConfigDict(env_prefix="PREDICTOR_", frozen=True)

    host: str = "0.0.0.0"
    """Address that REST, gRPC and metrics listen on."""

    metrics_port: int = Field(default=8082, ge=0, le=65535)
    """Port of /metrics. Its own, since the gateway exposes all of the serving ports."""

    max_body_bytes: int = Field(default=8 << 20, ge=1)
    """Largest REST body, and largest after decompression; 413 past it. As kserve's gRPC limit."""

    max_held_bytes: int = Field(default=0, ge=0)
    """Bytes of requests and answers held at once, over REST and gRPC, from the first byte received
    to the last one sent; 429 past it. 0: a quarter of what the memory limit of the control group
    leaves free after loading, at most 128 MiB. One connection holds at most half."""

    queue_size: int = Field(default=256, ge=1)
    """Requests of one model that may wait or run at once; 429 past it. Below Envoy's 1,024, so
    the predictor and not the proxy decides; at most 0.3 s of waiting for a model that is answered
    inline (under 1 ms each). For a slow model, set it to what may wait within a client's
    patience."""

    queue_seconds: float = Field(default=10.0, gt=0, allow_inf_nan=False)
    """How long a request may have to wait, as far as the last calls tell; what would wait longer,
    or longer than its own deadline, is refused when it comes (429). Not for models that stream:
    those schedule requests themselves."""

    max_batch_rows: int = Field(default=64, ge=1)
    """Rows computed in one call of `infer`; larger requests are cut, small ones gathered."""

    drain_seconds: float = Field(default=5.0, ge=0)
    """After SIGTERM: how long to go on serving, unready, while proxies look elsewhere. Ends early
    once a second passes without a request."""

    threads: int = Field(default=1, ge=1)
    """Threads of the inference engine. One: replicas scale better than threads at these sizes."""

    artificial_cpu_seconds: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Burnt for each row, to show scaling with a model that is fast. Never for real use: metadata
    and a warning at start tell of it."""

    channel: str = ""
    """s3://BUCKET/MODEL@NAME: follow that channel, and swap versions with every other replica of it
    (docs/channels.md). Empty: serve the version of --model_dir until the end."""

    channel_dir: Path | None = None
    """Where versions of the channel are downloaded to. Unset: a temporary folder of its own."""

    replica: str = Field(default_factory=socket.gethostname, pattern="^[A-Za-z0-9][-.A-Za-z0-9]*$")
    """This replica's name in its channel; a pod's name is its host's name."""

    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    """DEBUG, INFO, WARNING or ERROR. Requests are logged at INFO."""
