"""`python -m predictors.onnx`: what a pod starts."""

from predictors.onnx import OnnxModel
from predictors.runtime import serve

serve(OnnxModel)
