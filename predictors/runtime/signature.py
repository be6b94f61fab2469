"""A model's signature, and one request held to it: what both transports build and answer from."""

from dataclasses import dataclass, field

from predictors.runtime.datatypes import Array
from predictors.runtime.errors import InvalidRequest
from predictors.runtime.spec import TensorSpec

Wanted = tuple[tuple[TensorSpec, bool], ...]
"""The outputs to answer, in the asked order, each with whether it goes as raw bytes."""
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

    @property
    def inner_shapes(self) -> list[tuple[int, ...]]:
        """The shapes behind the batch axis: requests that share them can be one batch."""
        return [array.shape[1:] for array in self.arrays.values()]


@dataclass(frozen=True, slots=True)
class Signature:
    """The declared tensors of a model, looked up by name; built once, at load."""

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    as_json: Wanted = field(init=False)
    as_binary: Wanted = field(init=False)
    batched: bool = field(init=False)

    def __post_init__(self) -> None:
        specs = tuple(self.outputs.values())
        object.__setattr__(self, "as_json", tuple((spec, False) for spec in specs))
        object.__setattr__(self, "as_binary", tuple((spec, True) for spec in specs))
        every = (*self.inputs.values(), *specs)
        object.__setattr__(self, "batched", all(spec.batched for spec in every))

    @classmethod
    def of(cls, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> "Signature":
        """Index the declared tensors by name."""
        return cls({spec.name: spec for spec in inputs}, {spec.name: spec for spec in outputs})

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

    def rows_of(self, arrays: Arrays) -> int:
        """Check that all inputs are there and of one batch size; return that size.

        Raises:
            InvalidRequest: an input is missing, or batch sizes differ.
        """
        if len(arrays) != len(self.inputs):
            missing = next(name for name in self.inputs if name not in arrays)
            raise InvalidRequest(f"input '{missing}' is missing")
        if not self.batched:
            return 1
        if len(arrays) == 1:
            (array,) = arrays.values()
            return int(array.shape[0])
        sizes = {name: int(array.shape[0]) for name, array in arrays.items()}
        if len(set(sizes.values())) != 1:
            listed = ", ".join(f"'{name}' has {rows}" for name, rows in sizes.items())
            raise InvalidRequest(f"inputs differ in batch size: {listed}")
        return next(iter(sizes.values()))
