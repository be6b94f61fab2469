"""`serin publish`: a model file of anybody's to a published version that `predictors.onnx` serves.

A process of its own, with bounds on memory and time: what a stranger's file does to a parser or to
an engine, it does here and not where models are served.

source     which kind of model a file or a folder is
onnxfile   ONNX files: read without trust, freed of what no tensor is
estimator  scikit-learn models, converted
texts      a Hugging Face folder of a text classifier
sample     the request that a version is tried with, given or made
trial      what a graph declares, and whether its answers hold
errors     why a file cannot be published

`__main__` is the program. The room knows predictors.onnx, and training's gates and registry.
"""
