"""A model of one's own: any ONNX file that was published, by the tensors that its graph declares.

Published by `serin publish` (training/modelfile). One predictor serves them all: the tensors of a
version are in its manifest, and serving.json beside its graph says what the graph cannot.

graph  the tensors of an ONNX graph as V2 ones, and arrays between the two
texts  texts to token ids and scores to labels, for a text classifier
settings  serving.json of a version
"""

from pathlib import Path
from typing import Any, ClassVar, Self

import numpy.typing as npt

from predictors.onnx import graph
from predictors.onnx.settings import Settings
from predictors.runtime import ArtifactError, Manifest, TensorSpec, V2Model

MODEL = "model.onnx"


class OnnxModel(V2Model):
    """An ONNX file with the tensors of its own graph; each version declares them."""

    inputs: ClassVar[tuple[TensorSpec, ...]] = ()
    outputs: ClassVar[tuple[TensorSpec, ...]] = ()
    any_name = True

    @classmethod
    def of_version(cls, folder: Path, manifest: Manifest) -> type[Self]:
        """The class whose tensors are those that the version's manifest names.

        Raises:
            ArtifactError: serving.json is not what publishing writes.
        """
        labels = Settings.read(folder).labels
        signature = manifest.document["signature"]
        tensors = {
            side: tuple(
                TensorSpec(
                    one["name"],
                    one["datatype"],
                    tuple(one["shape"]),
                    labels=labels.get(one["name"]) if side == "outputs" else None,
                )
                for one in signature[side]
            )
            for side in ("inputs", "outputs")
        }
        return type(cls.__name__, (cls,), {"__doc__": cls.__doc__, **tensors})

    def load(self) -> bool:
        self.open()
        return super().load()

    def open(self) -> None:
        """Open the graph and what reads texts for it; publishing tries a version before it is one.

        Raises:
            ArtifactError: a file does not load.
        """
        self._session = self.onnx_session(MODEL)
        self._types = {node.name: node.type for node in self._session.get_inputs()}
        self._texts = None
        if (text := Settings.read(self.model_dir).text) is not None:
            # tokenizers is imported where a version needs it, and only there.
            try:
                from predictors.onnx.texts import TextClassifier
            except ModuleNotFoundError as error:
                raise ArtifactError(
                    f"this version reads texts, and {error.name} is not installed: ./serin install "
                    "serve-onnx"
                ) from error

            self._texts = TextClassifier.read(self.model_dir, text, [*self._types])

    def infer(self, arrays: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Run the graph on a batch.

        Args:
            arrays: the graph's inputs by name; of a text classifier `text`, (batch,) bytes, UTF-8.

        Returns:
            The graph's outputs by name; of a text classifier `label`, `probabilities`, `truncated`.

        Raises:
            InvalidRequest: the graph cannot compute these values, or a text is not UTF-8.
        """
        if self._texts is not None:
            feed, truncated = self._texts.feed(arrays["text"])
            (scores,) = graph.run(self._session, [self._texts.scores], feed)
            return {**self._texts.answer(scores), "truncated": truncated}
        feed = {name: graph.given(self._types[name], name, array) for name, array in arrays.items()}
        names = [spec.name for spec in self.outputs]
        answered = zip(self.outputs, graph.run(self._session, names, feed), strict=True)
        return {spec.name: graph.answered(spec, array) for spec, array in answered}


__all__ = ["MODEL", "OnnxModel"]
