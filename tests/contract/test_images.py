"""The Dockerfiles: what any builder understands, and what a predictor's image leaves out."""

import re
import subprocess
import sys
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest

from tests.contract.test_repo import canonical, pinned
from tests.support.predictor import Predictor, running
from tests.support.required import ROOT

# What Python runs first: imports of these fail as if they were not installed.
BLOCK = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {names}:
            raise ModuleNotFoundError("not in the image: " + name)
sys.meta_path.insert(0, Missing())
"""
DOCKERFILES = [
    ROOT / "predictors" / "Dockerfile",
    ROOT / "training" / "Dockerfile",
    ROOT / "controlplane" / "activator" / "Dockerfile",
    ROOT / "controlplane" / "console" / "Dockerfile",
]


def dropped(dockerfile: Path = DOCKERFILES[0]) -> list[str]:
    """Packages that an image uninstalls after pip brought them."""
    text = dockerfile.read_text().replace("\\\n", " ")
    (names,) = re.findall(r"uninstall --yes --quiet([^&]*)&&", text)
    return [canonical(name) for name in names.split()]


def modules(package: str) -> set[str]:
    """What can be imported of an installed package, by top-level name."""
    files = [path for path in distribution(package).files or () if path.suffix in {".py", ".so"}]
    return {path.parts[0].split(".")[0] for path in files} - {".."}


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_a_dockerfile_needs_no_builder_in_particular(dockerfile: Path) -> None:
    """Docker, buildah and kaniko build it: no frontend line, no mount, no heredoc, no chmod."""
    text = dockerfile.read_text()

    assert not re.search(r"^# *syntax|--mount|<<|--chmod|--link", text, re.MULTILINE)


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_an_image_runs_as_nobody_and_says_what_it_is(dockerfile: Path) -> None:
    """The user is a number, which runAsNonRoot can check, and the OCI labels are there."""
    text = dockerfile.read_text()
    last = text.rpartition("\nFROM ")[2]

    assert "\nUSER 65532:65532\n" in last
    for label in ("title", "description", "licenses", "revision"):
        assert f"org.opencontainers.image.{label}=" in last


@pytest.mark.parametrize("dockerfile", DOCKERFILES[:2], ids=lambda path: path.parent.name)
def test_models_share_the_layers_before_their_own(dockerfile: Path) -> None:
    """Packages come before MODEL is known, even those that only some models have."""
    last = dockerfile.read_text().rpartition("\nFROM ")[2]

    assert last.index("COPY --from=packages") < last.index("-r /requirements/model.txt")
    assert last.index("-r /requirements/model.txt") < last.index("ARG MODEL")


def test_training_images_begin_with_the_predictors_layers() -> None:
    """A builder makes the layers of the common packages once where the commands are the same."""
    commands = [
        [line for line in file.read_text("utf-8").splitlines() if not line.startswith("#")]
        for file in DOCKERFILES[:2]
    ]
    serving, training = ("\n".join(lines).split("\nFROM ") for lines in commands)

    assert serving[1] == training[1]
    shared = serving[-1].split("EXPOSE")[0]
    assert training[-1].startswith(shared)


def test_dropped_packages_are_ones_that_pip_brings() -> None:
    """A name that requirements/predictor.txt no longer holds has no place in the Dockerfiles."""
    assert set(dropped()) <= set(pinned("predictor"))
    assert dropped(DOCKERFILES[1]) == dropped()


@pytest.mark.parametrize(
    ("part", "rooms"),
    [
        ("activator", {"activator"}),
        (
            "console",
            {
                "autoscale",
                "console",
                "differences",
                "errors",
                "kubernetes",
                "rollout",
                "simulation",
                "statefolder",
                "store",
                "trainingjobs",
            },
        ),
    ],
)
def test_a_part_of_the_control_plane_runs_on_what_its_image_has(
    part: str, rooms: set[str], tmp_path: Path
) -> None:
    """The packages of requirements/<part>.txt, and the rooms that the image copies."""
    kept = set(pinned(part))
    others = {
        module
        for module, names in packages_distributions().items()
        if kept.isdisjoint(map(canonical, names))
    }
    (tmp_path / "sitecustomize.py").write_text(BLOCK.format(names=sorted(others)))
    code = f"import sys, controlplane.{part}.__main__; print(*sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    own = {one for one in done.stdout.split() if one.startswith("controlplane.")}

    assert done.returncode == 0, done.stderr
    assert {one.split(".")[1] for one in own} == rooms
    ignored = (ROOT / ".dockerignore").read_text("utf-8")
    for room in rooms:
        assert re.search(rf"^!controlplane/{room}(\.py)?$", ignored, re.MULTILINE), room


def test_a_predictor_answers_without_what_its_image_drops(
    predictor: Predictor, tmp_path: Path
) -> None:
    """The golden sample, from a process in which the dropped packages cannot be imported."""
    names = set().union(*map(modules, dropped()))
    (tmp_path / "sitecustomize.py").write_text(BLOCK.format(names=sorted(names)))
    wanted = {one["name"] for one in predictor.manifest.golden_sample["outputs"]}
    with running(
        predictor.model, predictor.folder, tmp_path / "log", PYTHONPATH=str(tmp_path)
    ) as lean:
        answer = lean.infer({"inputs": lean.golden_inputs()})

    assert {"kubernetes", "pandas"} <= names
    assert answer.status == 200, answer.body
    assert {one["name"] for one in answer.json["outputs"]} >= wanted
