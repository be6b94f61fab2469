"""Text from tokens: split characters, stop strings across borders, and the two spellings."""

import pytest
from tokenizers import Tokenizer, decoders, models

from predictors.causal_lm.text import Completion, UnknownDecoderError, bytes_of_tokens
from tests.support.tiny_lm import tokenizer


def pieces(text: bytes, stops: tuple[str, ...] = ()) -> tuple[list[str], Completion]:
    """The text byte by byte, each a token."""
    completion = Completion([bytes([number]) for number in range(256)], stops)
    given = []
    for byte in text:
        given.append(completion.add(byte))
        if completion.stopped:
            break
    return [*given, completion.end()], completion


def test_a_character_that_is_split_over_tokens_comes_whole() -> None:
    """Nothing until its last byte."""
    assert pieces("a日é".encode())[0] == ["a", "", "", "日", "", "é", ""]


def test_bytes_that_are_no_character_become_the_replacement_character() -> None:
    """In the middle and at the end, and never an exception."""
    assert "".join(pieces(b"a\xe6b\xe6\x97")[0]) == "a\ufffdb\ufffd"


def test_a_stop_string_over_several_tokens_ends_the_text_before_it() -> None:
    """What may be its beginning is held back until it is certain."""
    given, completion = pieces(b"one STOP two", ("STOP",))

    assert completion.stopped
    assert "".join(given) == "one "
    assert given[4:] == ["", "", "", "", ""]


def test_what_only_began_like_a_stop_string_is_given_after_all() -> None:
    """Once another character comes, or at the end."""
    assert "".join(pieces(b"a STOR y ST", ("STOP",))[0]) == "a STOR y ST"
    assert "".join(pieces(b"aab", ("aaab", "ab"))[0]) == "a"


def test_a_stop_string_of_split_characters() -> None:
    """Stops are text, whatever the tokens are."""
    assert "".join(pieces("größe。mehr".encode(), ("。",))[0]) == "größe"


def test_byte_level_tokens_give_back_any_text() -> None:
    """Tokens of several characters and tokens of part of one."""
    table = bytes_of_tokens(tokenizer())
    text = "the lazy größe 日本\n\t\x00"
    tokens = tokenizer().encode(text).ids

    assert b"".join(table[token] for token in tokens).decode() == text
    assert table[0] == b""  # the end-of-text token


def test_sentencepiece_tokens_are_bytes_too() -> None:
    """▁ is a space, <0x0A> a newline."""
    vocabulary = {"▁the": 0, "<0x0A>": 1, "a": 2}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])

    assert bytes_of_tokens(made) == [b" the", b"\n", b"a"]


def test_other_tokenizers_are_refused() -> None:
    """WordPiece cannot give a text back."""
    made = Tokenizer(models.WordPiece({"a": 0}, unk_token="a"))
    made.decoder = decoders.WordPiece()

    with pytest.raises(UnknownDecoderError, match="WordPiece"):
        bytes_of_tokens(made)
