"""A model's signature, and one request held to it: what both transports build and answer from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from predictors.runtime.v2.datatypes import Array
from predictors.runtime.v2.errors import InvalidRequest
from predictors.runtime.v2.record import Timing
from predictors.runtime.v2.spec import TensorSpec

Wanted = tuple[tuple[TensorSpec, bool], ...]
"""The outputs to answer, in the asked order, each with whether it goes as raw bytes."""
Classes = Mapping[str, tuple[TensorSpec, int]]
Arrays = dict[str, Array]
"""Arrays by tensor name; as `Outputs`, what a model answered."""
Outputs = Arrays


@dataclass(slots=True)  # not frozen: that takes four times as long to make
class Request:
    """A decoded infer request: every tensor checked, nothing of the transport left."""

    id: str
    arrays: Arrays
    rows: int
    wanted: Wanted
    timing: Timing | None = None
    timeout: float | None = None
    """Seconds by which its answer is wanted."""
    classes: Classes | None = None
    """Of which outputs how many classes are wanted in place of the numbers."""

    def due(self, started: float, deadline: float | None) -> float | None:
        """When its answer is wanted, by its own word and the transport's `deadline`."""
        if self.timeout is None:
            return deadline
        asked = started + self.timeout
        return asked if deadline is None else min(asked, deadline)

    @property
    def inner_shapes(self) -> dict[str, tuple[int, ...]]:
        """The inputs' shapes behind the batch axis; see the function of this name."""
        return inner_shapes(self.arrays)


def require_one(arrays: Arrays, *names: str) -> None:
    """Refuse a request that gives none of these optional inputs, or several: for `validate`.

    Raises:
        InvalidRequest: naming what was expected and what came.
    """
    given = [name for name in names if name in arrays]
    if len(given) != 1:
        expected = " or ".join(f"'{name}'" for name in names)
        got = " and ".join(f"'{name}'" for name in given) or "none of them"
        raise InvalidRequest(f"expected exactly one of the inputs {expected}, got {got}")


def inner_shapes(arrays: Arrays) -> dict[str, tuple[int, ...]]:
    """Which inputs came, with their shapes behind the batch axis: equal ones can be one batch."""
    return {name: array.shape[1:] for name, array in arrays.items()}


@dataclass(frozen=True, slots=True)
class Signature:
    """The declared tensors of a model, looked up by name; built once, at load."""

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    validate: Callable[[Arrays], None] | None = None
    required: tuple[str, ...] = field(init=False)
    as_json: Wanted = field(init=False)
    as_binary: Wanted = field(init=False)
    batched: bool = field(init=False)
    _all_always: bool = field(init=False)

    def __post_init__(self) -> None:
        specs = tuple(self.outputs.values())
        required = tuple(spec.name for spec in self.inputs.values() if not spec.optional)
        object.__setattr__(self, "required", required)
        object.__setattr__(self, "as_json", tuple((spec, False) for spec in specs))
        object.__setattr__(self, "as_binary", tuple((spec, True) for spec in specs))
        always = all(spec.only_with is None for spec in specs)
        object.__setattr__(self, "_all_always", always)
        every = (*self.inputs.values(), *specs)
        object.__setattr__(self, "batched", all(spec.batched for spec in every))

    @classmethod
    def of(
        cls,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        validate: Callable[[Arrays], None] | None = None,
    ) -> "Signature":
        """Index the declared tensors by name; `validate` is the model's own check of a request."""
        by_name = [{spec.name: spec for spec in side} for side in (inputs, outputs)]
        return cls(by_name[0], by_name[1], validate)

    def input(self, name: object, datatype: object, taken: Arrays) -> TensorSpec:
        """The spec of an input that a request names for the first time, in its datatype."""
        spec = self.inputs.get(name) if isinstance(name, str) else None
        if spec is None:
            raise InvalidRequest(f"unknown input {name!r}: expected {', '.join(self.inputs)}")
        if spec.name in taken:
            raise InvalidRequest(f"input '{spec.name}' is given twice")
        if datatype != spec.datatype:
            raise InvalidRequest(
                f"tensor '{spec.name}': expected datatype {spec.datatype}, got {datatype!r:.40}"
            )
        return spec

    def output(self, name: object) -> TensorSpec:
        """The spec of an output that a request asks for."""
        spec = self.outputs.get(name) if isinstance(name, str) else None
        if spec is None:
            raise InvalidRequest(
                f"unknown output {name!r}: this model has {', '.join(self.outputs)}"
            )
        return spec

    def answered(self, arrays: Arrays, *, binary: bool = False) -> Wanted:
        """The outputs for a request that names none."""
        wanted = self.as_binary if binary else self.as_json
        if self._all_always:
            return wanted
        given = (None, *arrays)
        return tuple((spec, raw) for spec, raw in wanted if spec.only_with in given)

    def rows_of(self, arrays: Arrays) -> int:
        """Check the inputs of a request as a whole; return their batch size.

        Raises:
            InvalidRequest: a required input is missing, batch sizes differ, or the model's
                `validate` refuses.
        """
        if len(arrays) != len(self.inputs):
            for name in self.required:
                if name not in arrays:
                    raise InvalidRequest(f"input '{name}' is missing")
            if not arrays:
                raise InvalidRequest(f"no input is given: expected any of {', '.join(self.inputs)}")
        rows = self._batch_size(arrays) if self.batched else 1
        if self.validate is not None:
            self.validate(arrays)
        return rows

    def _batch_size(self, arrays: Arrays) -> int:
        if len(arrays) == 1:
            (array,) = arrays.values()
            return int(array.shape[0])
        sizes = {name: int(array.shape[0]) for name, array in arrays.items()}
        if len(set(sizes.values())) != 1:
            listed = ", ".join(f"'{name}' has {rows}" for name, rows in sizes.items())
            raise InvalidRequest(f"inputs differ in batch size: {listed}")
        return next(iter(sizes.values()))
