"""One engine as a process: python -m controlplane.rollout MODEL. `serin rollout` starts it."""

import argparse
import logging
import os
import socket
import sys
import uuid
from pathlib import Path

from controlplane.errors import SerinError
from controlplane.kubernetes.client import Access, Kubernetes
from controlplane.prometheus import Prometheus
from controlplane.rollout.engine import Engine


def main() -> int:
    """Run until the rollout is over; 1 where the cluster does not answer."""
    parser = argparse.ArgumentParser(prog="python -m controlplane.rollout")
    parser.add_argument("model")
    parser.add_argument("--kubeconfig", type=Path)
    parser.add_argument("--context")
    parser.add_argument("--namespace")
    parser.add_argument("--prometheus", default="", help="address (default: through the API)")
    flags = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.WARNING, stream=sys.stdout)
    log = logging.getLogger("serin.rollout")
    log.setLevel(logging.INFO)
    me = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    try:
        with Kubernetes(Access(flags.kubeconfig, flags.context, flags.namespace)) as api:
            named = flags.prometheus
            prometheus = Prometheus.at(named) if named else Prometheus.of(api)
            gateway = os.environ.get("PUSHGATEWAY_URL", "")
            over = Engine(api, flags.model, prometheus, me, pushgateway=gateway).run()
    except SerinError as error:
        log.warning("%s The rollout stays as it is; go on with: serin rollout resume.", error)
        return 1
    log.info("%s", f"{over.outcome}: {over.reason}" if over else "nothing to do: another acts")
    return 0


if __name__ == "__main__":
    sys.exit(main())
