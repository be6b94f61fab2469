"""The S3 store: how to reach it and with which keys.

SERIN_S3_ENDPOINT with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY points to any S3, such as MinIO;
else it is the one that the platform starts on the state folder (local/node/s3_server.py).
"""

import os
import secrets
from dataclasses import dataclass

from controlplane.errors import SerinError
from controlplane.statefolder import Home, read_json, running, write_json

BUCKET = "models"


@dataclass(frozen=True, slots=True)
class Store:
    """How to reach the S3 store."""

    endpoint: str
    access_key: str
    secret_key: str
    region: str = "us-east-1"

    def env(self) -> dict[str, str]:
        """The variables that training scripts and other clients read."""
        return {
            "SERIN_S3_ENDPOINT": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
        }


def external() -> Store | None:
    """The store the environment names, if it names one.

    Raises:
        SerinError: An endpoint without keys.
    """
    endpoint = os.environ.get("SERIN_S3_ENDPOINT")
    if not endpoint:
        return None
    try:
        access, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    except KeyError as error:
        raise SerinError(
            f"SERIN_S3_ENDPOINT is {endpoint}, but {error.args[0]} is not set: set it, or unset "
            "SERIN_S3_ENDPOINT to use the S3 server that comes with Serin."
        ) from None
    return Store(endpoint, access, secret, os.environ.get("AWS_REGION") or "us-east-1")


def of_platform(home: Home) -> Store | None:
    """The store of the platform that runs in this state folder."""
    endpoint = read_json(home.state).get("s3_endpoint") if running(home) else None
    return Store(endpoint, *keys(home)) if endpoint else None


def keys(home: Home) -> tuple[str, str]:
    """This state folder's own key pair, so that no other local user can publish a model."""
    path = home.path / "s3.json"
    keys = read_json(path)
    if not keys:
        keys = {"access_key": "serin", "secret_key": secrets.token_hex(20)}
        home.path.mkdir(parents=True, exist_ok=True)
        write_json(path, keys, mode=0o600)
    return keys["access_key"], keys["secret_key"]
