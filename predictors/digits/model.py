"""A handwritten digit from its pixels or its picture, by whatever network: see `DigitModel`."""

from typing import Any

import numpy.typing as npt

from predictors.digits.images import IMAGE, are_large, image_files, read_images
from predictors.runtime.dataplane.model import V2Model
from predictors.runtime.v2.signature import require_one
from predictors.runtime.v2.spec import TensorSpec

DIGITS = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")  # columns of `probabilities`


def digit_inputs(*shapes: tuple[int, ...]) -> tuple[TensorSpec, TensorSpec]:
    """`input-0`, pixels in the first shape or brought to it, and `image`: one of the two."""
    taken, *others = shapes
    pixels = TensorSpec("input-0", "FP32", taken, also_accepts=tuple(others), optional=True)
    return pixels, IMAGE


class DigitModel(V2Model):
    """A digit and its ten probabilities; a subclass sets `inputs`, by `digit_inputs`."""

    outputs = (
        TensorSpec("digit", "INT64", (-1,)),
        TensorSpec("probabilities", "FP32", (-1, 10), labels=DIGITS),
    )

    def load(self) -> bool:
        self._session = self.onnx_session("model.onnx")
        return super().load()

    def validate(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        require_one(arrays, "input-0", "image")
        if "image" in arrays:
            arrays["image"] = image_files(arrays["image"])

    def holds_up(self, arrays: dict[str, npt.NDArray[Any]]) -> bool:
        return "image" in arrays and are_large(arrays["image"])

    def prepare(self, arrays: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        return {"input-0": read_images(arrays["image"]).reshape(self.inputs[0].shape)}

    def infer(self, arrays: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Read a batch of digits.

        Args:
            arrays: `input-0` (batch, …) float32 in the model's shape, rows of pixels from the top,
                0 paper … 1 ink, cropped and centred as MNIST's are; or `image` (batch,) of bytes,
                PNG or JPEG files, which are brought to that form here.

        Returns:
            digit: (batch,) int64, 0 … 9.
            probabilities: (batch, 10) float32, each row sums to 1.
        """
        pixels = (self.prepare(arrays) if "image" in arrays else arrays)["input-0"]
        (probabilities,) = self._session.run(["probabilities"], {"pixels": pixels})
        return {"digit": probabilities.argmax(axis=1), "probabilities": probabilities}
