"""A platform with a load of iris, its console, and a browser."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.drills.canary import Load
from tests.support import trained
from tests.support.console_browser import SECONDS, Shop, Tabs, answers
from tests.support.kubectl import Kubectl
from tests.support.open_load import sending
from tests.support.platform import Platform, wait_for
from tests.support.required import binary

BROWSER = "chromium-headless-shell"
RATE = 10  # requests a second


@pytest.fixture(scope="module")
def shop(published: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Iris with two versions and a load, the forest, and a small language model."""
    platform = published.copy(tmp_path_factory.mktemp("console") / "state")
    kubectl = Kubectl(platform)
    try:
        old = platform.publish(trained.artifact("iris"))
        platform.serin("up", "iris", "mnist-forest", "causal-lm")
        new = platform.publish(trained.artifact("iris", "--seed=7"))
        wait_for(lambda: answers(platform), SECONDS, "the console")
        host, path = "iris-models.localhost", "/v2/models/iris/infer"
        with sending(Load(platform.url, host, path, RATE)):
            yield Shop(platform, kubectl, old, new)
    finally:
        platform.serin("down")
    assert platform.leftovers() == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's, without a window."""
    with sync_playwright() as driver:
        started = driver.chromium.launch(
            executable_path=binary(BROWSER), args=["--no-sandbox"], timeout=SECONDS * 1000
        )
        yield started
        started.close()


@pytest.fixture(autouse=True)
def patience() -> None:
    """Playwright's own five seconds are few beside other tests."""
    expect.set_options(timeout=SECONDS * 1000)


@pytest.fixture
def tabs(shop: Shop, browser: Browser) -> Iterator[Tabs]:
    """Opens pages; errors in them and requests to other hosts fail the test."""
    opened = Tabs(browser, shop.address)
    with opened.ends:
        yield opened
    assert opened.wrong == []
