"""Each discovered predictor, trained by its own script and started once a session."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest

from tests.support import trained
from tests.support.predictor import Predictor, running, served_models


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Predictor]]:
    """Starts a model's predictor when it is first asked for; all run until the end."""
    with ExitStack() as stack:

        @cache
        def start(model: str) -> Predictor:
            log = tmp_path_factory.mktemp(model) / "log"
            return stack.enter_context(running(model, trained.artifact(model, "--smoke"), log))

        yield start


@pytest.fixture(params=served_models())
def predictor(request: pytest.FixtureRequest, started: Callable[[str], Predictor]) -> Predictor:
    """A running predictor of each model in turn."""
    return started(request.param)
