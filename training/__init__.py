"""What runs in a training Job: one linear script a model.

iris, mnist_forest, mnist_cnn, nli, causal_lm    the scripts: `python -m training.<model>`
script              what all scripts share as programs: flags, exit codes, clean endings
progress, errors    what a script says while it runs; what data can be wrong about
wheels              files of wheels on a package registry
run, job            the run that this process is; what it says of itself in its Job
publish/            from a model to a version in the store: gates, artifact, registry, records
export/             from a trained model to ONNX
digits/             what the two digit models share
entailment/         what nli learns from, and the models that learn it
language/           language models as arrays, for causal_lm
modelfile/          `serin publish`: model files that nobody trained here

A module of this folder with a `__main__` is a model that `serin train` knows. Scripts are unaware
of each other, and a room knows no script. Training may import a predictor, to prove that it serves
what was exported; no other package comes in.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # see predictors/__init__.py
