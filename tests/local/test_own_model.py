"""docs/own-model.md, as it is printed, on a terminal; and what else a published model is."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import model_files
from tests.support.kubectl import Kubectl
from tests.support.platform import ROOT, Platform, wait_for
from tests.support.terminal import Terminal

TEXT = (ROOT / "docs" / "own-model.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    """A state folder in which nothing was published; taken down at the end."""
    made = Platform(tmp_path / "state")
    made.home.mkdir()
    yield made
    made.serin("down")


@pytest.mark.timeout(300)
def test_the_page_works_as_it_is_printed(platform: Platform, tmp_path: Path) -> None:
    """Its file is made, published, served, asked and taken away, on a terminal of 80x24."""
    (_, python), *rest = BLOCKS
    subprocess.run([sys.executable, "-c", python], cwd=tmp_path, check=True, timeout=110)
    commands = [text for language, text in rest if language == "sh"]
    terminal = Terminal(tmp_path, settings=platform.env)
    shown = [
        terminal.run("bash", "-ec", text.replace("./serin", str(ROOT / "serin")), seconds=200)
        for text in commands
    ]

    assert [one.code for one in shown] == [0, 0], "\n".join(one.text for one in shown)
    assert "wine is gone." in shown[-1].words
    assert "Traceback" not in "".join(one.raw for one in shown)
    assert platform.state()["models"] == {}
    platform.serin("infer", "wine", expect=2)


@pytest.mark.timeout(300)
def test_a_stock_inference_service_with_the_format_onnx_is_served(
    platform: Platform, tmp_path: Path
) -> None:
    """The page's own, under another name than the model was published as; sklearn is refused."""
    platform.serin("publish", "wine", str(model_files.classifier(tmp_path / "model.onnx")))
    platform.serin("up", "wine")
    (stock,) = [text for language, text in BLOCKS if language == "yaml"]
    manifest = tmp_path / "stock.yaml"
    manifest.write_text(stock)
    other = tmp_path / "sklearn.yaml"
    other.write_text(stock.replace("my-wine", "other").replace("name: onnx", "name: sklearn"))
    Kubectl(platform).run("apply", "-f", str(manifest), "-f", str(other))

    def states() -> dict[str, str]:
        return {name: one["state"] for name, one in platform.state()["models"].items()}

    wait_for(lambda: states().get("my-wine") == "Ready", 100, "my-wine to be ready")
    status, answer = platform.ask(
        "/v2/models/my-wine/infer",
        {"inputs": [{"name": "features", "shape": [1, 4], "datatype": "FP32", "data": [1] * 4}]},
    )
    asked = json.loads(platform.serin("infer", "my-wine", "--json").stdout)

    assert (status, answer["model_name"]) == (200, "my-wine")
    assert [len(one["data"]) for one in asked["outputs"]] == [3, 9]
    told = json.dumps(platform.state())
    assert "none here serves modelFormat sklearn by itself (these do: onnx)" in told


@pytest.mark.timeout(300)
def test_another_version_rolls_out_and_back(platform: Platform, tmp_path: Path) -> None:
    """publish, up --newest and rollback, as of a trained model; its Deployment is the runtime's."""
    first = platform.serin("publish", "wine", str(model_files.classifier(tmp_path / "a.onnx")))
    platform.serin("up", "wine")
    again = platform.serin("publish", "wine", str(tmp_path / "a.onnx"))
    maps = model_files.classifier(tmp_path / "b.onnx", maps=True)
    second = platform.serin("publish", "wine", str(maps))
    versions = [one.stdout.strip().rpartition("/")[2] for one in (first, second)]
    platform.serin("up", "--newest", "wine")
    served = [platform.state()["models"]["wine"]["version"]]
    platform.serin("rollback", "wine")
    served.append(platform.state()["models"]["wine"]["version"])

    assert "Already published; nothing new." in again.stderr
    assert served == versions[::-1]
    made = Kubectl(platform).run("get", "isvc", "wine", "-o", "yaml").stdout
    assert "runtime: serin-onnx" in made


@pytest.mark.timeout(300)
def test_a_text_classifier_answers_texts(platform: Platform, tmp_path: Path) -> None:
    """A Hugging Face folder: publish, up, infer with a text."""
    platform.serin("publish", "mood", str(model_files.texts(tmp_path / "folder")))
    platform.serin("up", "mood")
    answer = json.loads(platform.serin("infer", "mood", "a good day", "--json").stdout)

    assert answer["outputs"][0]["data"] == ["positive"]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("iris", "{file}"), 1, "iris is a model of this repository"),
        (("No Name", "{file}"), 1, "'No Name' is no model's name"),
        (("wine", "{folder}/none.onnx"), 2, "does not exist"),
        (("wine", "{folder}"), 1, "no .onnx file"),
        (("wine", "{file}"), 1, "is no model"),
    ],
)
def test_what_cannot_be_published_is_one_sentence(
    arguments: tuple[str, ...], code: int, sentence: str, platform: Platform, tmp_path: Path
) -> None:
    """Nothing is published, and no manifest is written."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "file.txt").write_text("no model at all\n")
    given = [one.format(folder=folder, file=folder / "file.txt") for one in arguments]
    done = platform.serin("publish", *given, expect=code)

    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not (platform.home / "published").exists()


def test_removing_asks_and_needs_a_yes(platform: Platform, tmp_path: Path) -> None:
    """Without a terminal nobody can be asked; what comes with Serin stays."""
    platform.serin("publish", "wine", str(model_files.classifier(tmp_path / "model.onnx")))

    assert "say --yes" in platform.serin("remove", "model", "wine", expect=2).stderr
    assert "comes with Serin" in platform.serin("remove", "model", "iris", expect=1).stderr
    assert platform.serin("remove", "model", "wine", "--yes").stderr == "wine is gone.\n"
    assert "There is no model wine." in platform.serin("up", "wine", expect=2).stderr
    assert list((platform.home / "s3" / "models").rglob("MANIFEST.json")) == []
