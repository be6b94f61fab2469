"""An infer request that is made of files: one as the whole body, or a form of them (`curl -F`).

For models with an input that takes files as they are: one of BYTES, whose declaration says by
`content_type` which. Each file is a row of it.
"""

from typing import Any

import numpy as np
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from predictors.runtime.v2.body.decode import request_id
from predictors.runtime.v2.errors import InvalidRequest
from predictors.runtime.v2.signature import Request, Signature

FORM = b"multipart/form-data"
MAX_PARTS = 1024  # each costs some microseconds, however little is in it
_ALIASES = {b"image/jpg": b"image/jpeg"}  # no registered type, and sent by many
_ID = "id"


class FileRequests:
    """How one model is asked with files."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        spec = next((spec for spec in signature.inputs.values() if spec.media_types), None)
        self._name = "" if spec is None else spec.name
        media = () if spec is None else tuple(name.encode() for name in spec.media_types)
        self.content_types = (*media, FORM) if media else ()
        """What such requests say of their bodies; none where the model takes no files."""

    def takes(self, content_type: bytes | None) -> bool:
        """Whether a body is for `request`."""
        return content_type is not None and _media_type(content_type) in self.content_types

    def request(self, content_type: bytes, body: bytes) -> Request:
        """Read a body.

        Raises:
            InvalidRequest: saying what is wrong with the form, or with the files.
        """
        identity: str | None = None
        files = [body]
        if _media_type(content_type) == FORM:
            files = []
            for name, is_file, content in _parts(content_type, body):
                if is_file or name == self._name:
                    files.append(content)
                elif name == _ID and identity is None:
                    identity = content.decode(errors="replace")
                else:
                    raise InvalidRequest(
                        f"the form's field {name!r:.80} is no file: expected files for "
                        f"'{self._name}' (curl -F {self._name}=@FILE) and at most one 'id'; other "
                        "inputs go in JSON"
                    )
            if not files:
                raise InvalidRequest(
                    f"the form has no file: expected some for '{self._name}' "
                    f"(curl -F {self._name}=@FILE)"
                )
        rows = np.empty(len(files), object)
        rows[:] = files
        arrays = {self._name: rows}
        signature = self._signature
        return Request(request_id(identity), arrays, signature.rows_of(arrays), signature.as_json)


def _media_type(content_type: bytes) -> bytes:
    name = content_type.partition(b";")[0].strip().lower()
    return _ALIASES.get(name, name)


def _parts(content_type: bytes, body: bytes) -> list[tuple[str, bool, bytes]]:
    """A form's parts: the field's name, whether it is a file, and its content."""
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise InvalidRequest(
            "multipart/form-data needs a boundary: let the client write the Content-Type"
        )
    reader = _FormReader()
    try:
        parser = MultipartParser(boundary, reader.callbacks)
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise InvalidRequest(f"the body is no multipart/form-data: {error}") from error
    if not reader.is_whole:
        raise InvalidRequest("the form ends early: its last boundary is missing")
    return reader.parts


class _FormReader:
    """Keeps what python-multipart finds."""

    def __init__(self) -> None:
        self.parts: list[tuple[str, bool, bytes]] = []
        self.is_whole = False
        self._begun = 0
        self._field = self._value = self._disposition = b""
        self._content: list[memoryview] = []
        self.callbacks: Any = {
            "on_part_begin": self._begin,
            "on_header_field": self._read_field,
            "on_header_value": self._read_value,
            "on_header_end": self._end_header,
            "on_part_data": self._read_content,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._begun += 1
        if self._begun > MAX_PARTS:
            raise InvalidRequest(f"the form has more than {MAX_PARTS} parts")
        self._disposition = b""
        self._content = []

    def _read_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _read_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        name = self._field.lower()
        if name == b"content-disposition":
            self._disposition = self._value
        elif name == b"content-transfer-encoding" and self._value.lower() not in _AS_IT_IS:
            raise InvalidRequest(
                f"the form's part {len(self.parts)} is in {self._value[:40].decode('latin-1')}: "
                "send files as they are"
            )
        self._field = self._value = b""

    def _read_content(self, data: bytes, start: int, end: int) -> None:
        self._content.append(memoryview(data)[start:end])

    def _end(self) -> None:
        options = parse_options_header(self._disposition)[1]
        name = options.get(b"name", b"").decode(errors="replace")
        is_file = b"filename" in options or b"filename*" in options
        self.parts.append((name, is_file, b"".join(self._content)))
        self._content = []

    def _finish(self) -> None:
        self.is_whole = True


_AS_IT_IS = (b"binary", b"8bit", b"7bit")
