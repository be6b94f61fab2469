"""What is attacked; see tests/support/attack.py."""

from collections.abc import Iterator

import pytest

from tests.support import tiny_lm, trained
from tests.support.attack import FLOWER, HELD_BYTES
from tests.support.honest import Honest, honest
from tests.support.predictor import Predictor, running


@pytest.fixture(scope="module")
def iris(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    """A predictor with the budget of its manifest's limit."""
    limit = {"PREDICTOR_MAX_HELD_BYTES": str(HELD_BYTES)}
    log = tmp_path_factory.mktemp("iris") / "log"
    with running("iris", trained.artifact("iris", "--smoke"), log, **limit) as predictor:
        yield predictor


@pytest.fixture(scope="module")
def client(iris: Predictor) -> Iterator[Honest]:
    """Asks iris all the while."""
    with honest(iris.http_port, iris.infer_path, FLOWER) as found:
        yield found


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    """A language model, tiny."""
    folder = tmp_path_factory.mktemp("lm")
    with running("causal-lm", tiny_lm.write_artifact(folder / "a"), folder / "log") as predictor:
        yield predictor
