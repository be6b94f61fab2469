"""V2Model: a kserve.Model that declares its tensors and has one hook, `infer`."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from predictors.runtime.artifact import golden
from predictors.runtime.artifact.artifact import ArtifactError, Manifest
from predictors.runtime.lean_kserve import InferOutput, InferRequest, InferResponse, Model
from predictors.runtime.v2.body.decode import request_id
from predictors.runtime.v2.datatypes import Array
from predictors.runtime.v2.errors import InferenceFailed, NotReady
from predictors.runtime.v2.signature import Signature
from predictors.runtime.v2.spec import TensorSpec

if TYPE_CHECKING:
    import onnxruntime

_SEALED = ("predict", "preprocess", "postprocess", "__call__")


def add_exactly(options: "onnxruntime.SessionOptions") -> None:
    """Have products of bytes added up exactly on every processor.

    Those without VNNI add two in 16 bits and cut off what does not fit, unless ONNX Runtime is
    asked for precision; asked for it, it takes the slower instructions on all of x86.
    """
    processors = Path("/proc/cpuinfo")
    if not processors.exists() or "vnni" not in processors.read_text():
        options.add_session_config_entry("session.x64quantprecision", "1")


class V2Model(Model):
    """One model version in memory.

    A subclass declares `inputs` and `outputs` and gives `load`, which ends in
    `return super().load()`, and `infer`. The server decodes, batches and encodes around it, so
    kserve's own request hooks would never be called on the fast path: overriding them is refused.
    """

    inputs: ClassVar[tuple[TensorSpec, ...]]
    outputs: ClassVar[tuple[TensorSpec, ...]]
    any_name: ClassVar[bool] = False
    """Whether a version may be served under another name than it was published as."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse subclasses that override what the server does itself."""
        super().__init_subclass__(**kwargs)
        for hook in _SEALED:
            if hook in vars(cls):
                raise TypeError(f"{cls.__name__}.{hook}: a V2Model's one request hook is infer")

    def __init__(self, name: str, model_dir: Path, manifest: Manifest, threads: int = 1) -> None:
        super().__init__(name)
        self.model_dir = model_dir
        self.manifest = manifest
        self.threads = threads
        self.platform = manifest.engine  # as metadata calls it
        own_check = type(self).validate is not V2Model.validate
        self.signature = Signature.of(
            self.inputs, self.outputs, self.validate if own_check else None
        )
        self.load_seconds = 0.0
        self._load_started = time.perf_counter()

    @classmethod
    def of_version(cls, folder: Path, manifest: Manifest) -> type[Self]:  # noqa: ARG003 - a hook
        """The class that serves a version: this one, unless versions declare their own tensors."""
        return cls

    @property
    def version(self) -> str:
        """The version served: the hash of its manifest."""
        return self.manifest.version

    def load(self) -> bool:
        """Answer the golden sample, then be ready; a subclass loads its engine first.

        Raises:
            ArtifactError: the artifact is another model's, or the sample's answer differs.
        """
        declared = {
            "inputs": [spec.signature() for spec in self.inputs],
            "outputs": [spec.signature() for spec in self.outputs],
        }
        published = self.manifest.document["signature"]
        if not _serves(declared, published):
            raise ArtifactError(
                f"version {self.version} was published with the signature {published}, this "
                f"predictor declares {declared}"
            )
        golden.replay(self.manifest.golden_sample, self.signature, self.infer)
        self.load_seconds = time.perf_counter() - self._load_started
        self.ready = True
        return True

    def start(self) -> None:
        """Leave `ready` to `load`: kserve would set it here, loaded or not."""

    def validate(self, arrays: dict[str, Array]) -> None:
        """Refuse a request by what its declaration cannot say; before it waits, so be quick.

        Args:
            arrays: the inputs of one request, each held to its declaration, all of one batch size;
                an input may be replaced by what `infer` takes, as a file for its base64.

        Raises:
            InvalidRequest: the inputs do not belong together, or a value is out of range; the
                message names the tensors.
        """

    def holds_up(self, arrays: dict[str, Array]) -> bool:
        """Whether `infer` would keep others waiting for what `prepare` can do first; be quick."""
        return False

    def prepare(self, arrays: dict[str, Array]) -> dict[str, Array]:
        """What `infer` takes in place of inputs that hold up; in a thread that does only this.

        Raises:
            InvalidRequest: as `infer`.
        """
        return arrays

    def infer(self, arrays: dict[str, Array]) -> dict[str, Array]:
        """Compute the outputs of a batch; called from several threads.

        Args:
            arrays: each input by name, in its declared shape and numpy dtype; an optional one only
                where it came. Rows may come from several requests, all with the same inputs;
                arrays may be read-only.

        Returns:
            Each output by name, one row for each input row, in order.

        Raises:
            InvalidRequest: a value that the signature cannot rule out.
        """
        raise NotImplementedError

    def onnx_session(
        self, filename: str, *, on_cpu: bool = False, exact: bool = False
    ) -> "onnxruntime.InferenceSession":
        """Open an ONNX file of the artifact: all optimisations, `threads` threads, no spinning.

        Args:
            filename: in the artifact's folder.
            on_cpu: not on a GPU even where there is one.
            exact: add up products of bytes exactly, even where that is slower.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        # A spinning thread burns the core that the event loop, or the next pod, needs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        if exact:
            add_exactly(options)
        path = self.model_dir / filename
        available = onnxruntime.get_available_providers()
        wanted = [p for p in ("CUDAExecutionProvider", "CPUExecutionProvider") if p in available]
        wanted = wanted[-1:] if on_cpu else wanted
        try:
            return onnxruntime.InferenceSession(path, options, providers=wanted)
        except Exception as error:  # ONNX Runtime has no common base class
            raise ArtifactError(f"{path} does not load: {error}") from error

    def get_input_types(self) -> list[dict[str, object]]:
        """The inputs for kserve's own metadata."""
        return [spec.metadata() for spec in self.inputs]

    def get_output_types(self) -> list[dict[str, object]]:
        """The outputs for kserve's own metadata."""
        return [spec.metadata() for spec in self.outputs]

    async def predict(  # type: ignore[override]  # V2 only: kserve's type also names V1's dict
        self, payload: InferRequest, headers: dict[str, str] | None = None
    ) -> InferResponse:
        """Answer kserve's own call, as when this model runs in a stock kserve server."""
        if not self.ready:
            raise NotReady(f"model '{self.name}' is not ready")
        arrays: dict[str, Array] = {}
        for tensor in payload.inputs:
            spec = self.signature.input(tensor.name, tensor.datatype, arrays)
            shape = spec.accept(list(tensor.shape))
            array = np.asarray(tensor.as_numpy()).reshape(shape)
            spec.check_finite(array)
            arrays[spec.name] = array
        rows = self.signature.rows_of(arrays)
        answered = self.check_outputs(self.infer(arrays), rows)
        outputs = []
        for spec in self.outputs:
            array = answered[spec.name]
            output = InferOutput(spec.name, list(array.shape), spec.datatype)
            output.set_data_from_numpy(array, binary_data=payload.use_binary_outputs)
            outputs.append(output)
        return InferResponse(
            response_id=request_id(payload.id),
            model_name=self.name,
            model_version=self.version,
            infer_outputs=outputs,
            use_binary_outputs=payload.use_binary_outputs,
            requested_outputs=payload.request_outputs,
        )

    def check_outputs(self, answered: dict[str, Array], rows: int) -> dict[str, Array]:
        """Hold an answer to the signature, before a client sees it.

        Raises:
            InferenceFailed: an output is missing or has another number of rows.
        """
        for spec in self.outputs:
            array = answered.get(spec.name)
            if array is None:
                raise InferenceFailed(f"model '{self.name}' gave no output '{spec.name}'")
            if self.signature.batched and array.shape[0] != rows:
                raise InferenceFailed(
                    f"model '{self.name}' gave {array.shape[0]} rows of '{spec.name}' for {rows}"
                )
        return answered


def _serves(declared: dict[str, Any], published: dict[str, Any]) -> bool:
    """Whether clients of a version find all that was published: what came since is optional."""
    for side, tensors in declared.items():
        since = [tensor for tensor in tensors if tensor not in published[side]]
        missing = [tensor for tensor in published[side] if tensor not in tensors]
        if missing or not all(tensor.get("optional") for tensor in since):
            return False
    return True
