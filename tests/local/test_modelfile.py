"""What `serin publish` makes of a file, and the sentence where it is no model."""

import json
import os
import pickle
import resource
import sys
import zipfile
from pathlib import Path

import joblib
import numpy as np
import onnx
import pytest
import skops.io
from onnx import TensorProto, helper
from sklearn.datasets import load_diabetes, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import Ridge

from predictors.onnx import OnnxModel
from predictors.runtime import InvalidRequest, read_artifact
from tests.support import model_files
from tests.support.model_files import FLOAT, INT64, STRING, value, write
from training.errors import DataError
from training.modelfile import __main__ as modelfile


def publish(monkeypatch: pytest.MonkeyPatch, path: Path, *flags: str) -> OnnxModel:
    """Publish to a folder beside the file, in this process; the model as a pod would load it."""
    folder = path.parent / "artifact"
    arguments = ["publish", "mine", str(path), *flags, f"--output={folder}"]
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)  # it would stay for all tests
    modelfile.main()
    manifest = read_artifact(folder)
    model = OnnxModel.of_version(folder, manifest)("mine", folder, manifest)
    model.load()
    return model


def refused(monkeypatch: pytest.MonkeyPatch, path: Path, *flags: str) -> str:
    """The sentence of a refusal; nothing was written."""
    with pytest.raises(DataError) as caught:
        publish(monkeypatch, path, *flags)
    assert not (path.parent / "artifact").exists()
    return str(caught.value)


def test_an_onnx_file_is_served_by_the_tensors_of_its_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names, datatypes and shapes are the graph's; an axis that it names is -1."""
    model = publish(monkeypatch, model_files.classifier(tmp_path / "model.onnx"))
    answer = model.infer({"features": np.ones((2, 4), np.float32)})

    assert [(one.name, one.datatype, one.shape) for one in (*model.inputs, *model.outputs)] == [
        ("features", "FP32", (-1, 4)),
        ("label", "INT64", (-1,)),
        ("scores", "FP32", (-1, 3)),
    ]
    assert answer["scores"].sum(axis=1) == pytest.approx([1, 1])


def test_maps_become_tensors_with_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """skl2onnx answers lists of dicts by default, which V2 has no tensor for."""
    model = publish(monkeypatch, model_files.classifier(tmp_path / "model.onnx", maps=True))

    assert model.outputs[1].labels == ("red", "green", "blue")
    assert model.infer({"features": np.ones((2, 4), np.float32)})["answer"].shape == (2, 3)


def test_texts_halves_and_open_axes_are_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text is BYTES, FP16 is FP32 at the door, and rows may have any length."""
    half = TensorProto.FLOAT16
    nodes = [
        helper.make_node("Identity", ["word"], ["said"]),
        helper.make_node("ReduceSum", ["steps", "axis"], ["total"], keepdims=0),
    ]
    path = write(
        tmp_path / "model.onnx",
        nodes,
        [value("word", STRING, ["n"]), value("steps", half, ["n", "t"])],
        [value("said", STRING, ["n"]), value("total", half, ["n"])],
        {"axis": np.array([1])},
    )
    model = publish(monkeypatch, path)
    asked = {"word": np.array(["größe".encode()], object), "steps": np.ones((1, 7), np.float32)}
    answer = model.infer(asked)

    assert [one.datatype for one in model.inputs] == ["BYTES", "FP32"]
    assert [one.shape for one in model.inputs] == [(-1,), (-1, -1)]
    assert (answer["said"][0], answer["total"][0]) == ("größe", 7)
    with pytest.raises(InvalidRequest, match="'word': expected UTF-8"):
        model.infer({**asked, "word": np.array([b"\xff"], object)})


def test_what_the_graph_cannot_compute_is_the_clients_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index out of range is a 400 that says so, not a crash."""
    path = write(
        tmp_path / "model.onnx",
        [helper.make_node("Gather", ["table", "index"], ["row"])],
        [value("index", INT64, ["n"])],
        [value("row", FLOAT, ["n", 2])],
        {"table": np.ones((3, 2), np.float32)},
    )
    model = publish(monkeypatch, path)

    with pytest.raises(InvalidRequest, match=r"cannot compute this: .*out of"):
        model.infer({"index": np.array([7])})


def test_weights_beside_the_graph_come_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder with its weights in a second file is a version of both."""
    folder = tmp_path / "source"
    folder.mkdir()
    path = write(
        folder / "model.onnx",
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [value("x", FLOAT, ["n", 64])],
        [value("y", FLOAT, ["n", 64])],
        {"w": np.eye(64, dtype=np.float32)},
    )
    onnx.save_model(
        onnx.load(path), path, save_as_external_data=True, location="w.bin", size_threshold=0
    )
    model = publish(monkeypatch, folder)

    assert (model.model_dir / "w.bin").stat().st_size == 64 * 64 * 4
    assert "w.bin" in model.manifest.document["files"]


@pytest.mark.parametrize("location", ["/etc/hostname", "../secret", "a/../../secret", ".", "link"])
def test_weights_outside_of_the_folder_are_refused(
    location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph that names /etc/hostname, or a link to it, does not publish what is in it."""
    (tmp_path / "secret").write_bytes(bytes(16))
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    tensor = TensorProto(name="w", data_type=FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    path = write(
        folder / "model.onnx",
        [helper.make_node("Add", ["x", "w"], ["y"])],
        [value("x", FLOAT, ["n", 4])],
        [value("y", FLOAT, ["n", 4])],
    )
    model = onnx.load(path)
    model.graph.initializer.append(tensor)
    path.write_bytes(model.SerializeToString())

    assert f"keeps weights in '{location}'" in refused(monkeypatch, folder)


def test_a_regressor_of_skops_is_converted_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answer is scikit-learn's, as a number a row."""
    data, target = load_diabetes(return_X_y=True)
    ridge = Ridge().fit(data, target)
    skops.io.dump(ridge, tmp_path / "model.skops")
    model = publish(monkeypatch, tmp_path / "model.skops")
    rows = data[:5].astype(np.float32)

    assert model.infer({"features": rows})["variable"][:, 0] == pytest.approx(
        ridge.predict(rows), rel=1e-4
    )


def test_a_forest_of_skops_keeps_the_names_of_its_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Skops asks about the type of a tree, which holds arrays alone."""
    wines = load_wine()
    names = np.array(["red", "white", "rose"])[wines.target]
    skops.io.dump(RandomForestClassifier(5).fit(wines.data, names), tmp_path / "model.skops")
    model = publish(monkeypatch, tmp_path / "model.skops")

    assert model.outputs[1].labels == ("red", "rose", "white")
    assert (model.inputs[0].shape, model.outputs[0].datatype) == ((-1, 13), "BYTES")


class Surprise:
    """What a pickle can do to who reads it."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)

    target: Path


@pytest.mark.parametrize("dump", [pickle.dump, joblib.dump], ids=["pickle", "joblib"])
def test_a_pickle_runs_nothing_unless_it_is_trusted(
    dump: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is known by its bytes, whatever it is called, and refused unread."""
    surprise = Surprise()
    surprise.target = tmp_path / "ran"
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        dump(surprise, file)  # type: ignore[operator]

    assert "runs the code in it" in refused(monkeypatch, path)
    assert not (tmp_path / "ran").exists()


def test_a_trusted_pickle_is_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--trust-pickle reads it, and what is served has no pickle in it."""
    data, target = load_diabetes(return_X_y=True)
    joblib.dump(Ridge().fit(data, target), tmp_path / "model.joblib", compress=3)
    model = publish(monkeypatch, tmp_path / "model.joblib", "--trust-pickle")

    assert {path.name for path in model.model_dir.iterdir()} == {"MANIFEST.json", "model.onnx"}


def test_a_text_classifier_of_hugging_face_reads_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One text in, its label and probabilities out; what is cut is told."""
    model = publish(monkeypatch, model_files.texts(tmp_path / "mood"))
    texts = [b"a good day", b"bad", b"night " * 9]
    answer = model.infer({"text": np.array(texts, object)})

    assert answer["label"].tolist() == [b"positive", b"negative", b"negative"]
    assert answer["truncated"].tolist() == [False, False, True]
    assert model.outputs[1].labels == ("negative", "positive")
    assert answer["probabilities"][0, 1] == pytest.approx(1 / (1 + np.exp(-3)))


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"architectures": ["LlamaForCausalLM"]}, "only text classifiers"),
        ({"id2label": {"0": "only"}}, "a classifier has at least 2"),
        ({"id2label": {"0": "a", "2": "b"}}, "id2label has no label '1'"),
        ({"id2label": None}, "has no id2label"),
    ],
)
def test_another_folder_of_hugging_face_is_refused_with_a_reason(
    config: dict[str, object], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Language models, regressions and half a table of labels."""
    assert sentence in refused(monkeypatch, model_files.texts(tmp_path / "mood", **config))


@pytest.mark.parametrize(
    ("config", "sentence"),
    [(True, "optimum-cli export onnx --model"), (False, "holds weights alone (model.safetensors)")],
)
def test_weights_without_a_graph_name_the_way(
    *, config: bool, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of safetensors is what a training leaves: one sentence says how to go on."""
    folder = model_files.texts(tmp_path / "mood")
    (folder / "model.onnx").rename(folder / "model.safetensors")
    if not config:
        (folder / "config.json").unlink()

    assert sentence in refused(monkeypatch, folder)


@pytest.mark.parametrize("missing", ["model.onnx", "tokenizer.json"])
def test_a_folder_that_lacks_a_file_says_which(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And how it is made, where that is known."""
    folder = model_files.texts(tmp_path / "mood")
    (folder / missing).unlink()

    assert missing in refused(monkeypatch, folder)


FILES = {
    "empty": (b"", "is empty"),
    "noise": (bytes(range(1, 200)) * 5, "is no model: it is neither ONNX nor"),
    "words": (b"no model at all\n", "is no model"),
    "lightgbm": (b"tree\nversion=v4\nnum_class=1\n", "convert_lightgbm"),
    "xgboost": (b'{"learner": {"attributes": {}}}', "convert_xgboost"),
    "keras": (b"\x89HDF\r\n\x1a\n" + bytes(99), "tf2onnx"),
    "gguf": (b"GGUF" + bytes(99), "GGUF file of a language model"),
    "json": (b'{"a": 1}', "is JSON, and no model"),
    "not a zip": (b"PK\x03\x04" + bytes(99), "begins as a zip file and is none"),
    "a cut field": (b"\x08\x08\x12\xff\xff\xff\xff\x0f", "is no model"),
}


@pytest.mark.parametrize(("content", "sentence"), FILES.values(), ids=FILES)
def test_a_file_that_is_no_model_is_one_sentence(
    content: bytes, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what the file is, or what would be one."""
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    told = refused(monkeypatch, path)

    assert sentence in told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("names", "sentence"),
    [(["a/data.pkl"], "torch.onnx.export"), (["config.json"], "Keras"), (["x"], "is no model")],
)
def test_a_zip_file_is_told_by_what_is_in_it(
    names: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch's and Keras' files are zips, too."""
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        for name in names:
            archive.writestr(name, "x")

    assert sentence in refused(monkeypatch, tmp_path / "model.zip")


@pytest.mark.parametrize(
    ("operator", "attributes", "sentence"),
    [
        ("RandomNormalLike", {}, "differs when the same is asked twice"),
        ("Softmax", {"axis": 0}, "differs for a row by the rows beside it"),
        ("Log", {}, ""),
        ("NoSuchOperator", {}, "ONNX Runtime does not load it"),
    ],
)
def test_an_answer_must_hold(
    operator: str,
    attributes: dict[str, object],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Random answers, rows that depend on each other and unknown operators are refused."""
    path = model_files.of_operator(tmp_path / "model.onnx", operator, **attributes)
    if sentence:
        assert sentence in refused(monkeypatch, path)
    else:
        assert publish(monkeypatch, path).ready


@pytest.mark.parametrize("operator", ["Identity", "NoSuchOperator"])
@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_names_cannot_command_a_terminal(
    operator: str, side: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file whose tensors are named by control characters is refused, in words without them."""
    names = {"inputs": "x", "outputs": "y"} | {side: "a\x1b[2J\r\x9b1mb\nError: none"}
    path = model_files.write(
        tmp_path / "model.onnx",
        [onnx.helper.make_node(operator, [names["inputs"]], [names["outputs"]])],
        [model_files.value(names["inputs"], model_files.FLOAT, ["n", 2])],
        [model_files.value(names["outputs"], model_files.FLOAT, ["n", 2])],
    )
    told = refused(monkeypatch, path)

    assert told.isprintable()
    assert operator == "NoSuchOperator" or "rename it" in told


def test_a_sample_of_ones_own_is_held_to_the_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It becomes the golden sample; one that does not fit, or answers NaN, is refused."""
    path, sample = model_files.of_operator(tmp_path / "model.onnx", "Log"), tmp_path / "sample.json"
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}

    sample.write_text(json.dumps({"inputs": [{**tensor, "data": [-1, 1, 1, 1]}]}))
    assert "'y' is NaN or infinite" in refused(monkeypatch, path, f"--sample={sample}")
    sample.write_text(json.dumps({"inputs": [{**tensor, "name": "z"}]}))
    assert "unknown input 'z'" in refused(monkeypatch, path, f"--sample={sample}")
    sample.write_text(json.dumps({"inputs": [tensor]}))
    model = publish(monkeypatch, path, f"--sample={sample}")
    assert model.manifest.golden_sample["inputs"][0]["data"] == [1, 2, 3, 4]
