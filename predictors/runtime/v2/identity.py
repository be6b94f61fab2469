"""What V2's server metadata says of this server, over either transport."""

from importlib.metadata import version

EXTENSIONS = ("binary_tensor_data", "classification", "model_configuration")
SERVER_NAME = "serin"


def server_version() -> str:
    """The version of kserve that this server stands on, as V2's server metadata reports it."""
    return version("kserve")
