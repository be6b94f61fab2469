"""Requests by class and confidence: one a request, by its first row, however they are batched."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from predictors.runtime import TensorSpec, V2Model
from predictors.runtime.artifact.artifact import Manifest
from predictors.runtime.dataplane.batcher import Batcher
from predictors.runtime.dataplane.class_counts import MOST_CLASSES, classes_of
from predictors.runtime.dataplane.job import Job
from predictors.runtime.observe.metrics import ModelMetrics
from predictors.runtime.v2.signature import Request

LABELS = ("no", "yes")


class Classifier(V2Model):
    """Answers the score it is given for `yes`."""

    inputs = (TensorSpec("score", "FP32", (-1,)),)
    outputs = (TensorSpec("scores", "FP32", (-1, 2), labels=LABELS),)

    def infer(self, arrays: dict[str, Any]) -> dict[str, Any]:
        return {"scores": np.stack([1 - arrays["score"], arrays["score"]], axis=1)}


@pytest.fixture
def batcher() -> Iterator[Batcher]:
    model = Classifier("classifier", Path(), Manifest("0", "classifier", "python", {}))
    metrics = ModelMetrics("classifier", "0", "python", classes=classes_of(model.outputs))
    made = Batcher(model, metrics, max_rows=4, queue_size=4)
    made.measure({"score": np.array([0.5], np.float32)})
    yield made
    made.close()


def request(*scores: float) -> Request:
    array = np.array(scores, np.float32)
    return Request("", {"score": array}, len(array), ())


def counted(batcher: Batcher) -> tuple[list[int], list[int]]:
    return list(batcher._metrics.answers), list(batcher._metrics._confidence.counts)


def test_requests_count_by_their_first_row(batcher: Batcher) -> None:
    """Alone and together, with several rows or none; what measured the model does not count."""
    assert counted(batcher)[0] == [0, 0]

    batcher.run_many([request(0.9)])
    batcher.run_many([request(0.2, 0.9), request(), request(0.55), request(0.97)])

    answers, confidences = counted(batcher)
    assert answers == [1, 3]
    assert sum(confidences) == 4
    assert confidences[1] == 1  # 0.55: above 0.5, up to 0.6


def test_a_request_that_is_cut_into_batches_counts_once(batcher: Batcher) -> None:
    """And beside others, on the worker."""
    done: list[int] = []
    for scores in ([0.9] * 11, [0.1]):
        job = Job({"score": np.array(scores, np.float32)}, len(scores), lambda: done.append(1))
        batcher.submit(job)
    batcher.close()

    assert len(done) == 2
    assert counted(batcher)[0] == [1, 1]


def test_every_class_has_a_series_from_the_load_on() -> None:
    """Models without labels, or with too many, have none."""
    metrics = ModelMetrics("m", "0", "python", classes=LABELS)
    samples = {s.labels.get("class"): s.value for f in metrics.collect() for s in f.samples}
    assert samples.items() >= {"no": 0.0, "yes": 0.0}.items()
    without = {family.name for family in ModelMetrics("m", "0", "python").collect()}
    assert {"predictor_answers", "predictor_confidence"}.isdisjoint(without)
    many = tuple(map(str, range(MOST_CLASSES + 1)))
    assert classes_of((TensorSpec("scores", "FP32", (-1, len(many)), labels=many),)) == ()
