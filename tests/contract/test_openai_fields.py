"""Every field of OpenAI's requests: right, of a wrong type, out of range, null and unknown."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.openai_api import CHAT, MESSAGES, MODEL, TEXT, ask, events, served
from tests.support.predictor import Predictor


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    """A predictor of the tiny model."""
    with served(tmp_path_factory.mktemp("lm")) as predictor:
        yield predictor


TOOL = {"type": "function", "function": {"name": "f"}}
IMAGE = [{"type": "image_url", "image_url": {"url": "data:,"}}]
# field: what is right, and what is not.
BOTH: dict[str, tuple[list[Any], list[Any]]] = {
    "model": ([MODEL], [5, None]),
    "stream": ([False, None], ["yes", 1, 0]),
    "stream_options": ([None], [{"include_usage": True}, 5, [], False]),
    "n": ([1, 3, None, 2.0], [0, 129, 1.5, "2", True]),
    "temperature": ([0, 5e-324, 0.7, 2, None], [-0.1, 2.1, "warm", True, [1]]),
    "top_p": ([0, 0.5, 1, None], [-0.1, 1.1, "x", False]),
    "top_k": ([0, 5, None], [-1, 1.5, "x"]),
    "seed": ([0, -7, 2**40, None], [1.5, "x", 2**64]),
    "stop": (
        [None, "", "x", [], [""], ["a", "b", "c", "d"]],
        [5, 0, False, {}, ["a"] * 5, [1], [None], "x" * 257],
    ),
    "presence_penalty": ([-2, 2, 0.5, None], [-2.1, 2.1, "x"]),
    "frequency_penalty": ([-2, 2, 0.5, None], [-2.1, 2.1, "x"]),
    "logit_bias": (
        [None, {}, {"5": -100, "7": 2.5}],
        [[], 0, "", {"x": 1}, {"-1": 1}, {"5": "1"}, {"5": 101}, {"999": 1}, {"1" * 5000: 1}],
    ),
    "response_format": (
        [None, {"type": "text"}],
        [
            *("json", {"type": "xml"}, {}, {"type": "json_schema"}, {"type": "text", "x": 1}),
            {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "nothing"}}},
            {"type": "json_schema", "json_schema": {"name": "a"}},
            {"type": "json_schema", "json_schema": {"name": 5, "schema": {}}},
            {"type": "json_schema", "json_schema": {"name": "a", "schema": {}, "strict": 1}},
            {"type": "json_schema", "json_schema": {"name": "a", "schema": {"$ref": "http://a/b"}}},
            *([], False, "", 0),
        ],
    ),
    **{
        name: (["me", "", None], [5, 0, [], False])
        for name in ("user", "service_tier", "safety_identifier", "prompt_cache_key")
    },
    "metadata": ([{}, {"a": "b"}, None], ["x", [], 0]),
    "store": ([False, None], [True, 0, "", "no"]),
    "tools": ([None, []], [[TOOL], {}, 0, "", False]),
    "functions": ([None, []], [[{"name": "f"}], {}]),
    **{
        name: ([None], [{"type": "content"}, "low", 1, 0, False, []])
        for name in ("audio", "prediction", "reasoning_effort", "verbosity")
    },
    "unknown": ([], [None, 1]),
    "": ([], [None]),
}
ONLY_CHAT: dict[str, tuple[list[Any], list[Any]]] = {
    "max_tokens": ([1, 200, None], [0, 257, 1.5, "x", [], False]),
    "max_completion_tokens": ([8, None], [0, 9, "x", {}, True]),
    "logprobs": ([True, False, None], [1, 0, "yes"]),
    "top_logprobs": ([None], [1, 21, -1, "5", False]),
    "tool_choice": (["none", None], ["auto", 0, {}, TOOL]),
    "function_call": (["none", None], ["auto", {"name": "f"}]),
    "modalities": ([["text"], None], [["audio"], "text", [1]]),
    "parallel_tool_calls": ([True, False, None], [1, "yes", []]),
    "messages": (
        [
            [{"role": "system", "content": "be kind"}, *MESSAGES],
            [{"role": "developer", "content": "be kind"}, *MESSAGES],
            [{"role": "user", "content": [{"type": "text", "text": "the"}], "name": "Ann"}],
            [{"role": "user", "content": []}, {"role": "assistant", "content": ""}, *MESSAGES],
            [{"role": "assistant", "content": "x", "tool_calls": None, "refusal": None}, *MESSAGES],
        ],
        [
            *(None, [], "hello", [5], [{}], [{"role": "king", "content": "x"}]),
            *([{"role": "user"}], [{"role": "user", "content": 5}]),
            [{"role": "user", "content": IMAGE}],
            [{"role": "tool", "content": "x"}],
            [{"role": "user", "content": "x", "age": 5}],
            *({}, 0, False, "", [None], [[]], [{"role": 5, "content": "x"}]),
            [{"role": "user", "content": None}],
            [{"role": "user", "content": ["text"]}],
            [{"role": "user", "content": [{"type": "text"}]}],
            [{"role": "user", "content": [{"type": "text", "text": 5}]}],
            [{"role": "user", "content": [{"type": "text", "text": "x", "more": 1}]}],
            [{"role": "user", "content": [{"type": ["text"], "text": "x"}]}],
            [{"role": "user", "content": "x", "name": 5}],
            [{"role": "assistant", "content": "x", "tool_calls": [TOOL]}],
            [{"role": "user", "content": "x" * 400}],
        ],
    ),
}
ONLY_TEXT: dict[str, tuple[list[Any], list[Any]]] = {
    "max_tokens": ([0, 200, None], [-1, 257, 1.5, "x", [], False]),
    "prompt": (
        ["", "the", ["the", "fox"], [5, 6], [[5], [6, 7]], ["the", [5]]],
        [
            *(None, [], 5, 0, False, {}, [[]], ["a", 5], [5, "a"], [999], [-1], [2**70]),
            *([1.0], [[True]], [None], [{}], "x" * 400),
        ],
    ),
    "logprobs": ([0, 5, None], [6, -1, True, False, "5"]),
    "echo": ([True, False, None], [1, 0, "yes"]),
    "best_of": ([1, None], [2, 0, "1", True]),
    "suffix": (["", None], ["x", 0, []]),
}


# The same, of streams.
STREAMED: dict[str, tuple[list[Any], list[Any]]] = {
    "stream_options": (
        [
            *(None, {}, {"include_usage": True}, {"include_usage": None}),
            {"include_usage": False, "include_obfuscation": False},
        ],
        [5, [], False, {"include_usage": 1}, {"include_obfuscation": "no"}, {"unknown": True}],
    ),
    "stream": ([True], []),
    "n": ([2], [0]),
    "response_format": ([{"type": "json_object"}], [{"type": 5}]),
}


def cases(right: bool) -> list[Any]:
    """Path, whether it is a stream, field and value of each case."""
    tables = (
        *((CHAT, False, BOTH | ONLY_CHAT), (TEXT, False, BOTH | ONLY_TEXT)),
        *((CHAT, True, STREAMED), (TEXT, True, STREAMED)),
    )
    return [
        pytest.param(
            *(path, streamed, name, value),
            id=f"{path.rpartition('/v1/')[2]}{'-stream' * streamed}-{name}-{number}",
        )
        for path, streamed, table in tables
        for name, halves in table.items()
        for number, value in enumerate(halves[0 if right else 1])
    ]


@pytest.mark.parametrize(("path", "streamed", "name", "value"), cases(right=True))
def test_what_is_right_is_taken(
    lm: Predictor, path: str, streamed: bool, name: str, value: Any
) -> None:
    """Null is a field that is not given."""
    answer = ask(lm, path, **({"stream": streamed} | {name: value}))

    assert answer.status == 200, answer.body
    (first, *_) = events(answer.body) if streamed else [answer.json]
    assert first["choices"]


@pytest.mark.parametrize(("path", "streamed", "name", "value"), cases(right=False))
def test_what_is_wrong_is_a_400_that_names_it(
    lm: Predictor, path: str, streamed: bool, name: str, value: Any
) -> None:
    """In OpenAI's envelope, before anything is computed."""
    answer = ask(lm, path, **({"stream": streamed} | {name: value}))
    error = answer.json["error"]

    assert answer.status == 400, answer.body
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    told = f"{error['param']} {error['message']}"
    assert name in told or error["code"] == "context_length_exceeded"


KEYS = ["role", "content", "type", "text", "schema", "name", "json_schema", "5", "$ref", "items"]
ANYTHING = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 6),
        st.integers(-(2**70), 2**70),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=8),
        st.sampled_from(["text", "user", "none", "5", "<|im_end|>", "json_object", "\ud7ff"]),
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A path and a right request of which some fields became anything, or another right value."""
    path, table = draw(st.sampled_from([(CHAT, BOTH | ONLY_CHAT), (TEXT, BOTH | ONLY_TEXT)]))
    document = {"model": MODEL, "max_tokens": 4}
    document |= {"messages": MESSAGES} if path == CHAT else {"prompt": ["the fox", "dog"]}
    for name in draw(st.lists(st.sampled_from(sorted(table)), max_size=5, unique=True)):
        right = table[name][0]
        values = st.sampled_from(right) | ANYTHING if right else ANYTHING
        document[name] = draw(values)
    document["stream"] = draw(st.sampled_from([True, False, None]))
    return path, document


@settings(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(asked=documents())
def test_no_request_breaks_the_server(lm: Predictor, asked: tuple[str, dict[str, Any]]) -> None:
    """Each of 150 generated ones gets a whole answer, or a 4xx in OpenAI's envelope."""
    path, document = asked
    answer = lm.request("POST", path, json.dumps(document).encode())

    if answer.status != 200:
        assert 400 <= answer.status < 500, answer.body
        assert answer.json["error"]["message"]
    elif document["stream"]:
        assert all(chunk["choices"] or chunk["usage"] for chunk in events(answer.body))
    else:
        assert all(choice["finish_reason"] for choice in answer.json["choices"])
