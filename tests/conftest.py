"""Folder is the marker: tests/unit is `unit`, and so on, with that folder's time limit.

Workers (`-n 2`) share out files, not tests: what a file's tests use together is started once.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parents[1]
TIMEOUT_SECONDS = {"unit": 60, "contract": 180, "local": 300, "cluster": 1200}
# A developer's own settings and proxies must not decide what a test sees; where Envoy is may.
SCRUBBED = ("AWS_", "OTEL_", "PREDICTOR_", "SERIN_", "NO_COLOR", "FORCE_COLOR", "COLUMNS")
PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def pytest_configure(config: pytest.Config) -> None:
    """Kserve parses sys.argv when it is imported: pytest's arguments are none of its business."""
    del sys.argv[1:]
    settings.register_profile("a busy machine", settings(), deadline=None)
    settings.load_profile("a busy machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its folder and that folder's time limit.

    The longest come first, so that no worker is left with a long file while the others have nothing
    to do; within a folder pytest-randomly's order stays.
    """
    for item in items:
        folder = _folder(item)
        item.add_marker(folder)
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT_SECONDS[folder]))
    longest_first = list(reversed(TIMEOUT_SECONDS))
    items.sort(key=lambda item: longest_first.index(_folder(item)))


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(ROOT / "tests").parts[0]


@pytest.fixture(scope="session", autouse=True)
def _plain_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            ours = name.startswith(SCRUBBED) and name != "SERIN_ENVOY"
            if ours or name.lower() in PROXIES:
                patch.delenv(name)
        yield
