"""The console as a process: python -m controlplane.console. `serin up` starts it.

It listens on loopback alone. In a cluster, loopback is the pod's: `kubectl port-forward` is the
only way in, and asks Kubernetes who may.
"""

import argparse
import logging
import os
import sys
from pathlib import Path

import uvicorn

from controlplane.console.app import Console
from controlplane.console.settings import Settings, token
from controlplane.console.sources.bundle import Sources
from controlplane.console.sources.cluster import Access
from controlplane.errors import SerinError
from controlplane.store import s3

LOOPBACK = "127.0.0.1"
CONNECTIONS = 128


def main() -> int:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(prog="python -m controlplane.console", description=__doc__)
    parser.add_argument("--port", type=int, default=8090, help="on loopback (default: 8090)")
    parser.add_argument("--gateway", default="", metavar="URL", help="the inference gateway")
    parser.add_argument("--prometheus", default="", metavar="URL")
    parser.add_argument("--kubeconfig", type=Path, help="default: the pod's service account")
    parser.add_argument("--token-file", type=Path, help="kept there; default: a new one each time")
    parser.add_argument("--logs", type=Path, help="of rollouts' engines; default: start none")
    parser.add_argument("--pushgateway", default="", metavar="URL", help="for engines")
    parser.add_argument("--read-only", action="store_true", help="pages only, no action")
    flags = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        host, port = (os.environ.get(f"KUBERNETES_SERVICE_{part}", "") for part in ("HOST", "PORT"))
        access = (
            Access.of_kubeconfig(flags.kubeconfig)
            if flags.kubeconfig
            else Access.of_pod(host, port)
        )
        settings = Settings(
            token=token(flags.token_file),
            gateway=flags.gateway.rstrip("/"),
            prometheus=flags.prometheus,
            store=s3.external(),
            read_only=flags.read_only,
            kubeconfig=flags.kubeconfig,
            logs=flags.logs,
            pushgateway=flags.pushgateway,
        )
    except (SerinError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201  a process' last word
        return 1
    if flags.token_file is None:
        address = f"http://{LOOPBACK}:{flags.port}/?token={settings.token}"
        print(f"The console: {address}", flush=True)  # noqa: T201  in a pod's log, its owner's
    uvicorn.run(
        Console(settings, Sources.of(settings, access)).app(),
        host=LOOPBACK,
        port=flags.port,
        access_log=False,  # it would write tokens down
        log_level="warning",
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=1,
        server_header=False,
        date_header=False,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
