"""A handwritten digit from its pixels or its picture (convolutional network, ONNX Runtime).

Trained with PyTorch by training/mnist_cnn.py on MNIST (LeCun et al., doi:10.1109/5.726791;
CC BY-SA 3.0) or, where that is not at hand, on scikit-learn's 1,797 bundled digits drawn anew at
that size.
"""

from predictors.digits.model import DigitModel, digit_inputs
from predictors.runtime import serve


class MnistCnnModel(DigitModel):
    """Digit of an image, with the network's probability for each of the ten."""

    inputs = digit_inputs((-1, 1, 28, 28), (-1, 28, 28), (-1, 784))


if __name__ == "__main__":
    serve(MnistCnnModel)
