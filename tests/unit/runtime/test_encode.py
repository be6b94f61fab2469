"""What an answer cannot say in JSON."""

import numpy as np
import pytest

from predictors.runtime.v2.body.encode import encode
from predictors.runtime.v2.errors import InvalidRequest
from predictors.runtime.v2.signature import Request, Signature
from predictors.runtime.v2.spec import TensorSpec

SIGNATURE = Signature.of((), (TensorSpec("p", "FP32", (-1,)),))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_overflow_of_a_model_is_the_request_s_fault_and_binary_carries_it(value: float) -> None:
    """Finite inputs of 1e38 overflow most models: a 400 that names the output, never a 500."""
    outputs = {"p": np.array([0.5, value], np.float32)}
    with pytest.raises(InvalidRequest, match=r"output 'p' is NaN or infinite .* binary_data"):
        encode(Request("1", {}, 2, SIGNATURE.as_json), outputs, "m", "v")
    body, json_length = encode(Request("1", {}, 2, SIGNATURE.as_binary), outputs, "m", "v")

    assert body[json_length:] == outputs["p"].tobytes()
