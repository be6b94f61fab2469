"""What the console changes, seen in a browser to its effect; and who may come in."""

import os
import re
import signal
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import expect

from tests.support.console_browser import SECONDS, Shop, Tabs, answers, violations
from tests.support.platform import wait_for

pytestmark = pytest.mark.timeout(600)


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
    assert violations(page) == []
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


def test_replicas_swap_versions_from_the_page(shop: Shop, tabs: Tabs) -> None:
    """Only with the model's name typed; all serve the other version, and then the first again."""
    before = shop.served()
    target = shop.new if before == shop.old else shop.old
    shop.platform.serin("channel", "set", "iris", before)
    shop.kubectl.patch("isvc/iris", source("s3://models/iris@stable"))
    page = tabs.open("/channels")
    replicas = page.get_by_role("group", name="Replicas of s3://models/iris@stable")
    try:
        expect(replicas).to_contain_text(before)
        expect(replicas).to_contain_text("Ready")
        form = page.locator("form").filter(has=page.get_by_role("button", name="Swap"))
        for name, said in (("irish", "Type the model's name"), ("iris", target)):
            form.get_by_role("combobox").select_option(target)
            form.get_by_label("because").fill("to try it")
            form.get_by_label("Type").fill(name)
            form.get_by_role("button").click()
            expect(page.locator("main")).to_contain_text(said)
            tabs.visit(page, "/channels")
        expect(replicas).to_contain_text(target)
        commits = page.get_by_role("group", name="Commits of s3://models/iris@stable")
        expect(commits.get_by_role("row").nth(1)).to_contain_text("to try it")
        assert violations(page) == []

        form = page.locator("form").filter(has=page.get_by_role("button", name="back"))
        form.get_by_role("textbox").fill("iris")
        form.get_by_role("button").click()
        expect(page.locator(".cmd")).to_have_text("./serin channel rollback iris")
        tabs.visit(page, "/channels")
        expect(commits.get_by_role("row").nth(1)).to_contain_text(before)
    finally:
        shop.kubectl.patch("isvc/iris", source(f"s3://models/iris/{before}"))


def source(uri: str) -> dict[str, Any]:
    """A spec that serves it."""
    return {"predictor": {"model": {"storageUri": uri}}}


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
    assert violations(page) == []
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

    wait_for(lambda: shop.address == before and answers(shop.platform), SECONDS, "the console")
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
