"""An encoder with its adapter: added up in numpy, and served as the network that learnt it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from predictors.nli import PairTokenizer
from training.entailment.adapter import ADAPTED, Adapter
from training.entailment.encoder import Encoder, read
from training.entailment.pairs import Pairs, gate, held_out
from training.entailment.temperature import fitted
from training.entailment.tiny import tiny_bert
from training.errors import DataError
from training.export import encoder as graph
from training.export import scikit

RANK = 4
pytestmark = pytest.mark.timeout(120)  # importing torch on a busy machine


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    """Some that people wrote."""
    return held_out().take(range(40))


@pytest.fixture(scope="module")
def encoder(pairs: Pairs) -> Encoder:
    """Small, of random weights."""
    return tiny_bert(pairs, max_length=64, seed=0)[0]


@pytest.fixture(scope="module")
def adapter(encoder: Encoder) -> Adapter:
    """That changes every matrix it may."""
    drawn = np.random.default_rng(0)
    parts = {"head.weight": drawn.normal(0, 1, (3, 32)), "head.bias": drawn.normal(0, 1, 3)}
    for layer in range(2):
        for name in ADAPTED:
            base = f"encoder.layer.{layer}.{name}"
            rows, columns = encoder.weights[f"{base}.weight"].shape
            parts[f"{base}.lora_A"] = drawn.normal(0, 0.3, (RANK, columns))
            parts[f"{base}.lora_B"] = drawn.normal(0, 0.3, (rows, RANK))
    sixteen_bits = {name: part.astype(np.float16) for name, part in parts.items()}
    return Adapter({name: part.astype(np.float32) for name, part in sixteen_bits.items()}, 1.5)


def test_a_file_keeps_what_was_learnt(adapter: Adapter, tmp_path: Path) -> None:
    """Every part in 16 bits, and the temperature; the same bytes each time."""
    for name in ("one", "two"):
        adapter.write(tmp_path / name)
    kept = Adapter.read(tmp_path / "one")

    assert kept.temperature == adapter.temperature
    assert kept.parts.keys() == adapter.parts.keys()
    assert all(np.array_equal(kept.parts[name], adapter.parts[name]) for name in kept.parts)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_what_is_no_adapter_is_refused_by_its_name(tmp_path: Path) -> None:
    """Another file, and none."""
    (tmp_path / "other").write_text("no weights")
    for name in ("other", "none"):
        with pytest.raises(DataError, match=f"{name} is no adapter"):
            Adapter.read(tmp_path / name)


def test_the_graph_answers_as_the_network_that_learns(
    encoder: Encoder, adapter: Adapter, pairs: Pairs, tmp_path: Path
) -> None:
    """But for 8 bits: numpy adds up and ONNX Runtime computes what torch does."""
    torch = pytest.importorskip("torch")
    from training.entailment import tuning

    tokenizer = PairTokenizer(encoder.tokenizer)
    rows, truncated = tokenizer.encode(pairs.premises, pairs.hypotheses)
    learner = tuning.of_encoder(encoder, adapter, smoke=True)
    scores = torch.from_numpy(learner.scores(rows)) / adapter.temperature

    model = graph.to_onnx(encoder.config, adapter.merged(encoder), adapter.temperature)
    scikit.save(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (together,) = session.run(None, tokenizer.padded(rows))
    alone = np.concatenate([session.run(None, tokenizer.padded([row]))[0] for row in rows])

    off = np.abs(together - scores.softmax(-1).numpy())
    assert off.max() < 0.1
    assert off.mean() < 0.02
    assert np.abs(together - alone).max() < 1e-6
    assert max(map(len, rows)) <= 64
    assert truncated.tolist() == [len(row) == 64 for row in rows]


@pytest.mark.parametrize(
    ("written", "message"),
    [("", "cannot be loaded"), ('{"model_type": "gpt2"}', "model_type is gpt2, not bert")],
)
def test_a_folder_that_is_no_encoder_is_refused(tmp_path: Path, written: str, message: str) -> None:
    """By the name that was given."""
    if written:
        (tmp_path / "config.json").write_text(written)
    with pytest.raises(DataError, match=message):
        read(str(tmp_path), 64)


def test_a_temperature_is_fitted_on_pairs_that_judge_nothing(
    encoder: Encoder, adapter: Adapter
) -> None:
    """The samples share no premise; another temperature before it changes nothing."""
    some = held_out().take(range(60))
    made = fitted(adapter, encoder, some)

    assert not set(held_out().premises) & set(gate().premises)
    assert made.temperature != adapter.temperature
    assert made.parts is adapter.parts
    assert fitted(replace(adapter, temperature=9.0), encoder, some) == made


def test_two_products_of_codes_fit_16_bits(
    encoder: Encoder, adapter: Adapter, pairs: Pairs, tmp_path: Path
) -> None:
    """As processors without VNNI add them up: of every weight, and every code of a token."""
    model = graph.to_onnx(encoder.config, adapter.merged(encoder), adapter.temperature)
    matrices = [
        onnx.numpy_helper.to_array(constant).astype(int)
        for constant in model.graph.initializer
        if constant.data_type == onnx.TensorProto.INT8
    ]
    casts = [node.output[0] for node in model.graph.node if node.op_type == "Cast"]
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, ["a", "b", "c"])
        for name in casts
        if any(name in node.input for node in model.graph.node if "Integer" in node.op_type)
    )
    scikit.save(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    tokenizer = PairTokenizer(encoder.tokenizer)
    rows, _ = tokenizer.encode(pairs.premises, pairs.hypotheses)
    _, *codes = session.run(None, tokenizer.padded(rows))

    assert len(codes) == 4 * encoder.config["num_hidden_layers"]
    assert min(code.min() for code in codes) >= 1
    largest = 2 * max(int(code.max()) for code in codes)
    assert largest * max(np.abs(matrix).max() for matrix in matrices) < 2**15
