"""Rules of this repository that no tool knows; each yields one line for each breach."""

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from scripts.checks.repository import ROOT, tracked

LINES = 300  # of code; a module past this is two things with two names
MODULES = 15  # in a folder; more are a hall, and two rooms are found in it
_NO_CODE = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}
MANIFESTS = ("keda", "kserve", "monitoring", "training")
KUSTOMIZATION = "kustomization.yaml"
BY_HAND = Path("keda/canary")  # what people apply while they need it
PROMTOOL_TEST = ".test.yaml"  # read by promtool, no object


def sizes() -> Iterator[str]:
    """Modules have at most LINES lines of code."""
    for path in tracked(".py"):
        lines = code_lines((ROOT / path).read_bytes())
        if lines > LINES:
            yield f"{path}: {lines} lines of code, {LINES} are allowed: it is two things"


def rooms() -> Iterator[str]:
    """Folders outside tests have at most MODULES modules."""
    modules = Counter(path.parent for path in tracked(".py") if path.parts[0] != "tests")
    for folder, count in sorted(modules.items()):
        if count > MODULES:
            yield f"{folder}: {count} modules, {MODULES} are allowed: it is two rooms"


def doors() -> Iterator[str]:
    """A room's __init__ names what is in it; a program, such as a model, is found by its name."""
    modules = [path for path in tracked(".py") if path.parts[0] != "tests"]
    for door in (path for path in modules if path.name == "__init__.py"):
        contents = ast.get_docstring(ast.parse((ROOT / door).read_text())) or ""
        for path in modules:
            inside = path.parent if path.name == "__init__.py" else path
            named = re.search(rf"\b{inside.stem}\b", contents)
            if inside.parent == door.parent and not named and not _is_program(path):
                yield f"{door}: does not say what is in {inside.name}"


def _is_program(path: Path) -> bool:
    main = path.with_name("__main__.py") if path.name == "__init__.py" else path
    text = (ROOT / main).read_text() if (ROOT / main).exists() else ""
    return bool(text) and (main.stem == "__main__" or '\nif __name__ == "__main__":' in text)


def code_lines(source: bytes) -> int:
    """Physical lines that bear a token which is neither comment nor docstring.

    Explanations are not counted, or they would be the first to go.
    """
    lines: set[int] = set()
    for token in tokenize.tokenize(io.BytesIO(source).readline):
        if token.type not in _NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(ast.Constant(str())):
                lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def manifests() -> Iterator[str]:
    """Every manifest is one object with a kind and a name, and a kustomization applies it."""
    applied: set[Path] = set()
    objects: set[Path] = set()
    for path in tracked(".yaml"):
        if path.parts[0] not in MANIFESTS or path.name.endswith(PROMTOOL_TEST):
            continue
        try:
            (document,) = yaml.safe_load_all((ROOT / path).read_text())
        except yaml.YAMLError as error:
            yield f"{path}: {' '.join(str(error).split())}"
        except ValueError:
            yield f"{path}: one object a file"
        else:
            if path.name == KUSTOMIZATION:
                applied.update(_applied(path.parent, document))
            else:
                objects.add(path)
                yield from (f"{path}: {breach}" for breach in _object(document))
    for path in sorted(path for path in objects - applied if path.parent != BY_HAND):
        yield f"{path}: no kustomization applies it"
    for path in sorted(applied - objects):
        if not (ROOT / path).exists():
            yield f"{path}: a kustomization applies it, and it is not there"


def _applied(folder: Path, kustomization: Mapping[str, Any]) -> Iterator[Path]:
    named = [*kustomization.get("resources", ()), *kustomization.get("components", ())]
    named += [patch["path"] for patch in kustomization.get("patches", ()) if "path" in patch]
    for name in named:
        yield (ROOT / folder / name).resolve().relative_to(ROOT)


def _object(document: object) -> Iterator[str]:
    if not isinstance(document, dict) or not {"apiVersion", "kind"} <= set(document):
        yield "no Kubernetes object: apiVersion and kind are missing"
    elif not document.get("metadata", {}).get("name"):
        yield f"{document['kind']} has no metadata.name"
    elif list(document)[:3] != ["apiVersion", "kind", "metadata"]:
        yield "keys come in the order apiVersion, kind, metadata, spec"
