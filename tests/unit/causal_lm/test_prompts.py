"""The budget of 256 tokens, and what settings may say."""

from typing import Any

import numpy as np
import pytest

from predictors.causal_lm.prompts import Prompt, tokens_of
from predictors.runtime import InvalidRequest
from tests.support.tiny_lm import objects, reader, tokenizer

READER = reader()


def read(text: str, **settings: Any) -> Prompt:
    """One prompt."""
    arrays = {name: np.array([value]) for name, value in settings.items()}
    arrays["text_input"] = objects([text.encode()])
    return READER.read(arrays, 1)[0]


def of_tokens(count: int) -> str:
    """A text of so many tokens: x is not merged with itself."""
    text = "x" * count
    assert len(tokenizer().encode(text).ids) == count
    return text


def test_prompt_and_answer_share_256_tokens() -> None:
    """Exactly as many are accepted, one more is not."""
    assert read(of_tokens(200), max_tokens=56).max_tokens == 56
    with pytest.raises(InvalidRequest, match=r"row 0 has 200 tokens.*at most 56.*truncate"):
        read(of_tokens(200), max_tokens=57)


def test_without_max_tokens_the_default_or_what_is_left() -> None:
    """64, and fewer behind a long prompt."""
    assert read("x").max_tokens == 64
    assert read(of_tokens(250)).max_tokens == 6
    with pytest.raises(InvalidRequest, match="row 0 has 256 tokens"):
        read(of_tokens(256))


def test_truncate_keeps_the_end_of_a_prompt() -> None:
    """As much as leaves room for what was asked."""
    text = of_tokens(300) + "dog"
    prompt = read(text, max_tokens=100, truncate=True)

    assert len(prompt.tokens) == 156
    assert prompt.tokens == tokenizer().encode(text).ids[-156:]
    assert read(of_tokens(300), truncate=True).max_tokens == 64


def test_a_huge_prompt_is_refused_or_cut_without_reading_all_of_it() -> None:
    """Eight megabytes would take seconds to tokenize."""
    huge = "x" * 8_000_000
    with pytest.raises(InvalidRequest, match="over 256"):
        read(huge)

    assert len(read(huge, truncate=True).tokens) == 192


def test_an_empty_prompt_begins_with_the_first_token() -> None:
    """Where the model has none it is refused."""
    assert read("").tokens == [0]
    with pytest.raises(InvalidRequest, match="row 0 is empty"):
        reader(None).read({"text_input": objects([b""])}, 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_tokens", 0), ("max_tokens", 256), ("temperature", -0.1), ("top_k", -1), ("top_p", 1.1)],
)
def test_a_setting_out_of_range_is_named(name: str, value: float) -> None:
    """With what was expected."""
    with pytest.raises(InvalidRequest, match=f"'{name}': expected"):
        read("x", **{name: value})


def test_too_many_stops_and_text_that_is_none_are_refused() -> None:
    """Empty stops are padding and do not count."""
    arrays = {"text_input": objects([b"x"]), "stop": objects([b"a", b"", b""])[None]}
    assert READER.read(arrays, 1)[0].stops == ("a",)
    arrays["stop"] = objects([b"a"] * 6)[None]
    with pytest.raises(InvalidRequest, match="'stop'"):
        READER.read(arrays, 1)
    with pytest.raises(InvalidRequest, match="'text_input': not UTF-8"):
        READER.read({"text_input": objects([b"\xff"])}, 1)


@pytest.mark.parametrize("text", ["x", " ", "the fox "])
def test_only_the_end_of_what_is_over_the_budget_is_read(text: str) -> None:
    """Over it all the same, by few tokens of the many that the whole has."""
    tokens = tokens_of(tokenizer(), text * 2_000_000, 256)

    assert 256 < len(tokens) < 256 * 64


@pytest.mark.parametrize("opening", ["[", '{"items":'])
def test_a_schema_that_is_nested_too_deep_is_the_clients_fault(opening: str) -> None:
    """Where Python's recursion ends, in reading it or in writing it."""
    for depth in (985, 5_000):
        with pytest.raises(InvalidRequest, match=r"json_schema|JSON schema"):
            read("x", json_schema=(opening * depth).encode())
        closed = opening * depth + "1" + ("]" if opening == "[" else "}") * depth
        with pytest.raises(InvalidRequest, match=r"json_schema|JSON schema"):
            read("x", json_schema=closed.encode())
