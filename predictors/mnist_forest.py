"""A handwritten digit from its 28×28 pixels or its picture (random forest, ONNX Runtime).

Trained by training/mnist_forest.py on MNIST (LeCun et al., doi:10.1109/5.726791; CC BY-SA 3.0) or,
where that is not at hand, on scikit-learn's 1,797 bundled digits drawn anew at that size.
"""

from predictors.digits.model import DigitModel, digit_inputs
from predictors.runtime import serve


class MnistForestModel(DigitModel):
    """Digit of an image, with the share of trees' votes for each of the ten."""

    inputs = digit_inputs((-1, 784), (-1, 28, 28))


if __name__ == "__main__":
    serve(MnistForestModel)
