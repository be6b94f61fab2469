"""Pages of the console in a browser: whole, readable by everybody, with forms that ask models."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.console_browser import NARROW, WIDE, Shop, Tabs, violations
from tests.support.platform import ROOT

PAGES = (
    *("/", "/models/iris", "/models/mnist-forest", "/models/causal-lm", "/rollouts"),
    *("/channels", "/training", "/scaling", "/alerts", "/alerts/CanaryStuck", "/registry"),
    *("/registry?model=iris", "/training/start/iris", "/training/compare"),
    *("/scaling/iris-predictor", "/scaling/iris-predictor?load=spike"),
)
HOSTILE = "hostile"
IMAGE = "<img src=x onerror=alert(1)>"
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
pytestmark = pytest.mark.timeout(600)


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
        said += violations(page)
    assert said == []


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
