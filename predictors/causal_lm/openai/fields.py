"""A request's JSON object, field by field, each held to its type and range; null is not given."""

from typing import Any

from predictors.runtime import InvalidRequest

_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}


class FieldError(InvalidRequest):
    """A field that cannot be taken; OpenAI's errors name it."""

    def __init__(self, param: str, message: str, code: str | None = None) -> None:
        super().__init__(f"'{param}': {message}")
        self.param = param
        self.code = code


class Fields:
    """The fields of one object."""

    def __init__(self, document: dict[str, Any], within: str = "") -> None:
        self._within = within
        self._given = document
        self._known: set[str] = set()

    def take(self, name: str) -> Any:
        """A field's value, None where it is not given."""
        self._known.add(name)
        return self._given.get(name)

    def wrong(self, name: str, expected: str, got: object) -> FieldError:
        """What to raise for a value that is none of the expected."""
        scalar = type(got) in (int, float, str) and len(str(got)) <= 40
        shown = repr(got) if scalar else kind_of(got)
        return FieldError(f"{self._within}{name}", f"expected {expected}, got {shown}")

    def number(self, name: str, low: float, high: float) -> float | None:
        """A number from `low` to `high`."""
        value = self.take(name)
        if value is None:
            return None
        if type(value) not in (int, float) or not low <= value <= high:
            raise self.wrong(name, f"a number, {low:g} … {high:g}", value)
        return float(value)

    def whole(self, name: str, low: int, high: int) -> int | None:
        """A whole number from `low` to `high`."""
        value = self.take(name)
        if value is None:
            return None
        whole = type(value) is int or (type(value) is float and value.is_integer())
        if not whole or not low <= value <= high:
            raise self.wrong(name, f"a whole number, {low} … {high}", value)
        return int(value)

    def flag(self, name: str) -> bool:
        """True or false; false where it is not given."""
        value = self.take(name)
        if value is not None and type(value) is not bool:
            raise self.wrong(name, "true or false", value)
        return bool(value)

    def text(self, name: str) -> str | None:
        """A string."""
        value = self.take(name)
        if value is not None and type(value) is not str:
            raise self.wrong(name, "a string", value)
        return value

    def mapping(self, name: str) -> dict[str, Any] | None:
        """An object."""
        value = self.take(name)
        if value is not None and type(value) is not dict:
            raise self.wrong(name, "an object", value)
        return value

    def unsupported(self, *names: str, but: tuple[object, ...] = ()) -> None:
        """Refuse fields that ask for what there is not, unless they ask for nothing."""
        for name in names:
            value = self.take(name)
            nothing = (None, *but)
            # Of the same type: 0 is equal to False, and is no flag.
            if not any(type(value) is type(one) and value == one for one in nothing):
                raise FieldError(
                    f"{self._within}{name}", "is not supported by this server", "unsupported"
                )

    def finish(self) -> None:
        """Refuse what nobody took."""
        for name in self._given:
            if name not in self._known:
                known = ", ".join(sorted(self._known))
                raise FieldError(
                    f"{self._within}{name:.80}", f"is no field of this request: expected {known}"
                )


def kind_of(value: object) -> str:
    """What a JSON value is, for people."""
    return "an empty list" if value == [] else _KINDS[type(value)]
