"""OpenAI's API of a real predictor: its own client, and every field right, wrong and null."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import tiny_lm
from tests.support.predictor import Predictor, metric, running, wait_until

MODEL = "causal-lm"
MESSAGES = [{"role": "user", "content": "the quick brown fox"}]
CHAT, TEXT = "/openai/v1/chat/completions", "/v1/completions"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"enum": ["x", "y"]}},
    "required": ["a"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    """A predictor of the tiny model."""
    folder = tmp_path_factory.mktemp("lm")
    artifact = tiny_lm.write_artifact(folder / "artifact")
    with running(MODEL, artifact, folder / "log") as predictor:
        yield predictor


@pytest.fixture(scope="module")
def client(lm: Predictor) -> Iterator[openai.OpenAI]:
    """OpenAI's client of it."""
    base = f"http://127.0.0.1:{lm.http_port}/openai/v1"
    with openai.OpenAI(base_url=base, api_key="none", max_retries=0, timeout=30) as made:
        yield made


def ask(lm: Predictor, path: str, **document: Any) -> Any:
    """POST as curl does, without a content type."""
    asked = {"model": MODEL, "max_tokens": 8}
    asked |= {"messages": MESSAGES} if path == CHAT else {"prompt": "the fox"}
    body = json.dumps(asked | document).encode()
    return lm.request("POST", path, body)


def events(body: bytes) -> list[Any]:
    """The chunks of a stream that ends as OpenAI's do."""
    parts = body.decode().split("\n\n")
    assert parts[-2:] == ["data: [DONE]", ""]
    return [json.loads(part.removeprefix("data: ")) for part in parts[:-2]]


def test_a_chat_is_answered_whole_and_in_pieces(client: openai.OpenAI) -> None:
    """The same text, the role first, the reason and the usage last."""
    asked: Any = {"model": MODEL, "messages": MESSAGES, "temperature": 0, "max_tokens": 20}
    whole = client.chat.completions.create(**asked)
    chunks = list(
        client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    )
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]

    assert whole.choices[0].message.content
    assert choices[0].delta.role == "assistant"
    text = "".join(choice.delta.content or "" for choice in choices)
    assert text == whole.choices[0].message.content
    assert choices[-1].finish_reason == whole.choices[0].finish_reason == "length"
    usage, last = whole.usage, chunks[-1].usage
    assert usage is not None
    assert last is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (last.prompt_tokens, 20)
    assert last.total_tokens == usage.prompt_tokens + 20
    assert {chunk.id for chunk in chunks} == {chunks[0].id}


def test_a_text_is_completed_with_choices(client: openai.OpenAI) -> None:
    """N of each prompt, of seeds of their own; the same seed gives the same."""
    asked: Any = {"model": MODEL, "prompt": ["the fox", "dog"], "n": 2, "temperature": 1.5}
    asked |= {"max_tokens": 12, "seed": 4}
    answer = client.completions.create(**asked)
    again = client.completions.create(**asked)
    texts = [choice.text for choice in answer.choices]

    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert len(set(texts)) == 4
    assert texts == [choice.text for choice in again.choices]
    streamed: dict[int, str] = {}
    for chunk in client.completions.create(**asked, stream=True):
        for choice in chunk.choices:
            streamed[choice.index] = streamed.get(choice.index, "") + choice.text
    assert [streamed[index] for index in range(4)] == texts


def test_a_prompt_is_scored_without_a_new_token(lm: Predictor) -> None:
    """As lm-evaluation-harness asks: echo, logprobs, max_tokens 0; by text and by tokens."""
    text = "the quick brown fox jumps"
    ids = tiny_lm.tokenizer().encode(text).ids
    answers = [
        ask(lm, TEXT, prompt=prompt, max_tokens=0, echo=True, logprobs=2, temperature=0).json
        for prompt in (text, ids, [ids])
    ]
    (choice,) = answers[0]["choices"]
    told = choice["logprobs"]

    assert choice["text"] == text
    assert "".join(told["tokens"]) == text
    assert len(told["tokens"]) == len(ids)
    assert told["token_logprobs"][0] is None
    assert all(value < 0 for value in told["token_logprobs"][1:])
    assert all(len(best) == 2 for best in told["top_logprobs"][1:])
    assert [text[at] for at in told["text_offset"]] == [token[0] for token in told["tokens"]]
    assert [answer["choices"] for answer in answers[1:]] == [answers[0]["choices"]] * 2
    assert answers[0]["usage"]["completion_tokens"] == 0


def test_logprobs_are_of_the_tokens_that_came(client: openai.OpenAI) -> None:
    """Greedy tokens are the likeliest ones; a stream tells the same."""
    asked: Any = {"model": MODEL, "messages": MESSAGES, "temperature": 0, "max_tokens": 6}
    asked |= {"logprobs": True, "top_logprobs": 3}
    whole = client.chat.completions.create(**asked).choices[0].logprobs
    streamed: list[Any] = []
    for chunk in client.chat.completions.create(**asked, stream=True):
        told = chunk.choices[0].logprobs
        streamed += (told.content or []) if told else []

    assert whole is not None
    assert whole.content is not None
    assert len(whole.content) == 6
    for one in whole.content:
        assert one.top_logprobs[0].token == one.token
        assert len(one.top_logprobs) == 3
        assert one.logprob == one.top_logprobs[0].logprob
    assert streamed == whole.content


@pytest.mark.parametrize(
    ("wanted", "schema"),
    [
        ({"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}, SCHEMA),
        ({"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "boolean"}}}, {}),
    ],
)
def test_an_answer_fits_a_schema(
    client: openai.OpenAI, wanted: Any, schema: dict[str, Any]
) -> None:
    """Whatever the weights would say."""
    asked: Any = {"model": MODEL, "messages": MESSAGES, "max_tokens": 60, "seed": 3}
    answer = client.chat.completions.create(**asked, response_format=wanted)

    jsonschema.validate(json.loads(answer.choices[0].message.content or ""), schema)
    assert answer.choices[0].finish_reason == "stop"


def test_biases_and_stops_are_kept_to(lm: Predictor) -> None:
    """A token with a bias of 100 is all that comes; nothing comes from a stop text on."""
    token = tiny_lm.tokenizer().token_to_id("q")
    biased = ask(lm, TEXT, logit_bias={str(token): 100}, temperature=0).json
    free = ask(lm, TEXT, temperature=0, max_tokens=20).json["choices"][0]["text"]
    cut = ask(lm, TEXT, temperature=0, max_tokens=20, stop=free[5:7]).json["choices"][0]

    assert biased["choices"][0]["text"] == "q" * 8
    assert cut["text"] == free[: free.index(free[5:7])]
    assert cut["finish_reason"] == "stop"


def test_a_message_spells_no_control_token(lm: Predictor) -> None:
    """It costs as many tokens as its letters, and the conversation goes on."""
    honest = ask(lm, CHAT, messages=[{"role": "user", "content": ""}]).json["usage"]
    spelt = ask(lm, CHAT, messages=[{"role": "user", "content": "<|im_end|>"}]).json["usage"]

    assert spelt["prompt_tokens"] - honest["prompt_tokens"] > 4


def test_models_are_listed_at_each_base(lm: Predictor, client: openai.OpenAI) -> None:
    """One, by its name, with its budget."""
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL
    for base in ("/v1", "/openai/v1", f"/v2/models/{MODEL}/openai/v1"):
        (told,) = lm.request("GET", f"{base}/models").json["data"]
        assert (told["id"], told["max_model_len"]) == (MODEL, 256)


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


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "reason"),
    [
        ("POST", CHAT, b"{", 400, "not JSON"),
        ("POST", CHAT, b"[]", 400, "must be a JSON object"),
        ("GET", CHAT, None, 405, "expected POST"),
        ("POST", "/v1/models", b"{}", 405, "expected GET"),
        ("GET", "/v1/models/gpt", None, 404, "'gpt' does not exist"),
        ("POST", "/v1/embeddings", b"{}", 404, "/v1/chat/completions"),
        ("POST", TEXT, b'{"model": "gpt", "prompt": "x"}', 404, "'gpt' does not exist"),
    ],
)
def test_other_errors_have_the_envelope_too(
    lm: Predictor, method: str, path: str, body: bytes | None, status: int, reason: str
) -> None:
    """With the status that fits."""
    answer = lm.request(method, path, body)

    assert answer.status == status
    assert reason in answer.json["error"]["message"]


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


def test_a_client_that_leaves_frees_the_rows(lm: Predictor) -> None:
    """As cancelled; what is in flight falls to nothing."""
    document = {"model": MODEL, "messages": MESSAGES, "stream": True, "n": 4}

    def cancelled() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", lm.http_port, timeout=20)
        connection.request("POST", CHAT, json.dumps(document))
        connection.getresponse().readline()
        connection.close()
        return metric(lm.metrics(), "predictor_requests_total", outcome="cancelled") > 0

    wait_until(cancelled, 30, "a stream that ended as cancelled")
    wait_until(
        lambda: metric(lm.metrics(), "predictor_requests_in_flight") == 0, 10, "nothing in flight"
    )


def test_a_stream_of_curl_ends_with_done(lm: Predictor) -> None:
    """Each choice's reason comes once; usage is null until the last chunk."""
    answer = ask(lm, CHAT, stream=True, n=2, stream_options={"include_usage": True})
    chunks = events(answer.body)
    reasons = [
        choice["index"]
        for chunk in chunks
        for choice in chunk["choices"]
        if choice["finish_reason"]
    ]

    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert sorted(reasons) == [0, 1]
    assert [chunk["usage"] is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
