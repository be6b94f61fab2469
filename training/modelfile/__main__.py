"""Publish a model file: look, convert, try, publish.

python -m training.modelfile wine model.onnx                 # to the store of SERIN_S3_ENDPOINT
python -m training.modelfile wine model.onnx --output DIR    # or only look at the artifact
"""

import argparse
import hashlib
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import onnx

import predictors.onnx
from predictors.onnx import MODEL, OnnxModel, texts
from predictors.onnx.settings import Settings
from predictors.onnx.texts import TOKENIZER
from predictors.runtime import TensorSpec, build_manifest, golden_sample, read_artifact
from training import script
from training.errors import DataError
from training.export import scikit
from training.modelfile import estimator, onnxfile, sample, trial
from training.modelfile import texts as folders
from training.modelfile.errors import PublishError
from training.modelfile.source import Source, source_of
from training.progress import Reporter
from training.publish.artifact import Destination, code_identity, write_manifest

_MEMORY_BYTES = 12 << 30  # of a file of 2 GiB: parsed, checked, loaded twice
_SECONDS = 600  # of processor time
Parity = Callable[[sample.Arrays, sample.Arrays], float]


def main() -> None:
    """Look, convert, try, publish; raises where the file is no model that can be served."""
    # --- Flags ----------------------------------------------------------------------------------
    parser = argparse.ArgumentParser(
        prog="serin publish", description=__doc__.partition("\n")[0], allow_abbrev=False
    )
    parser.add_argument("name")
    parser.add_argument("path", type=Path)
    parser.add_argument("--sample", type=Path, metavar="FILE")
    parser.add_argument("--trust-pickle", action="store_true")
    parser.add_argument("--output", type=Path, metavar="DIR")
    args = parser.parse_args()
    # What a file makes a parser or an engine ask for ends here, and not with the machine.
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS + 1))
    # An engine amid a call would let Python's own handler wait; nothing here needs to be put away.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    destination = Destination(args.name, args.output)
    report = Reporter(args.name)
    try:
        print(_published(args, destination, report))
    except PublishError as error:
        raise DataError(str(error)) from error
    except MemoryError as error:
        raise DataError(
            f"{args.path} asks for over {_MEMORY_BYTES >> 30} GiB of memory: not published"
        ) from error


def _published(args: argparse.Namespace, destination: Destination, report: Reporter) -> str:
    source = source_of(args.path)
    with destination.folder() as folder:
        # --- The graph, and what is beside it ---------------------------------------------------
        parity = _prepare(source, folder, trusted=args.trust_pickle)

        # --- Signature and sample ---------------------------------------------------------------
        session = trial.session_of(folder)
        if source.kind == "texts":
            nodes = [
                [one.name for one in side] for side in (session.get_inputs(), session.get_outputs())
            ]
            read = folders.settings_of(source.path, *nodes)
            Settings({"probabilities": read.labels}, read).write(folder)
            inputs, outputs = texts.inputs(), texts.outputs(read.labels)
            given = _sample(args.sample, inputs)
        else:
            inputs = trial.inputs_of(session)
            given = _sample(args.sample, inputs)
            outputs = trial.outputs_of(session, inputs, given)
        del session
        for side, specs in (("takes", inputs), ("answers", outputs)):
            shown = ", ".join(f"{one.name} {one.datatype} {list(one.shape)}" for one in specs)
            report.say(f"{side} {shown}")

        # --- Answers: finite, equal twice, the same alone and in a batch ------------------------
        answered = trial.answers(folder, args.name, inputs, outputs, given)
        metrics = {} if parity is None else {"parity": parity(given, answered)}
        report.say("answers are finite, the same twice, and the same alone and in a batch")

        # --- Manifest, and what a pod will do with it -------------------------------------------
        manifest = build_manifest(
            folder,
            model=args.name,
            engine="onnxruntime",
            inputs=inputs,
            outputs=outputs,
            metrics=metrics,
            data={"name": args.path.name, "sha256": _sha256(source.path)},
            code=code_identity(__file__, predictors.onnx.__file__),
            golden_sample=golden_sample(inputs, outputs, given, answered),
        )
        write_manifest(folder, manifest)
        read_back = read_artifact(folder)
        OnnxModel.of_version(folder, read_back)(args.name, folder, read_back).load()

        # --- Publish ----------------------------------------------------------------------------
        return destination.deliver(folder)


def _prepare(source: Source, folder: Path, *, trusted: bool) -> Parity | None:
    """Put the graph and the files that it needs into the artifact's folder.

    Returns:
        For a converted model, what compares the answers with the original's.
    """
    if source.kind == "texts":
        graph = folders.graph_of(source.path)
        shutil.copyfile(source.path / TOKENIZER, folder / TOKENIZER)
        _copy(onnxfile.read(graph), graph, folder)
        return None
    if source.kind == "onnx":
        model = onnxfile.read(source.path)
        labels = onnxfile.without_maps(model)
        _copy(model, source.path, folder, changed=bool(labels))
        Settings(labels).write(folder)
        return None
    if source.kind == "pickle":
        original = estimator.unpickled(source.path, trusted=trusted)
    else:
        original = estimator.unskopsed(source.path)
    scikit.save(estimator.converted(source.path, original), folder / MODEL)
    Settings(estimator.labels_of(original)).write(folder)
    return lambda given, answered: estimator.require_parity(
        original, given[estimator.INPUT], answered
    )


def _copy(model: onnx.ModelProto, path: Path, folder: Path, *, changed: bool = False) -> None:
    """The graph and the weights beside it; a graph that was not changed keeps its bytes."""
    for name in onnxfile.weights_beside(model, path.parent):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path.parent / name, folder / name)
    if changed:
        (folder / MODEL).write_bytes(model.SerializeToString(deterministic=True))
    else:
        shutil.copyfile(path, folder / MODEL)


def _sample(path: Path | None, inputs: tuple[TensorSpec, ...]) -> sample.Arrays:
    return sample.given(path, inputs) if path else sample.made(inputs)


def _sha256(path: Path) -> str:
    """Of the file, or of the names and bytes of a folder's files."""
    digest = hashlib.sha256()
    for one in [path] if path.is_file() else sorted(path.rglob("*")):
        if one.is_file():
            if path.is_dir():
                digest.update(f"{one.relative_to(path)}\n".encode())
            with one.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


if __name__ == "__main__":
    script.run(main)
