"""kserve's Model and ModelServer, imported without what serving never touches.

`import kserve` runs a package file that loads the generated Kubernetes client and 80 API models,
`kserve.protocol.infer_type` loads pandas for one annotation, and `kserve.model_server` its own
REST and gRPC servers, whose place ours takes: most of the start-up time and 90 MiB of a small
predictor. Nothing of kserve is changed here. Its submodules are imported under a package that did
not run that file, while those are withheld; afterwards they can be imported as ever. Flags are
withheld too: kserve parses sys.argv while it is imported.
"""

import importlib
import importlib.util
import sys
from types import ModuleType

_WITHHELD = (
    *("pandas", "kubernetes", "kubernetes.client", "kubernetes.config"),
    *("fastapi", "fastapi.responses", "httpx", "grpc"),
    *("cloudevents", "cloudevents.conversion", "cloudevents.exceptions", "cloudevents.http"),
    "cloudevents.sdk.converters.util",
    # Its own clients and servers.
    *("kserve.inference_client", "kserve.protocol.grpc.server", "kserve.protocol.rest.server"),
    "kserve.protocol.rest.multiprocess.server",
)


class _Withheld(ModuleType):
    """Stands for a module that only annotations name, and code that serves nothing here."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__init__": lambda *_, **__: None})


def _import_submodules() -> None:
    spec = importlib.util.find_spec("kserve")
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError("kserve is not installed: pip install -r requirements/predictor.txt")
    package = ModuleType("kserve", "kserve without its package file: see lean_kserve")
    package.__spec__ = spec
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["kserve"] = package
    withheld = [name for name in _WITHHELD if name not in sys.modules]
    flags = sys.argv[1:]
    try:
        # type: ignore: a ModuleType has whatever is put into it
        sys.modules.update({name: _Withheld(name) for name in withheld})
        del sys.argv[1:]
        package.Model = importlib.import_module("kserve.model").Model  # type: ignore[attr-defined]
        server = importlib.import_module("kserve.model_server")
        package.ModelServer = server.ModelServer  # type: ignore[attr-defined]
    finally:
        sys.argv[1:] = flags
        for name in withheld:
            del sys.modules[name]


if "kserve" not in sys.modules:
    _import_submodules()

# Only now: hence E402.
from kserve.model import BaseKServeModel, Model  # noqa: E402
from kserve.model_server import ModelServer  # noqa: E402
from kserve.model_server import parser as server_flags  # noqa: E402
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb  # noqa: E402
from kserve.protocol.infer_type import InferOutput, InferRequest, InferResponse  # noqa: E402

__all__ = [
    "BaseKServeModel",
    "InferOutput",
    "InferRequest",
    "InferResponse",
    "Model",
    "ModelServer",
    "pb",
    "server_flags",
]
