"""The files of a new model, as texts: Python from templates, manifests after the example of iris.

Nothing is written here, so that all is known to fit before anything is.
"""

import re
from pathlib import Path
from string import Template

from controlplane.errors import SerinError

ROOT = Path(__file__).parents[2]
EXAMPLE = "iris"
MANIFESTS = (
    "kserve/runtimes/iris.yaml",
    "kserve/services/iris.yaml",
    "keda/iris.yaml",
    "keda/canary/iris.yaml",
    "kserve/components/disruption/iris.yaml",
    *(
        f"training/jobs/iris/{name}.yaml"
        for name in ("job", "kustomization", "role", "rolebinding", "serviceaccount")
    ),
)
VERSIONS = "kserve/components/versions/kustomization.yaml"
LIKES = ("classifier", "regression", "text", "image")
"""What a new model may begin as; of the first one the templates have no further name."""
LONGEST = 30  # characters: Deployments, pods and hosts add theirs, and 63 is Kubernetes' limit
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def check(name: str) -> None:
    """Refuse a name that Kubernetes, Python or this repository cannot take.

    Raises:
        SerinError: Says what a name looks like, or what is there already.
    """
    check_form(name)
    module = name.replace("-", "_")
    if module == "runtime" or not module.isidentifier():
        raise SerinError(f"{name!r} is taken by the runtime: choose another name.")
    taken = [f"predictors/{module}.py", f"predictors/{module}", f"training/{module}.py"]
    taken += [path.replace(EXAMPLE, name) for path in MANIFESTS]
    for path in taken:
        if (ROOT / path).exists():
            raise SerinError(f"{path} exists: choose another name, or remove what is there.")


def check_form(name: str) -> None:
    """Refuse what no model can be called.

    Raises:
        SerinError: Says what a name looks like.
    """
    if not _NAME.fullmatch(name) or len(name) > LONGEST or "--" in name:
        raise SerinError(
            f"{name!r} is no model's name: lower-case letters, digits and single hyphens, at most "
            f"{LONGEST}, such as fraud-score."
        )


def is_in_repository(name: str) -> bool:
    """Whether the repository has a model of this name."""
    return (ROOT / "kserve" / "services" / f"{name}.yaml").exists()


def new(name: str, like: str = LIKES[0]) -> dict[str, str]:
    """Path and text of each file to make; `like` is one of LIKES."""
    kind = "" if like == LIKES[0] else f"_{like}"
    words = {
        "model": name,
        "module": name.replace("-", "_"),
        "cls": "".join(part.capitalize() for part in name.split("-")),
    }
    here = Path(__file__).parent
    made = {
        f"{folder}/{words['module']}.py": Template(
            (here / f"{template}{kind}.txt").read_text("utf-8")
        ).substitute(words)
        for folder, template in (("predictors", "predictor"), ("training", "training"))
    }
    for path in MANIFESTS:
        text = (ROOT / path).read_text("utf-8")
        if "services" in path:
            text = text.replace(
                "Iris species from four flower measurements", f"What {name} answers"
            )
        made[path.replace(EXAMPLE, name)] = renamed(text, name)
    return made


def changed(name: str) -> dict[str, str]:
    """Path and new text of each file that lists models."""
    found = {}
    for folder in ("kserve/runtimes", "kserve/services", "kserve/components/disruption", "keda"):
        path = f"{folder}/kustomization.yaml"
        found[path] = _listed((ROOT / path).read_text("utf-8"), f"  - {name}.yaml")
    for file in sorted((ROOT / "kserve" / "overlays").glob("*/versions.yaml")):
        path = file.relative_to(ROOT).as_posix()
        found[path] = _listed(file.read_text("utf-8"), f"  {name}: untrained")
    versions = (ROOT / VERSIONS).read_text("utf-8")
    found[VERSIONS] = versions + renamed(_block(versions), name)
    return found


def made(name: str) -> list[str]:
    """The files that `new model` made of a model, of those that are still there."""
    module = name.replace("-", "_")
    paths = [f"{folder}/{module}.py" for folder in ("predictors", "training")]
    paths += [path.replace(EXAMPLE, name) for path in MANIFESTS]
    return [path for path in paths if (ROOT / path).is_file()]


def unlisted(name: str) -> dict[str, str]:
    """Path and new text of each file that lists a model, without it."""
    lines = {f"  - {name}.yaml", f"  {name}: untrained"}
    version = re.compile(rf"  {name}: [0-9a-f]{{12}}")
    found = {}
    for path in changed(name):
        text = before = (ROOT / path).read_text("utf-8")
        if path == VERSIONS:
            head, *blocks = text.split("  - source:\n")
            kept = [block for block in blocks if f"data.{name}\n" not in block]
            text = "  - source:\n".join([head, *kept])
        else:
            text = "".join(
                line
                for line in text.splitlines(keepends=True)
                if line.rstrip() not in lines and not version.fullmatch(line.rstrip())
            )
        if text != before:
            found[path] = text
    return found


def renamed(text: str, name: str) -> str:
    """A manifest of the example as this model's; comments at the end of a line stay aligned."""
    return "".join(_line(line, name) for line in text.splitlines(keepends=True))


def _line(line: str, name: str) -> str:
    module = name.replace("-", "_")
    found = re.fullmatch(r"(\s*\S.*?)(  +)(# .*\n)", line)
    code, gap, comment = found.groups() if found else (line, "", "")
    written = re.sub(r"\b(predictors|training)\.iris\b", rf"\1.{module}", code)
    written = re.sub(rf"\b{EXAMPLE}\b", name, written)
    comment = re.sub(rf"\b{EXAMPLE}\b", name, comment)
    if not found:
        return written
    return written + " " * max(len(code) + len(gap) - len(written), 1) + comment


def _listed(text: str, line: str) -> str:
    """A YAML file with a line more in its last list, which is sorted."""
    lines = text.splitlines()
    start = len(lines) - next(
        (at for at, one in enumerate(reversed(lines)) if not one.startswith("  ")), 0
    )
    return "\n".join([*lines[:start], *sorted([*lines[start:], line])]) + "\n"


def _block(versions: str) -> str:
    """The example's own entry in the component that writes versions."""
    blocks = versions.split("  - source:\n")
    (block,) = (one for one in blocks[1:] if f"data.{EXAMPLE}\n" in one)
    return "  - source:\n" + block
