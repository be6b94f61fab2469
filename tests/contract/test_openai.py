"""OpenAI's API of a real predictor, by its own client and by curl's requests."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import openai
import pytest

from tests.support import tiny_lm
from tests.support.openai_api import CHAT, MESSAGES, MODEL, TEXT, ask, events, served
from tests.support.predictor import Predictor, metric, wait_until

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"enum": ["x", "y"]}},
    "required": ["a"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    """A predictor of the tiny model."""
    with served(tmp_path_factory.mktemp("lm")) as predictor:
        yield predictor


@pytest.fixture(scope="module")
def client(lm: Predictor) -> Iterator[openai.OpenAI]:
    """OpenAI's client of it."""
    base = f"http://127.0.0.1:{lm.http_port}/openai/v1"
    with openai.OpenAI(base_url=base, api_key="none", max_retries=0, timeout=30) as made:
        yield made


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
    # With max_tokens 1 the harness cuts off the last score, which has to be the new token's.
    asked: Any = {"prompt": ids, "max_tokens": 1, "echo": True, "logprobs": 2, "temperature": 0}
    for token in (tiny_lm.tokenizer().token_to_id(tiny_lm.END), 50):  # one ends the answer
        (after,) = ask(lm, TEXT, **asked, logit_bias={str(token): 100}).json["choices"]
        assert after["logprobs"]["token_logprobs"][:-1] == told["token_logprobs"]


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


def test_a_client_that_leaves_frees_the_rows(lm: Predictor) -> None:
    """As cancelled; what is in flight falls to nothing."""
    document = {"model": MODEL, "messages": MESSAGES, "stream": True, "n": 4}

    def cancelled() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", lm.http_port, timeout=20)
        connection.request("POST", CHAT, json.dumps(document))
        connection.getresponse().readline()
        connection.close()
        return metric(lm.metrics(), "predictor_requests_total", outcome="cancelled") > 0

    wait_until(cancelled, 60, "a stream that ended as cancelled")
    wait_until(
        lambda: metric(lm.metrics(), "predictor_requests_in_flight") == 0, 60, "nothing in flight"
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
