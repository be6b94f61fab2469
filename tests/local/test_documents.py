"""Every command of every document, as it is printed, on a terminal of 80x24 in a fresh clone.

A block of a document is run from its first command to its last, unless the tables below say which
commands are not, and why. Each document has a clone and a platform of its own, in which every model
of this repository is published and iris is served; those that change little share one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support import required
from tests.support.documents import ROOT, documents, fenced_blocks, shell_blocks
from tests.support.platform import Platform, wait_for
from tests.support.terminal import Shown, Terminal, fresh_clone

COMMAND_SECONDS = 300
CHANGE_LITTLE = (
    *("docs/autoscaling.md", "docs/dashboards", "docs/models", "docs/runbooks"),
    "training/entailment",
)
"""Documents and folders of which one reader reads all, on one platform."""

CONSOLE_ELSEWHERE = ("README.md", "docs/autoscaling.md", "docs/load.md")
"""Documents whose console blocks test_readme.py runs, with what they show."""
ELSEWHERE = ("docs/clients.md", "docs/own-model.md")
"""Documents that test_clients.py and test_own_model.py run."""
LANGUAGES = {
    "sh": "run here",
    "console": "run here, and test_readme.py compares what is shown",
    "python": "test_clients.py, test_own_model.py; the one of causal-lm.md is in test_openai.py",
    "js": "test_clients.py",
    "go": "test_clients.py",
    "promql": "asked here",
    "text": "nothing to run",
    "yaml": "nothing to run",
    "": "nothing to run: a line of cron",
}

CLUSTER = "changes a cluster: tests/cluster"
DOCKER = "needs docker and a registry; tests/contract/test_images.py holds the Dockerfiles"
NOT_RUN = {
    "./serin test": "is the run that this test belongs to",
    "./setup_cluster.sh --kind --model iris  # a kind cluster of its own; needs docker and kind, "
    "too": CLUSTER,
    "./setup_cluster.sh --kind --model iris": CLUSTER,
    "./setup_cluster.sh --model iris          # serve iris, and what is served already; later runs "
    "remember it; --model all serves all": CLUSTER,
    "./setup_cluster.sh --only kserve         # one step": CLUSTER,
    "./setup_cluster.sh --images              # list the images that the cluster will pull": (
        "needs GitHub; tests/contract/test_setup_cluster.py"
    ),
    "./setup_cluster.sh --down                # remove it; asks for confirmation before it removes "
    "MinIO and its models": CLUSTER,
    "kubectl -n models port-forward svc/iris-canary-predictor 8090:80      # stable: "
    "svc/iris-predictor": CLUSTER,
    'sed -i -E \'s#(image: |=|"image" : ")(docker.io/|ghcr.io/|quay.io/)'
    "#\\1registry.example.com/#' manifests/*.yaml": ("needs a folder of other projects' releases"),
    "docker build -f predictors/Dockerfile --build-arg MODEL=iris -t "
    "registry.example.com/serin/iris:1 .": DOCKER,
    "docker build -f training/Dockerfile --build-arg MODEL=iris -t "
    "registry.example.com/serin/train-iris:1 .": DOCKER,
    "./serin install finetune-nli              # torch, transformers, datasets": "installs torch",
    "./serin train nli --data pairs.jsonl      # Hugging Face's fields, or MultiNLI's own; .gz "
    "too": ("needs MultiNLI: test_training_nli.py has a piece of it"),
    "./serin train nli --data multinli_1.0/    # a folder with its train and dev_matched files": (
        "needs MultiNLI: test_training_nli.py has a piece of it"
    ),
    "./serin train nli --data nyu-mll/multi_nli                   # a data set of the Hugging Face "
    "hub, or a copy of one": "needs the hub",
    "MODEL_NAME=google/flan-t5-small ./serin train nli --data nyu-mll/multi_nli": "needs the hub",
    "./serin train nli --anew --data mnli.jsonl --first snli.jsonl --batch-size 48 --output DIR": (
        "needs MultiNLI and SNLI"
    ),
    "./serin train causal-lm --model stories260k --bits 32 --output DIR/causal-lm": (
        "is for the next command"
    ),
    "./serin bench --models causal-lm --artifacts DIR --connections 8,32": (
        "minutes, and stock KServe with transformers"
    ),
    "./serin train causal-lm --model FOLDER          # or a hub id, an s3:// prefix, a GGUF file; "
    "MODEL_NAME says the same": "test_training_causal_lm.py",
    "./serin install finetune-causal-lm              # torch, transformers, peft": "installs torch",
    "./serin train causal-lm --data letters.txt      # LoRA on text, merged, a new version": (
        "test_training_causal_lm.py"
    ),
}
"""Commands that are checked only (verbs and options: tests/contract/test_repo.py), and why."""

UNTIL = {
    "tail -f .serin/logs/scaling.log": "desired|replicas",
    "./serin rollout start iris <version> --slo p99=50ms,errors=0.5% --watch": "Scaling|Judging",
    "./serin rollout start iris <version> --shadow 500 --watch": "Shadowing",
}
"""Commands that go on for minutes: what they show before Ctrl-C, by how they begin."""

INLINE = {
    "docs/local-kubernetes.md": (
        *("kubectl apply -k kserve", "kubectl diff -k kserve", "kubectl describe isvc NAME"),
        *("./serin status --json", "./serin up --newest iris"),
    ),
    "docs/rollouts.md": ("kubectl describe isvc iris",),
    "docs/deploy.md": (
        *("kubectl -n models get so", "kubectl apply -f keda/canary/iris.yaml"),
        "kubectl delete -f keda/canary/iris.yaml",
        "kubectl replace --force -k training/jobs/iris",
        "kubectl -n models describe pod -l app=isvc.iris-predictor",
        (
            "kubectl -n models patch so iris-predictor --type merge -p "
            '\'{"spec":{"initialCooldownPeriod":0}}\''
        ),
    ),
    "docs/add-a-model.md": ("./serin simulate keda/my-model.yaml",),
    "docs/runbooks/CanaryNotReady.md": (
        *("kubectl describe isvc MODEL", "kubectl logs -l app=isvc.MODEL-canary-predictor"),
        'kubectl patch isvc MODEL --type merge -p \'{"spec": {"canary": null}}\'',
    ),
    "docs/runbooks/CanaryStuck.md": ("./serin rollout status MODEL",),
    "docs/runbooks/InferenceErrorBudgetBurn.md": (
        *("./serin logs MODEL", "kubectl logs -l serving.kserve.io/inferenceservice=MODEL"),
        "kubectl get events",
    ),
    "docs/runbooks/InferenceModelMismatch.md": (
        *("kubectl rollout status deploy/NAME", "kubectl describe pod"),
    ),
    "docs/runbooks/InferenceNoTraffic.md": ("kubectl get isvc,httproute",),
    "docs/runbooks/InferenceQueueFull.md": ("kubectl get hpa,scaledobject",),
    "docs/runbooks/ScalingAtMaximum.md": ("kubectl get pods",),
    "docs/runbooks/ScalingFallbackActive.md": ("kubectl describe scaledobject NAME",),
}
"""Commands within sentences that are run, after the blocks of their document."""
MEANT = {
    "deploy/NAME": "deploy/iris-predictor",
    "scaledobject NAME": "scaledobject iris-predictor",
    "NAME": "iris",
    "MODEL": "iris",
}
"""What a name in capitals stands for."""
BEFORE = {
    "docs/models/causal-lm.md": ("./serin up causal-lm",),
    "docs/channels.md": ("./serin train iris --seed 7",),
    "docs/deploy.md": ("./serin train iris --seed 7",),
}
"""What somebody who reads a document has done already, beside `./serin up iris`."""
AGAIN = ("kubectl diff", "kubectl describe hpa", "./serin status --json")
"""Commands that succeed once the platform is settled: what a controller writes between kubectl's
two looks is a difference, an HPA comes with the first decision, and five models take a while."""
PATIENT = {
    "kubectl wait ": "--timeout=240s ",  # 30 s, for a machine that does nothing else
    "kubectl logs -f ": "--pod-running-timeout=240s ",  # 20 s
}
"""How long kubectl waits here, in place of its own defaults."""


@dataclass
class Reader:
    """Somebody who types what a document says, into a checkout of their own."""

    terminal: Terminal
    platform: Platform

    def types(self, command: str) -> None:
        """Run a command as it is printed; its end, or what it shows first, is what is expected."""
        typed = self._meant(command)
        endless = next((text for text in UNTIL if command.startswith(text)), None)
        if command.startswith(AGAIN):
            wait_for(lambda: self._run(typed).code == 0, COMMAND_SECONDS, f"$ {typed}")
        elif endless is None:
            done = self._run(typed)
            assert done.code == 0, f"$ {typed}\n{done.text}"
            assert "Traceback" not in done.raw
        else:
            self._watch(typed, UNTIL[endless])

    def _run(self, typed: str) -> Shown:
        return self.terminal.run("bash", "-c", typed, seconds=COMMAND_SECONDS)

    def _watch(self, typed: str, shows: str) -> None:
        running = self.terminal.start("bash", "-c", f"exec {typed}")
        running.until(shows, COMMAND_SECONDS)
        running.interrupt()
        done = running.ended(COMMAND_SECONDS)
        assert done.code in {130, -2}, f"$ {typed}\n{done.text}"
        if "rollout start" in typed:
            self.types("./serin rollout abort iris")
            wait_for(lambda: not self.platform.engines(), COMMAND_SECONDS, "the end of the rollout")

    def _meant(self, command: str) -> str:
        for word, stands_for in MEANT.items():
            command = re.sub(rf"(?<![\w-]){word}\b", stands_for, command)
        if "<version>" in command:
            command = command.replace("<version>", self._other_version())
        for words, option in PATIENT.items():
            command = command.replace(words, f"{words}{option}")
        if "8080" in command:
            command = re.sub(r"\b8080\b", self.platform.url.rsplit(":", 1)[1], command)
        return command

    def _other_version(self) -> str:
        serves = self.platform.state()["models"]["iris"]["version"]
        folder = self.platform.home / "s3" / "models" / "iris"
        names = (manifest.parent.name for manifest in folder.glob("*/MANIFEST.json"))
        return next(name for name in names if name != serves)


@pytest.fixture
def reader(published: Platform, tmp_path: Path) -> Iterator[Reader]:
    """Somebody with a fresh clone, in which every model is published and iris is served."""
    required.binary("kubectl")
    required.binary("prometheus")
    clone = fresh_clone(tmp_path / "clone")
    platform = Platform(published.copy(clone / ".serin").home, clone)
    settings = {
        "SERIN_PORT": "0",
        "SERIN_S3_PORT": "0",
        "KUBECONFIG": str(platform.home / "kubeconfig"),
        "KUBECACHEDIR": str(clone.parent / "kubectl-cache"),
        "PAGER": "cat",
        # What the tests of a document may lack is theirs to skip: data lie beside this checkout.
        "REQUIRE_REAL": "",
    }
    terminal = Terminal(clone, settings=settings)
    reader = Reader(terminal, platform)
    try:
        reader.types("./serin up iris")
        yield reader
    finally:
        terminal.serin("down")
        assert platform.processes() == []


def commands(document: str) -> list[str]:
    """What is run of a document."""
    if document in ELSEWHERE:
        return []
    languages = ("sh",) if document in CONSOLE_ELSEWHERE else ()
    blocks = shell_blocks(document, *languages)
    listed = [command for block in blocks for command in block if command not in NOT_RUN]
    return [*listed, *INLINE.get(document, ())]


def together() -> dict[str, list[str]]:
    """What one reader reads: a document, or all that change little."""
    names = sorted(document for document in documents() if commands(document))
    little = [name for name in names if name.startswith(CHANGE_LITTLE)]
    return {name: [name] for name in names if name not in little} | {"the others": little}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("read", together().values(), ids=together())
def test_a_documents_commands_work_as_they_are_printed(read: list[str], reader: Reader) -> None:
    """One after another, each with exit code 0, or ended by Ctrl-C where it goes on for minutes."""
    for document in read:
        for command in (*BEFORE.get(document, ()), *commands(document)):
            reader.types(command)


@pytest.mark.timeout(600)
def test_prometheus_takes_every_query_of_a_document(reader: Reader) -> None:
    """The laptop's own, as it runs."""
    wait_for(lambda: reader.platform.state().get("prometheus_url"), 60, "Prometheus")
    url = reader.platform.state()["prometheus_url"]
    queries = [
        text
        for document in documents()
        for language, text in fenced_blocks(document)
        if language == "promql"
    ]
    answers = [httpx.get(f"{url}/api/v1/query", params={"query": one}) for one in queries]

    assert len(queries) > 20
    assert [answer.text for answer in answers if answer.status_code != httpx.codes.OK] == []


@pytest.mark.parametrize("document", documents())
def test_every_block_of_a_document_has_a_place_in_the_tables(document: str) -> None:
    """A language that nobody runs, or a block that only its indent makes one, would be unseen."""
    text = (ROOT / document).read_text("utf-8")
    prose = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)

    assert {language for language, _ in fenced_blocks(document)} <= set(LANGUAGES)
    assert re.findall(r"\n\n {4,}\S.*", prose) == []
    for command in INLINE.get(document, ()):
        assert f"`{command}`" in re.sub(r"\s+", " ", prose), command


def test_what_is_not_run_is_in_a_document() -> None:
    """The tables name nothing that is gone."""
    blocks = [block for document in documents() for block in shell_blocks(document)]
    printed = {command for block in blocks for command in block}

    assert set(NOT_RUN) <= printed
    assert all(any(command.startswith(text) for command in printed) for text in UNTIL)
    assert {*ELSEWHERE, *CONSOLE_ELSEWHERE, *INLINE, *BEFORE} <= set(documents())
