"""Text from tokens, one token at a time: no half characters, and nothing past a stop string.

Tokens are bytes, and a character of UTF-8 may be split over several. So each token is looked up as
bytes and goes through an incremental decoder: what is streamed and what is answered whole are the
same text.
"""

import codecs
import json
import re

from tokenizers import Tokenizer

_UTF8 = codecs.getincrementaldecoder("utf-8")
_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


class UnknownDecoderError(ValueError):
    """The tokenizer's tokens are not bytes in one of the two usual spellings."""


def bytes_of_tokens(tokenizer: Tokenizer) -> list[bytes]:
    """The bytes of each token id; none for special tokens.

    Two spellings exist: GPT-2's, which writes every byte as a printable character, and
    SentencePiece's, where `▁` is a space and `<0x0A>` a byte.

    Raises:
        UnknownDecoderError: another spelling.
    """
    # The decoder alone: the whole tokenizer as JSON is tens of megabytes of objects.
    decoder = json.loads(tokenizer.decoder.__getstate__()) if tokenizer.decoder else {}
    kinds = {one["type"] for one in decoder.get("decoders", [decoder]) if "type" in one}
    if "ByteLevel" not in kinds and not kinds & {"ByteFallback", "Metaspace"}:
        raise UnknownDecoderError(f"expected a ByteLevel or ByteFallback decoder, got {decoder}")
    added = tokenizer.get_added_tokens_decoder()
    spelled = _byte_of_character()
    table = [b""] * tokenizer.get_vocab_size()
    for text, number in tokenizer.get_vocab().items():
        if number in added:
            table[number] = b"" if added[number].special else text.encode()
        elif "ByteLevel" in kinds:
            table[number] = bytes(spelled[character] for character in text)
        elif found := _BYTE_TOKEN.fullmatch(text):
            table[number] = bytes.fromhex(found[1])
        else:
            table[number] = text.replace("▁", " ").encode()
    return table


class Completion:
    """The text of one answer as it grows."""

    def __init__(self, table: list[bytes], stops: tuple[str, ...]) -> None:
        self._table = table
        self._stops = stops
        self._decoder = _UTF8("replace")
        self._held = ""  # may be the beginning of a stop string
        self.stopped = False

    def add(self, token: int) -> str:
        """Take a token; returns the text that is certain now, often none."""
        return self._take(self._decoder.decode(self._table[token]))

    def end(self) -> str:
        """No more tokens will come: the text that was held back."""
        text = self._take(self._decoder.decode(b"", final=True)) + self._held
        self._held = ""
        return text

    def _take(self, text: str) -> str:
        if not self._stops:
            return text
        if self.stopped:
            return ""
        text = self._held + text
        found = [at for at in (text.find(stop) for stop in self._stops) if at >= 0]
        if found:
            self.stopped = True
            self._held = ""
            return text[: min(found)]
        keep = max(_begun(text, stop) for stop in self._stops)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _begun(text: str, stop: str) -> int:
    """How many characters at the end of `text` are the beginning of `stop`."""
    for length in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0


def _byte_of_character() -> dict[str, int]:
    """GPT-2's spelling: printable bytes as themselves, the others from U+0100 on.

    https://github.com/openai/gpt-2/blob/master/src/encoder.py, bytes_to_unicode
    """
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1)]
    printable += range(ord("®"), ord("ÿ") + 1)
    others = [byte for byte in range(256) if byte not in printable]
    spelled = {chr(byte): byte for byte in printable}
    return spelled | {chr(256 + number): byte for number, byte in enumerate(others)}
