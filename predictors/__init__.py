"""What runs in the serving pod: one module a model, all on `predictors.runtime`.

iris, mnist_forest, mnist_cnn, nli, causal_lm    the models
onnx    whatever `serin publish` published
digits  no model: what the two digit models share
"""

import os

# ONNX Runtime's wheels for Linux send events about models and sessions to their makers, since 1.29;
# it looks at this once, when it is imported. Whoever wants them sends sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
