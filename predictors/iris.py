"""Iris species from four flower measurements (linear classifier, ONNX Runtime).

Trained by training/iris.py on Fisher's iris data, 150 flowers of 3 species
(doi:10.1111/j.1469-1809.1936.tb02137.x; CC BY 4.0 at UCI).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from predictors.runtime import TensorSpec, V2Model, serve

SPECIES = ("setosa", "versicolor", "virginica")  # what `class_index` counts
_NAMES = np.array([name.encode() for name in SPECIES], dtype=object)


class IrisModel(V2Model):
    """Species of a flower, as index, name and probabilities."""

    inputs = (TensorSpec("input-0", "FP32", (-1, 4)),)
    outputs = (
        TensorSpec("class_index", "INT64", (-1,)),
        TensorSpec("class_name", "BYTES", (-1,)),
        TensorSpec("probabilities", "FP32", (-1, 3), labels=SPECIES),
    )

    def load(self) -> bool:
        self._session = self.onnx_session("model.onnx")
        return super().load()

    def infer(self, arrays: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Classify a batch of flowers.

        Args:
            arrays: `input-0` (batch, 4) float32, centimetres: sepal length, sepal width, petal
                length, petal width.

        Returns:
            class_index: (batch,) int64, index into SPECIES.
            class_name: (batch,) bytes.
            probabilities: (batch, 3) float32, each row sums to 1.
        """
        feed = {"measurements": arrays["input-0"]}
        (probabilities,) = self._session.run(["probabilities"], feed)
        index = probabilities.argmax(axis=1)
        return {
            "class_index": index,
            "class_name": _NAMES[index],
            "probabilities": probabilities,
        }


if __name__ == "__main__":
    serve(IrisModel)
