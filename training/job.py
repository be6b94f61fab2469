"""What a training says of itself in its Job: kubectl, `serin status` and the console read it there.

    serin.dev/progressPercentage          0 … 100
    serin.dev/estimatedRemainingSeconds   while that is known
    serin.dev/metrics                     [{"name": "loss", "value": "0.2347"}, …]
    serin.dev/gates                       [{"name": "accuracy", "value": 0.98, "limit": 0.9, …}, …]
    serin.dev/lastUpdatedTime, serin.dev/storageUri

Names and forms are those of Kubeflow's TrainJob (KEP-2779), in annotations, since a Job has no
field for them. A thread of its own writes them, once in a while: a training is never slower for it,
and one that cannot reach the API goes on and says so once.
"""

import json
import os
import ssl
import threading
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

from training.run import Run, now

PREFIX = "serin.dev/"
SECONDS_BETWEEN = 2.0
LONGEST_PAUSE_SECONDS = 60.0
"""Between tries while the API does not answer."""
REQUEST_SECONDS = 5.0
MOST_METRICS = 30
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

Annotations = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Job:
    """A Job in the Kubernetes API, by its own pod's account."""

    url: str
    account: Path
    """A folder with `token`, which is renewed, and `ca.crt`."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Job | None":
        """The one whose pod this is; None outside, and where the pod has no account."""
        names = ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "JOB_NAMESPACE", "JOB_NAME")
        host, port, namespace, name = (environment.get(word, "") for word in names)
        account = Path(environment.get("SERVICE_ACCOUNT_FOLDER") or ACCOUNT)
        if not (host and port and namespace and name and (account / "token").exists()):
            return None
        host = f"[{host}]" if ":" in host else host
        path = f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}?fieldManager=serin-training"
        return cls(f"https://{host}:{port}{path}", account)

    def annotate(self, annotations: Annotations) -> None:
        """Merge annotations; None removes one.

        Raises:
            OSError: The API does not answer, or refuses.
        """
        request = urllib.request.Request(  # noqa: S310 - https, as `of` makes it
            self.url,
            json.dumps({"metadata": {"annotations": annotations}}).encode(),
            {
                "Authorization": f"Bearer {(self.account / 'token').read_text('utf-8').strip()}",
                "Content-Type": "application/merge-patch+json",
                "Accept": "application/json",
            },
            method="PATCH",
        )
        trust = ssl.create_default_context(cafile=str(self.account / "ca.crt"))
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
        )
        with opener.open(request, timeout=REQUEST_SECONDS) as answer:
            answer.read()


class Teller:
    """Writes a run into its Job whenever something changed, and once more at the end."""

    def __init__(self, run: Run, job: Job | None, say: Callable[[str], None]) -> None:
        self._run = run
        self._job = job
        self._say = say
        self._told: Annotations = {}
        self._stop = threading.Event()
        self._silent = False
        self._thread = threading.Thread(target=self._go_on, name="job-status", daemon=True)

    @classmethod
    def here(cls, run: Run, say: Callable[[str], None]) -> "Teller":
        """For the Job that this process runs in, if it does."""
        return cls(run, Job.of(os.environ), say)

    def start(self) -> None:
        """Begin."""
        if self._job:
            self._thread.start()

    def stop(self, seconds: float) -> None:
        """Say what there is to say, but wait no longer than that."""
        self._stop.set()
        if self._job and self._thread.is_alive():
            self._thread.join(seconds)

    def _go_on(self) -> None:
        last, pause = self._stop.is_set(), SECONDS_BETWEEN
        while True:
            pause = SECONDS_BETWEEN if self._tell(last=last) else pause * 2
            if last:
                return
            last = self._stop.wait(min(pause, LONGEST_PAUSE_SECONDS))

    def _tell(self, *, last: bool) -> bool:
        """Whether the Job says what there is to say."""
        assert self._job  # noqa: S101 - the thread runs where there is one
        annotations = described(self._run)
        if annotations == self._told:
            return True
        try:
            self._job.annotate({**annotations, f"{PREFIX}lastUpdatedTime": now()})
        except (OSError, HTTPException, ValueError) as error:
            gone = isinstance(error, HTTPError) and error.code == 404  # deleted: the run is stopped
            # What was published is the last line of the log, which others read.
            if not (self._silent or last or gone or self._run.uri):
                self._say(f"the Kubernetes API takes no progress, going on without: {error}")
                self._silent = True
            return False
        self._told = annotations
        return True


def described(run: Run) -> Annotations:
    """A run as annotations."""
    figures = list(run.figures().items())[:MOST_METRICS]
    metrics = [{"name": name, "value": f"{value:.6g}"} for name, value in figures]
    remaining = None if run.remaining is None else str(run.remaining)
    return {
        f"{PREFIX}progressPercentage": str(run.percent),
        f"{PREFIX}estimatedRemainingSeconds": remaining,
        f"{PREFIX}metrics": json.dumps(metrics) if metrics else None,
        f"{PREFIX}gates": json.dumps(run.gates) if run.gates else None,
        f"{PREFIX}storageUri": run.uri or None,
    }
