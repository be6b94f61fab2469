"""Each discovered predictor, trained by its own script and started once a session."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support import trained
from tests.support.predictor import Predictor, discovered_models, running


@pytest.fixture(scope="session", params=discovered_models())
def predictor(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Predictor]:
    """A running predictor of each model in turn."""
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        artifact = trained.artifact(request.param, "--smoke")
        yield stack.enter_context(running(request.param, artifact, folder / "log"))
