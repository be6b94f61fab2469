"""A form made of V2 metadata, the request that it sends, and the answer taken apart."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from controlplane.console.pages.words import number, short
from controlplane.console.sources.answer import SourceError

NUMBERS = 32
"""Values of a tensor that have a field each; larger ones are typed as JSON."""
FIELDS = 24
SHOWN = 64
"""Values of an answer."""
BARS = 20
TEXT = 20_000
IMAGE_BYTES = 4 * 2**20
PNG_TEXT = "data:image/png;base64,"
_FLOATS = ("FP16", "FP32", "FP64", "BF16")
_EXAMPLE = "Once upon a time"


@dataclass(frozen=True, slots=True)
class Field:
    """One input tensor, as a form asks for it."""

    name: str
    datatype: str
    shape: str
    kind: str
    """numbers, text, picture, setting or json."""
    optional: bool
    values: tuple[str, ...]
    """What stands in it; of numbers, one for each."""
    hint: str = ""

    @property
    def step(self) -> str:
        """Of a field for a number."""
        return "any" if self.datatype in _FLOATS else "1"


@dataclass(frozen=True, slots=True)
class Form:
    """What may be asked of a model."""

    fields: tuple[Field, ...]
    streams: bool
    """Whether it is a text that can come in pieces."""

    @property
    def main(self) -> list[Field]:
        """What has to be given, or one of several ways to give it."""
        return [field for field in self.fields if field.kind != "setting"]

    @property
    def settings(self) -> list[Field]:
        """What may be left as it is."""
        return [field for field in self.fields if field.kind == "setting"]

    @property
    def has_picture(self) -> bool:
        """Whether it needs a form with a file."""
        return any(field.kind == "picture" for field in self.fields)


def form(metadata: Mapping[str, Any], sample: Mapping[str, Any] | None) -> Form:
    """A form for a model.

    Args:
        metadata: V2's.
        sample: A request that is known to be good, for what stands in the fields at first.

    Raises:
        LookupError, TypeError, ValueError: The metadata has another form.
    """
    known = {str(tensor["name"]): tensor for tensor in (sample or {}).get("inputs") or () if tensor}
    inputs = list(metadata["inputs"])[:FIELDS]
    fields = [_field(tensor, known.get(str(tensor["name"]))) for tensor in inputs]
    if any(field.kind == "picture" for field in fields):
        fields = [field for field in fields if field.kind != "json" or not field.optional]
    names = {str(tensor["name"]) for tensor in metadata.get("outputs") or ()}
    streams = "text_output" in names and any(field.name == "text_input" for field in fields)
    return Form(tuple(fields), streams)


def _field(tensor: Mapping[str, Any], sample: Mapping[str, Any] | None) -> Field:
    name, datatype = short(str(tensor["name"]), 80), short(str(tensor["datatype"]), 12)
    shape = [int(axis) for axis in tensor["shape"]]
    parameters = tensor.get("parameters") or {}
    optional = bool(parameters.get("optional"))
    count = prod(axis for axis in shape if axis != -1)
    content = str(parameters.get("content_type", ""))
    data = list((sample or {}).get("data") or ())[:count]
    values: tuple[str, ...]
    if datatype == "BYTES" and content.startswith("image/"):
        kind, values = "picture", ()
    elif optional and count == 1:
        kind, values = "setting", ("",)
    elif datatype == "BYTES":
        kind, values = "text", (short(str(data[0]), TEXT) if data else _EXAMPLE,)
    elif 0 < count <= NUMBERS and datatype != "BOOL":
        kind = "numbers"
        values = tuple(f"{value:g}" for value in data) if len(data) == count else ("0",) * count
    else:
        kind, values = "json", ("",)
    hints = [
        f"{key.replace('_', ' ')} {number(value)}"
        for key, value in parameters.items()
        if key in {"default", "minimum", "maximum", "max_items"} and not isinstance(value, dict)
    ]
    axes = ", ".join("n" if axis == -1 else str(axis) for axis in shape)
    return Field(name, datatype, f"({axes})", kind, optional, values, ", ".join(hints))


def request(form: Form, given: Mapping[str, Any]) -> dict[str, Any]:
    """The V2 request of a filled form.

    Args:
        form: What was shown.
        given: Field names and their text; of pictures, the file's bytes or a data URL.

    Raises:
        SourceError: A field's text is not what its tensor takes; says which.
    """
    tensors = [
        tensor
        for place, field in enumerate(form.fields)
        if (tensor := _tensor(field, f"f{place}", given)) is not None
    ]
    if not tensors:
        raise SourceError("Fill a field: the request would be empty.")
    return {"inputs": tensors}


def _tensor(field: Field, key: str, given: Mapping[str, Any]) -> dict[str, Any] | None:
    head = {"name": field.name, "datatype": field.datatype}
    if field.kind == "picture":
        picture = _picture(field, given.get(f"{key}.file"), given.get(f"{key}.drawn"))
        return {**head, "shape": [1], "data": [picture]} if picture else None
    if field.kind == "numbers":
        texts = [str(given.get(f"{key}.{place}", "")) for place in range(len(field.values))]
        data = [_number(field, text) for text in texts]
        axes = [int(axis) for axis in field.shape.strip("()").replace("n", "1").split(", ") if axis]
        return {**head, "shape": axes, "data": data}
    text = str(given.get(f"{key}.0", "")).replace("\r\n", "\n")
    if len(text) > TEXT:
        raise SourceError(f"{field.name}: at most {TEXT:,} characters.")
    if not text.strip():
        if field.optional:
            return None
        raise SourceError(f"{field.name} is empty: expected {field.datatype} {field.shape}.")
    if field.kind == "json":
        return _typed(field, head, text)
    value = text if field.datatype == "BYTES" else _number(field, text)
    return {**head, "shape": [1], "data": [value]}


def _typed(field: Field, head: Mapping[str, Any], text: str) -> dict[str, Any]:
    """A tensor of which somebody typed the values."""
    try:
        rows = json.loads(text)
        values, shape = rows, []
        while isinstance(values, list):
            shape.append(len(values))
            values = values[0]
    except (ValueError, LookupError, RecursionError) as error:
        raise SourceError(
            f"{field.name}: expected nested lists of {field.datatype} {field.shape}, as JSON."
        ) from error
    return {**head, "shape": shape or [1], "data": rows if shape else [rows]}


def _number(field: Field, text: str) -> float | int | bool:
    text = text.strip()
    try:
        if field.datatype == "BOOL":
            return {"true": True, "false": False}[text.lower()]
        if field.datatype in _FLOATS:
            return float(text)
        return int(text)
    except (ValueError, KeyError) as error:
        raise SourceError(
            f"{field.name}: {short(text, 40)!r} is no {field.datatype} number."
        ) from error


def _picture(field: Field, file: object, drawn: object) -> str:
    """A picture as base64 text; empty where there is none."""
    if isinstance(file, bytes) and file:
        if len(file) > IMAGE_BYTES:
            raise SourceError(f"{field.name}: a picture has at most {IMAGE_BYTES:,} bytes.")
        return base64.b64encode(file).decode()
    text = str(drawn or "")
    if not text:
        if field.optional:
            return ""
        raise SourceError(f"{field.name}: choose or draw a picture.")
    try:
        if not text.startswith(PNG_TEXT):
            raise ValueError("no PNG")
        base64.b64decode(text.removeprefix(PNG_TEXT), validate=True)
    except (binascii.Error, ValueError) as error:
        raise SourceError(f"{field.name}: the drawing is no PNG.") from error
    return text.removeprefix(PNG_TEXT)


@dataclass(frozen=True, slots=True)
class Bar:
    """A class with its score."""

    label: str
    value: float
    text: str


@dataclass(frozen=True, slots=True)
class Output:
    """One tensor of an answer."""

    name: str
    datatype: str
    shape: str
    values: tuple[str, ...] = ()
    more: int = 0
    """Values that are not shown."""
    bars: tuple[Bar, ...] = ()
    is_text: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, or a refusal."""

    status: int
    version: str
    outputs: tuple[Output, ...]
    error: str
    seconds: float
    raw: str


def answer(status: int, body: str, seconds: float, metadata: Mapping[str, Any]) -> Answered:
    """A V2 answer as it is shown."""
    raw = short(body, 4000)
    try:
        document = json.loads(body)
        if status != 200:
            error = short(str(document.get("error") or body), 2000)
            return Answered(status, "", (), error, seconds, raw)
        labels = {
            str(tensor["name"]): list((tensor.get("parameters") or {}).get("labels") or ())
            for tensor in metadata.get("outputs") or ()
        }
        outputs = tuple(
            _output(tensor, labels.get(str(tensor["name"]), []))
            for tensor in document["outputs"][:FIELDS]
        )
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return Answered(status, "", (), "The answer is no V2 answer.", seconds, raw)
    version = short(str(document.get("model_version", "")), 64)
    return Answered(status, version, outputs, "", seconds, raw)


def _output(tensor: Mapping[str, Any], labels: Sequence[object]) -> Output:
    shape = list(tensor["shape"])
    data = list(tensor["data"])
    name, datatype = short(str(tensor["name"]), 80), short(str(tensor["datatype"]), 12)
    head = (name, datatype, short(str(tuple(shape)), 60))
    if labels and len(data) == len(labels) and datatype in _FLOATS:
        scored = sorted(zip(data, labels, strict=True), key=lambda pair: -float(pair[0]))
        return Output(
            *head,
            bars=tuple(
                Bar(
                    short(str(label), 60),
                    min(max(float(value), 0.0), 1.0),
                    f"{100 * float(value):.1f} %",
                )
                for value, label in scored[:BARS]
            ),
            more=max(len(scored) - BARS, 0),
        )
    return Output(
        *head,
        values=tuple(
            short(value, TEXT) if isinstance(value, str) else number(value)
            for value in data[:SHOWN]
        ),
        more=max(len(data) - SHOWN, 0),
        is_text=datatype == "BYTES" and len(data) == 1 and len(str(data[0])) > 40,
    )
