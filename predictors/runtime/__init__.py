"""The V2 server around a kserve.Model: what every predictor stands on, in rooms.

process      the process: flags, settings, ports, workers, start and stop
rest, grpc   the transports, unaware of each other; http2 carries grpc
dataplane    from a checked request to its answer
channel      the channel that a replica follows from version to version
artifact     a model's folder on disk
observe      metrics, logs, spans
v2           the protocol: requests and answers as bytes and as arrays
lean_kserve  kserve's Model and messages, imported without their weight

A room knows only those below it. Models and trainings come in here, by the names below.
No scikit-learn, torch, transformers, S3 or Kubernetes client here: a predictor reads a local
folder and answers requests.
"""

from predictors.runtime.artifact.artifact import (
    MANIFEST,
    ArtifactError,
    Manifest,
    build_manifest,
    read_artifact,
    version_of,
)
from predictors.runtime.artifact.golden import golden_sample
from predictors.runtime.dataplane.model import V2Model
from predictors.runtime.dataplane.streaming import StreamingModel
from predictors.runtime.process.serve import serve
from predictors.runtime.v2.errors import InvalidRequest
from predictors.runtime.v2.signature import require_one
from predictors.runtime.v2.spec import TensorSpec

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
