"""A browser on the console of a platform with requests, which keeps all that goes wrong."""

import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.support.kubectl import Kubectl
from tests.support.platform import Platform, wait_for

WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 375, "height": 700}
SECONDS = 100  # a limit, for a machine that does much else


@dataclass
class Shop:
    """A platform with a load of iris, and its console."""

    platform: Platform
    kubectl: Kubectl
    old: str
    new: str

    @property
    def address(self) -> str:
        """The console's, with its token."""
        return str(self.platform.state()["console_url"])

    def served(self) -> str:
        """The version in iris's object."""
        uri = self.kubectl.get("isvc/iris")["spec"]["predictor"]["model"]["storageUri"]
        return str(uri).rsplit("/", 1)[1]


@dataclass
class Tabs:
    """Opens pages; errors in them and requests to other hosts are kept."""

    browser: Browser
    address: str
    wrong: list[str] = field(default_factory=list)
    ends: ExitStack = field(default_factory=ExitStack)

    @property
    def base(self) -> str:
        """Of the console's addresses."""
        return self.address.split("/?")[0]

    def open(self, path: str, **options: Any) -> Page:
        """A page of a browser that was let in by the token."""
        context = self.browser.new_context(**{"viewport": WIDE, **options})
        self.ends.callback(context.close)
        context.set_default_timeout(SECONDS * 1000)
        context.on("weberror", lambda error: self.wrong.append(str(error.error)))
        context.on("console", lambda said: self._listen(said.type, said.text))
        context.on("request", lambda request: self._check(request.url))
        page = context.new_page()
        page.goto(self.address)
        self.visit(page, path)
        return page

    def visit(self, page: Page, path: str) -> None:
        """Load a page, again where something behind it did not answer in time."""

        def is_whole() -> bool:
            page.goto(self.base + path)
            return page.locator("h1:text-is('502'), main .problem").count() == 0

        wait_for(is_whole, SECONDS, f"{path} without a problem")

    def _listen(self, kind: str, text: str) -> None:
        # A page says by itself that a request failed: what it does then, tests look at.
        if kind == "error" and not text.startswith("Failed to load resource"):
            self.wrong.append(text)

    def _check(self, url: str) -> None:
        if urlsplit(url).scheme not in {"data", "blob"} and not url.startswith(f"{self.base}/"):
            self.wrong.append(url)


def answers(platform: Platform) -> bool:
    """Whether the console does."""
    try:
        address = platform.state()["console_url"]
        with urllib.request.urlopen(f"{address.split('?')[0]}static/console.css") as answer:
            return bool(answer.status == 200)
    except (OSError, KeyError):
        return False


def violations(page: Page) -> list[str]:
    """What axe-core would mend."""
    return [
        f"{page.url}: {rule['id']} {node['target']}: {node['failureSummary']}"
        for rule in Axe().run(page).response["violations"]
        for node in rule["nodes"]
    ]
