"""setup_cluster.sh as it is started, on a machine with no cluster and no way out."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.required import ROOT, binary
from tests.support.terminal import Terminal

SECONDS = 240  # some kustomizations are rendered, by kubectl
pytestmark = pytest.mark.timeout(SECONDS + 10)
NOWHERE = {"HTTPS_PROXY": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"}
STEPS = ("gateway", "keda", "prometheus", "kserve", "s3", "serin", "models")


@pytest.fixture(scope="module")
def part() -> None:
    """Install what it needs first: a fresh clone would say so among its lines."""
    subprocess.run([ROOT / "serin", "install", "--quiet", "cluster"], check=True)


@pytest.fixture
def setup(tmp_path: Path, part: None) -> "Setup":
    """What runs it, with a kubeconfig that names no cluster."""
    return Setup(tmp_path)


class Setup:
    """Runs setup_cluster.sh."""

    def __init__(self, home: Path) -> None:
        kubectl = binary("kubectl").parent
        self.environment = {
            "PATH": f"{kubectl}:/usr/bin:/bin",
            "HOME": str(home),
            "KUBECONFIG": str(home / "none"),
            **NOWHERE,
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Its output and exit code."""
        return subprocess.run(
            [ROOT / "setup_cluster.sh", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )


def test_a_dry_run_refuses_nothing(setup: Setup) -> None:
    """Without a cluster, pins or a network it names every step, and writes nothing."""
    pins = (ROOT / "versions.env").read_bytes()
    done = setup.run("--dry-run", "--model", "iris")
    told = [line.split(" s  ", 1)[1] for line in done.stderr.splitlines() if " s  " in line]

    assert done.returncode == 0, done.stderr
    assert "no cluster to look at" in told[0]
    assert [line.split(":")[0] for line in told[1:]] == list(STEPS)
    assert "would train iris" in told[-1]
    assert "--manifests DIR" in told[1]
    assert done.stderr.count("--manifests DIR") == 1
    assert (ROOT / "versions.env").read_bytes() == pins


@pytest.mark.parametrize("asked", ["--dry-run", "--images"])
def test_on_a_terminal_no_line_is_broken_within_a_word(setup: Setup, asked: str) -> None:
    """What is longer than the terminal goes on below its own text."""
    terminal = Terminal(ROOT, settings=setup.environment)
    shown = terminal.run(str(ROOT / "setup_cluster.sh"), asked, "--model", "iris", seconds=SECONDS)

    assert "Traceback" not in shown.raw
    assert "would train iris" in shown.words or "docker.io/serin/iris:dev" in shown.words
    for line in shown.printed.split("\n"):
        assert len(line) <= shown.columns or len(line.split()) <= 2, line


def test_without_a_cluster_it_says_how_to_name_or_make_one(setup: Setup) -> None:
    """One sentence, no traceback."""
    done = setup.run("--yes")

    assert done.returncode == 1
    assert "--context NAME" in done.stderr
    assert "--kind" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_model_that_is_not_there_is_named_with_those_that_are(setup: Setup) -> None:
    """Before anything is asked of a cluster."""
    done = setup.run("--dry-run", "--model", "irs")

    assert done.returncode == 2
    assert "no model irs; it has causal-lm, iris" in done.stderr


def test_images_are_listed_though_some_releases_cannot_be_read(setup: Setup) -> None:
    """Ours with how they are built; it fails, and says what is left out."""
    done = setup.run("--images", "--model", "iris")
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]

    assert done.returncode == 1
    assert "not all are listed. gateway: " in done.stderr
    assert [(image, how) for image, how in lines if "serin/" in image] == [
        ("docker.io/serin/iris:dev", "build it: -f predictors/Dockerfile --build-arg MODEL=iris"),
        ("docker.io/serin/onnx:dev", "build it: -f predictors/Dockerfile --build-arg MODEL=onnx"),
        (
            "docker.io/serin/train-iris:dev",
            "build it: -f training/Dockerfile --build-arg MODEL=iris",
        ),
    ]


def test_an_overlays_names_of_images_are_the_jobs_too(setup: Setup, tmp_path: Path) -> None:
    """A registry is named once, for predictors and for what trains them."""
    names = [
        {
            "name": f"docker.io/serin/{name}",
            "newName": f"registry.example.com/{name}",
            "newTag": "1",
        }
        for name in ("iris", "onnx", "train-iris")
    ]
    overlay = {
        "resources": [os.path.relpath(ROOT / "kserve" / "overlays" / "local", tmp_path)],
        "images": names,
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    told = setup.run("--images", "--model", "iris", "--overlay", str(tmp_path)).stdout.split()

    assert {"registry.example.com/iris:1", "registry.example.com/train-iris:1"} <= set(told)
    assert not [one for one in told if one.startswith("docker.io/serin/")]
