"""A store for tests, and platforms: one that all share, and fresh ones to break things on."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import trained as training
from tests.support.kubectl import Kubectl
from tests.support.platform import Platform
from tests.support.predictor import discovered_models
from tests.support.s3 import S3Server


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3Server]:
    """A store with an empty bucket."""
    (tmp_path / "s3" / "models").mkdir(parents=True)
    server = S3Server(tmp_path / "s3")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """Kubectl, and a platform that serves iris, for the tests of one file."""
    platform = Platform(tmp_path_factory.mktemp("kubectl") / "state")
    platform.publish(training.brief("iris"))
    try:
        platform.serin("up", "iris")
        yield Kubectl(platform)
    finally:
        platform.serin("down")
        assert platform.leftovers() == []


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """A platform's state folder with every model of this repository, briefly trained; to copy."""
    platform = Platform(tmp_path_factory.mktemp("published") / "state")
    for model in discovered_models():
        platform.publish(training.brief(model))
    return platform


@pytest.fixture(scope="session")
def trained(published: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform that serves every model of this repository; do not break it."""
    platform = published.copy(tmp_path_factory.mktemp("serin") / "state")
    try:
        platform.serin("up")
        yield platform
    finally:
        platform.serin("down")


@pytest.fixture
def fresh(published: Platform, tmp_path: Path) -> Iterator[Callable[..., Platform]]:
    """Makes platforms that have the published models; arguments are those of `up`."""
    made: list[Platform] = []

    def make(*arguments: str) -> Platform:
        platform = published.copy(tmp_path / f"state{len(made)}")
        made.append(platform)
        if arguments:
            platform.serin("up", *arguments)
        return platform

    yield make
    for platform in made:
        platform.serin("down")
        assert platform.leftovers() == []
