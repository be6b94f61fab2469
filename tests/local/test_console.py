"""The console in a browser, on a platform with requests: pages, forms, actions, who may come in."""

import os
import re
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.drills.canary import Load
from tests.support import trained
from tests.support.kubectl import Kubectl
from tests.support.open_load import sending
from tests.support.platform import ROOT, Platform, wait_for
from tests.support.required import binary

BROWSER = "chromium-headless-shell"
PAGES = (
    *("/", "/models/iris", "/models/mnist-forest", "/models/causal-lm", "/rollouts"),
    *("/channels", "/training", "/scaling", "/alerts", "/alerts/CanaryStuck", "/registry"),
    *("/registry?model=iris", "/training/start/iris"),
)
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 375, "height": 700}
SECONDS = 100  # a limit, for a machine that does much else
pytestmark = pytest.mark.timeout(600)
HOSTILE = "hostile"
IMAGE = "<img src=x onerror=alert(1)>"
RATE = 10  # requests a second
OBJECT = f"""
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: {HOSTILE}
spec:
  predictor:
    model:
      modelFormat: {{name: "{IMAGE}"}}
      storageUri: "s3://models/{HOSTILE}/{IMAGE}"
"""


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


@pytest.fixture(scope="module")
def shop(published: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Iris with two versions and a load, the forest, and a small language model."""
    platform = published.copy(tmp_path_factory.mktemp("console") / "state")
    kubectl = Kubectl(platform)
    try:
        old = platform.publish(trained.artifact("iris"))
        platform.serin("up", "iris", "mnist-forest", "causal-lm")
        new = platform.publish(trained.artifact("iris", "--seed=7"))
        wait_for(lambda: _answers(platform), SECONDS, "the console")
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


def _answers(platform: Platform) -> bool:
    try:
        address = platform.state()["console_url"]
        with urllib.request.urlopen(f"{address.split('?')[0]}static/console.css") as answer:
            return bool(answer.status == 200)
    except (OSError, KeyError):
        return False


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["1280", "375"])
@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "none"])
def test_every_page_fits_the_window_with_and_without_scripts(
    scripts: bool, viewport: dict[str, int], tabs: Tabs
) -> None:
    """One heading, nothing wrong, no page wider than the window, and no token in the address."""
    page = tabs.open("/", java_script_enabled=scripts, viewport=viewport)
    for path in PAGES:
        tabs.visit(page, path)

        expect(page.locator("h1")).to_have_count(1)
        assert "token" not in page.url
        box = page.locator("html").bounding_box()
        assert box is not None
        widest = _widest(page) if scripts else box["width"]
        assert widest <= viewport["width"], path


def _widest(page: Page) -> float:
    return float(page.evaluate("document.documentElement.scrollWidth"))


@pytest.mark.parametrize(
    ("scheme", "viewport"), [("light", WIDE), ("dark", NARROW)], ids=["light", "dark"]
)
def test_everybody_can_use_every_page(scheme: str, viewport: dict[str, int], tabs: Tabs) -> None:
    """Names, roles, contrast: axe-core knows of nothing to mend."""
    page = tabs.open("/", color_scheme=scheme, viewport=viewport)
    said = []
    for path in PAGES:
        tabs.visit(page, path)
        said += _violations(page)
    assert said == []


def _violations(page: Page) -> list[str]:
    return [
        f"{page.url}: {rule['id']} {node['target']}: {node['failureSummary']}"
        for rule in Axe().run(page).response["violations"]
        for node in rule["nodes"]
    ]


def test_the_first_page_says_what_serves(tabs: Tabs) -> None:
    """A row a model: state, split, replicas, and what the load asks."""
    page = tabs.open("/")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="iris"))

    expect(row).to_contain_text("Ready")
    expect(row).to_contain_text(re.compile(r"\b(\d+)/\1\b"))  # a busy machine may have it scaled
    expect(row).to_contain_text("100 %")
    expect(row.get_by_role("img", name="Requests a second over 15 minutes")).to_be_visible()
    row.get_by_role("link", name="iris").click()
    expect(page.get_by_role("heading", name="iris", exact=True)).to_be_visible()
    expect(page.locator("#chart-requests canvas")).to_be_visible()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "none"])
def test_numbers_are_asked_and_answered(scripts: bool, tabs: Tabs) -> None:
    """The species, its scores as bars, and the same request for a terminal."""
    page = tabs.open("/models/iris", java_script_enabled=scripts)
    for place, value in enumerate((5.1, 3.5, 1.4, 0.2)):
        page.get_by_label(f"input-0, value {place + 1}").fill(str(value))
    page.get_by_role("button", name="Ask").click()
    outcome = page.locator("#outcome")

    expect(outcome.locator(".bars th").first).to_have_text("setosa")
    expect(outcome.locator("pre").first).to_contain_text("5.1, 3.5, 1.4, 0.2")


def test_a_number_out_of_range_gets_the_models_own_words(tabs: Tabs) -> None:
    """What the model refuses is said where the answer would stand."""
    page = tabs.open("/models/iris")
    page.get_by_label("input-0, value 1").fill("1e300")
    page.get_by_role("button", name="Ask").click()

    expect(page.locator("#outcome .problem")).to_contain_text("input-0")


def test_the_keyboard_is_enough(tabs: Tabs) -> None:
    """From the address to an answer by Tab, Enter and digits, each stop to be seen."""
    page = tabs.open("/")
    _tab_to(page, page.get_by_role("link", name="iris"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="iris", exact=True)).to_be_visible()
    _tab_to(page, page.get_by_label("input-0, value 1"))
    page.keyboard.press("Control+A")
    page.keyboard.type("5.0")
    _tab_to(page, page.get_by_role("button", name="Ask"))
    page.keyboard.press("Enter")

    expect(page.locator("#outcome .bars th").first).to_be_visible()


def _tab_to(page: Page, target: Any) -> None:
    expect(target).to_be_visible()
    for _ in range(60):
        page.keyboard.press("Tab")
        if target.evaluate("element => element === document.activeElement"):
            style = target.evaluate("element => getComputedStyle(element).outlineStyle")
            assert style != "none"
            return
    raise AssertionError(f"no Tab leads to {target}")


def test_a_digit_is_drawn_and_recognised(tabs: Tabs) -> None:
    """A stroke down is a one."""
    page = tabs.open("/models/mnist-forest")
    canvas = page.locator("canvas[aria-label]")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    middle = box["x"] + box["width"] / 2
    page.mouse.move(middle, box["y"] + 25)
    page.mouse.down()
    page.mouse.move(middle, box["y"] + box["height"] - 25, steps=8)
    page.mouse.up()
    page.get_by_role("button", name="Ask").click()

    expect(page.locator("#outcome .bars th").first).to_have_text("1")


def test_a_file_is_recognised_without_scripts(tabs: Tabs) -> None:
    """The form is an ordinary one, with a field for a file."""
    page = tabs.open("/models/mnist-forest", java_script_enabled=False)
    page.get_by_label("A PNG or JPEG file").set_input_files(ROOT / "docs" / "seven.png")
    page.get_by_role("button", name="Ask").click()

    expect(page.locator("#outcome .bars th").first).to_have_text("7")


def test_a_text_comes_in_pieces(shop: Shop, tabs: Tabs) -> None:
    """They are the completion that comes whole elsewhere, and are counted."""
    prompt = {"name": "text_input", "datatype": "BYTES", "shape": [1], "data": ["The cat"]}
    limit = {"name": "max_tokens", "datatype": "INT32", "shape": [1], "data": [12]}
    status, whole = shop.platform.ask("/v2/models/causal-lm/infer", {"inputs": [prompt, limit]})
    assert status == 200
    page = tabs.open("/models/causal-lm")
    page.get_by_label("text_input").fill("The cat")
    page.get_by_text(re.compile(r"\d+ settings")).click()
    page.get_by_label("max_tokens").fill("12")
    page.get_by_role("button", name="Ask").click()

    expect(page.locator("#outcome .meta")).to_contain_text(re.compile(r"\d+ pieces"))
    assert page.locator("#outcome .text").text_content() == whole["outputs"][0]["data"][0]


def test_a_hostile_name_is_shown_as_text(shop: Shop, tabs: Tabs) -> None:
    """An object full of tags runs nothing and spoils no other row."""
    shop.kubectl.run("apply", "-f", "-", text=OBJECT)
    try:
        page = tabs.open("/")
        row = page.get_by_role("row").filter(has=page.get_by_role("link", name=HOSTILE))
        expect(row).to_contain_text(IMAGE)
        for path in ("/", f"/models/{HOSTILE}", "/registry", "/scaling"):
            page.goto(tabs.base + path)
            expect(page.locator("h1")).to_be_visible()
            expect(page.locator("main img")).to_have_count(0)
    finally:
        shop.kubectl.run("delete", "isvc", HOSTILE)


def test_a_canary_is_promoted_from_the_page(shop: Shop, tabs: Tabs) -> None:
    """One page starts the rollout and promotes it, another one shows both."""
    before = shop.served()
    target = shop.new if before == shop.old else shop.old
    page, other = tabs.open("/models/iris"), tabs.open("/")
    expect(other.locator("#live")).to_have_class("live on")
    start = page.locator("form").filter(has=page.get_by_role("button", name="Start"))
    start.get_by_role("combobox").select_option(target)
    start.get_by_label("requests").fill("100000")
    start.get_by_role("button").click()
    expect(page.get_by_role("heading")).to_have_text(f"A rollout of iris to {target} has begun.")
    expect(page.locator(".cmd")).to_contain_text("rollout start iris")
    page.get_by_role("link", name="Back to iris").click()

    expect(other.get_by_role("rowheader", name="canary")).to_be_visible()
    expect(page.locator(".parts .canary")).to_contain_text(target)
    tabs.visit(page, "/rollouts/iris")
    expect(page.locator(".state").first).to_contain_text("Judging")
    assert _violations(page) == []
    form = page.locator("form").filter(has=page.get_by_role("button", name="Promote"))
    expect(form).to_contain_text("rollout promote iris")
    form.get_by_role("textbox").fill("iris")
    form.get_by_role("button").click()
    expect(page.get_by_role("heading")).to_contain_text("promote")
    tabs.visit(page, "/rollouts/iris")
    expect(page.locator(".head .state")).to_have_text("Promoted")

    assert shop.served() == target
    expect(other.get_by_role("rowheader", name="canary")).to_have_count(0)
    row = other.get_by_role("row").filter(has=other.get_by_role("link", name="iris"))
    expect(row).to_contain_text(target)


def test_a_version_is_rolled_back_from_the_page(shop: Shop, tabs: Tabs) -> None:
    """Only with the model's name typed; then the other version serves."""
    before = shop.served()
    target = shop.new if before == shop.old else shop.old
    page = tabs.open("/models/iris")
    form = page.locator("form").filter(has=page.get_by_role("button", name="Roll back"))
    form.get_by_role("combobox").select_option(target)
    form.get_by_role("textbox").fill("irish")
    form.get_by_role("button").click()
    expect(page.locator(".problem")).to_contain_text("Type the model's name")
    assert shop.served() == before

    tabs.visit(page, "/models/iris")
    form.get_by_role("combobox").select_option(target)
    form.get_by_role("textbox").fill("iris")
    form.get_by_role("button").click()
    expect(page.get_by_role("heading")).to_have_text(f"iris is to serve {target}.")
    page.get_by_role("link", name="Back to iris").click()
    expect(page.locator(".parts .stable dd").first).to_have_text(target)
    assert shop.served() == target


def test_a_canarys_share_is_set_in_one_page_and_seen_in_another(shop: Shop, tabs: Tabs) -> None:
    """The number that was set is the object's and the other page's."""
    service = shop.kubectl.get("isvc/iris")["spec"]["predictor"]["model"]
    predictor = {"name": "canary", "model": service}
    canary = [{"trafficPercent": 10, "predictor": predictor}]
    page, other = tabs.open("/"), tabs.open("/")
    shop.kubectl.patch("isvc/iris", {"canary": canary})
    try:
        row = other.get_by_role("row").filter(has=other.get_by_role("rowheader", name="canary"))
        expect(row).to_contain_text("10 %")
        tabs.visit(page, "/models/iris")
        page.get_by_label("Canary's share").fill("25")
        page.get_by_role("button", name="Set").click()
        expect(page.get_by_role("heading")).to_contain_text("25 %")

        expect(row).to_contain_text("25 %")
        (entry,) = shop.kubectl.get("isvc/iris")["spec"]["canary"]
        assert entry["trafficPercent"] == 25
    finally:
        shop.kubectl.run("patch", "isvc/iris", "--type=merge", '-p={"spec": {"canary": null}}')


def test_a_training_is_started_and_watched_to_its_version(shop: Shop, tabs: Tabs) -> None:
    """The open page follows the Job; then its version is in the registry."""
    page = tabs.open("/training")
    page.get_by_role("link", name="iris", exact=True).click()
    page.get_by_label("seed").fill("none")
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".problem")).to_contain_text("--seed")
    expect(page.get_by_label("seed")).to_have_value("none")
    page.get_by_label("seed").fill("9")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("heading")).to_have_text("A training of iris has begun.")
    expect(page.locator(".cmd")).to_have_text("./serin train iris --job --set seed=9")
    page.get_by_role("link", name="Back to train-iris").click()
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="train-iris"))

    expect(row).to_contain_text("Complete")
    expect(page.locator(".log")).to_contain_text("s3://models/iris/")
    text = page.locator(".log").text_content() or ""
    version = text.rpartition("s3://models/iris/")[2].split()[0]
    tabs.visit(page, "/registry?model=iris")
    expect(page.get_by_role("rowheader", name=version)).to_be_visible()


def test_versions_are_compared_and_verified(shop: Shop, tabs: Tabs) -> None:
    """Their manifests beside each other; each byte that the store has against its digest."""
    page = tabs.open("/registry?model=iris")
    form = page.locator("#diff")
    form.get_by_label("From").select_option(shop.old)
    form.get_by_label("to").select_option(shop.new)
    form.get_by_role("button").click()
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="data.seed"))
    expect(row).to_contain_text(re.compile(r"0\s*7"))
    assert _violations(page) == []
    page.get_by_role("link", name="Back to the Registry").click()
    form = page.locator("#verify")
    form.get_by_role("combobox").select_option(shop.new)
    form.get_by_role("button").click()

    expect(page.get_by_role("heading")).to_have_text(f"iris {shop.new} is sound")


def test_how_many_replicas_there_may_be_is_set(shop: Shop, tabs: Tabs) -> None:
    """In the ScaledObject, as the page then says."""
    page = tabs.open("/scaling")
    form = page.locator("#bounds-iris-predictor")
    form.locator("[name=high]").fill("4")
    form.get_by_role("button").click()
    expect(page.get_by_role("heading")).to_have_text("iris-predictor is to have 1 to 4 replicas.")
    page.get_by_role("link", name="Back to Scaling").click()

    expect(page.locator("#bounds-iris-predictor [name=high]")).to_have_value("4")
    assert shop.kubectl.get("scaledobject/iris-predictor")["spec"]["maxReplicaCount"] == 4


def test_nobody_comes_in_without_the_token(shop: Shop) -> None:
    """Nor by another name, nor with a form of another site."""
    url = shop.address
    base, token = url.split("?token=")

    assert _status(base) == _status(f"{base}?token={token[:-1]}x") == 403
    assert _status(base, {"Host": "evil.example"}) == 403
    cookie = _cookie(url)
    assert _status(base, {"Cookie": cookie}) == 200
    ask = f"{base}models/iris/try"
    form = b"f0.0=1&f0.1=1&f0.2=1&f0.3=1"
    assert _status(ask, {"Cookie": cookie, "Origin": "http://evil.example"}, form) == 403
    assert _status(ask, {"Cookie": cookie}, form) == 403
    assert _status(ask, {"Cookie": cookie, "Origin": base.rstrip("/")}, form) == 200


def test_a_form_of_another_site_is_refused_in_a_browser(
    shop: Shop, tabs: Tabs, tmp_path: Path
) -> None:
    """It comes without the cookie, and with its own Origin."""
    page = tabs.open("/")
    action = f"{tabs.base}/models/iris/actions/rollback"
    text = (
        f"<form method=post action='{action}'><input name=name value=iris>"
        f"<input name=version value={shop.old}><button>Win</button></form>"
    )
    (tmp_path / "evil.html").write_text(text, "utf-8")
    before = shop.served()
    tabs.wrong.clear()
    foreign = page.context.new_page()
    foreign.goto((tmp_path / "evil.html").as_uri())
    foreign.get_by_role("button", name="Win").click()

    expect(foreign.locator("body")).to_contain_text("must come from the console itself")
    assert shop.served() == before
    tabs.wrong.clear()  # the page of the other site


def test_a_console_that_is_killed_is_started_again_at_its_address(shop: Shop, tabs: Tabs) -> None:
    """An open page says that it is behind, then goes on by itself; the models never noticed."""
    page = tabs.open("/")
    expect(page.locator("#live")).to_have_class("live on")
    before = shop.address
    (process,) = [one for one in shop.platform.processes() if _is_console(one)]
    os.kill(process.pid, signal.SIGKILL)

    wait_for(lambda: shop.address == before and _answers(shop.platform), SECONDS, "the console")
    expect(page.locator("#live")).to_have_class("live on")
    assert shop.platform.infer()[0] == 200
    page.reload()
    expect(page.get_by_role("link", name="iris")).to_be_visible()


def _is_console(process: psutil.Process) -> bool:
    try:
        return "controlplane.console" in process.cmdline()
    except psutil.NoSuchProcess:
        return False


class _Stays(urllib.request.HTTPRedirectHandler):
    """Does not follow."""

    def redirect_request(self, *_: object) -> None:
        return None


def _open(url: str, headers: dict[str, str], data: bytes | None) -> tuple[int, str]:
    request = urllib.request.Request(url, data, headers)
    try:
        with urllib.request.build_opener(_Stays).open(request, timeout=SECONDS) as answer:
            return answer.status, answer.headers.get("Set-Cookie") or ""
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("Set-Cookie") or ""


def _status(url: str, headers: dict[str, str] | None = None, data: bytes | None = None) -> int:
    return _open(url, headers or {}, data)[0]


def _cookie(url: str) -> str:
    status, cookie = _open(url, {}, None)
    assert status == 303
    assert re.search("HttpOnly.*SameSite=strict", cookie)
    return cookie.partition(";")[0]
