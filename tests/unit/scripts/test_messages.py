import struct
import subprocess
import sys

from scripts.client import messages


def test_raw_and_typed_contents_are_the_same_answer() -> None:
    """A server may answer in either form; BYTES come out as text."""
    kinds = messages.messages()
    typed = kinds.ModelInferResponse(model_name="iris", model_version="v", id="7")
    typed.outputs.add(name="i", datatype="INT64", shape=[2], contents={"int64_contents": [1, -2]})
    typed.outputs.add(
        name="n", datatype="BYTES", shape=[2], contents={"bytes_contents": [b"\xc3\xa9", b""]}
    )
    raw = kinds.ModelInferResponse(model_name="iris", model_version="v", id="7")
    raw.outputs.add(name="i", datatype="INT64", shape=[2])
    raw.outputs.add(name="n", datatype="BYTES", shape=[2])
    raw.raw_output_contents.append(struct.pack("<qq", 1, -2))
    raw.raw_output_contents.append(struct.pack("<I2sI", 2, b"\xc3\xa9", 0))

    assert messages.document(raw) == messages.document(typed)
    assert [output["data"] for output in messages.document(raw)["outputs"]] == [[1, -2], ["é", ""]]


def test_fp32_is_written_with_the_fewest_digits() -> None:
    """As REST writes it, so that both answers are the same text; also at the ends of its range."""
    singles = struct.unpack("<5f", struct.pack("<5f", 0.1, 1 / 3, 3.4028234664e38, 1e-45, -0.0))

    written = [repr(messages._shortest(single)) for single in singles]

    assert written == ["0.1", "0.33333334", "3.4028235e+38", "1e-45", "-0.0"]
    assert messages._shortest(float("inf")) == float("inf")


def test_the_messages_load_without_kserve() -> None:
    """Importing kserve takes over a second and parses the command line."""
    code = "import sys, scripts.client.messages as m; m.messages(); print('kserve' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"
