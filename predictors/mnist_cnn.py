"""A handwritten digit from its pixels or its picture (convolutional network, ONNX Runtime).

Trained with PyTorch by training/mnist_cnn.py on MNIST (LeCun et al., doi:10.1109/5.726791;
CC BY-SA 3.0) or, where that is not at hand, on scikit-learn's 1,797 bundled digits drawn anew at
that size.
"""

from typing import Any

import numpy.typing as npt

from predictors.runtime import TensorSpec, V2Model, require_one, serve
from predictors.runtime.drawings import IMAGE, read_images

DIGITS = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")  # columns of `probabilities`
_SHAPE = (-1, 1, 28, 28)


class MnistCnnModel(V2Model):
    """Digit of an image, with the network's probability for each of the ten."""

    inputs = (
        TensorSpec(
            "input-0", "FP32", _SHAPE, also_accepts=((-1, 28, 28), (-1, 784)), optional=True
        ),
        IMAGE,
    )
    outputs = (
        TensorSpec("digit", "INT64", (-1,)),
        TensorSpec("probabilities", "FP32", (-1, 10), labels=DIGITS),
    )

    def load(self) -> bool:
        self._session = self.onnx_session("model.onnx")
        return super().load()

    def validate(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        require_one(arrays, "input-0", "image")

    def infer(self, arrays: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Read a batch of digits.

        Args:
            arrays: `input-0` (batch, 1, 28, 28) float32, 0 paper … 1 ink, cropped and centred as
                MNIST's are; or `image` (batch,) of bytes, PNG or JPEG files, which are brought to
                that form here.

        Returns:
            digit: (batch,) int64, 0 … 9.
            probabilities: (batch, 10) float32, each row sums to 1.
        """
        if "image" in arrays:
            pixels = read_images(arrays["image"]).reshape(_SHAPE)
        else:
            pixels = arrays["input-0"]
        (probabilities,) = self._session.run(["probabilities"], {"pixels": pixels})
        return {"digit": probabilities.argmax(axis=1), "probabilities": probabilities}


if __name__ == "__main__":
    serve(MnistCnnModel)
