"""The V2 server around a kserve.Model: what every predictor stands on.

No scikit-learn, torch, transformers, S3 or Kubernetes client here: a predictor reads a local
folder and answers requests.
"""

from predictors.runtime.artifact import (
    MANIFEST,
    ArtifactError,
    Manifest,
    build_manifest,
    read_artifact,
    version_of,
)
from predictors.runtime.errors import InvalidRequest
from predictors.runtime.golden import golden_sample
from predictors.runtime.model import V2Model
from predictors.runtime.server import serve
from predictors.runtime.signature import require_one
from predictors.runtime.spec import TensorSpec
from predictors.runtime.streaming import StreamingModel

__all__ = [
    "MANIFEST",
    "ArtifactError",
    "InvalidRequest",
    "Manifest",
    "StreamingModel",
    "TensorSpec",
    "V2Model",
    "build_manifest",
    "golden_sample",
    "read_artifact",
    "require_one",
    "serve",
    "version_of",
]
