"""Who may come in: without the address' token nobody, from another page nobody."""

import asyncio
from collections.abc import Mapping

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from controlplane.console.guard import BODY_BYTES, Guard
from controlplane.console.settings import Settings

BASE = "http://127.0.0.1:8090"
TOKEN = "t" * 32
COOKIE = "serin-console-8090"


async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    """A page that tells how many bytes came."""
    body = await Request(scope, receive).body()
    await PlainTextResponse(f"inside {len(body)}")(scope, receive, send)


def ask(
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    *,
    known: bool = True,
    content: bytes | None = None,
) -> httpx.Response:
    """One request, with the cookie where the caller is known."""
    settings = Settings(TOKEN)
    cookies = {COOKIE: settings.cookie} if known else {}

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(Guard(inner, settings))
        async with httpx.AsyncClient(transport=transport, base_url=BASE, cookies=cookies) as client:
            return await client.request(method, path, headers=headers, content=content)

    return asyncio.run(send())


def test_a_page_without_token_or_cookie_is_refused() -> None:
    """It says where the address is told, and nothing else."""
    answer = ask("GET", "/", known=False)

    assert answer.status_code == 403
    assert "./serin status" in answer.text


def test_the_token_is_traded_for_a_cookie_that_scripts_and_sites_cannot_use() -> None:
    """The address that follows has no token any more."""
    answer = ask("GET", f"/models/iris?minutes=60&token={TOKEN}", known=False)

    assert (answer.status_code, answer.headers["location"]) == (303, "/models/iris?minutes=60")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}={Settings(TOKEN).cookie}")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert TOKEN not in cookie


@pytest.mark.parametrize("token", ["", "x", TOKEN[:-1], TOKEN + "t", "%00", "%F0%9F%92%A9"])
def test_another_token_gives_no_cookie(token: str) -> None:
    """Even where the caller has been let in before."""
    answer = ask("GET", f"/?token={token}", known=False)

    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("path", ["//evil.example/", "///evil.example", "/%2F/evil.example"])
def test_the_way_in_never_leads_to_another_host(path: str) -> None:
    """A path that begins like a host's name stays a path."""
    answer = ask("GET", f"{BASE}{path}?token={TOKEN}", known=False)

    assert not answer.headers.get("location", "/").startswith(("//", "/\\"))


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8090", "127.0.0.1.evil.example:8090", "", "localhost.:80"],
)
def test_a_name_that_only_leads_here_is_refused(host: str) -> None:
    """As of a site that lets its own name be this machine's address."""
    assert ask("GET", "/", {"Host": host}).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:8090", "localhost:8090", "[::1]:8090"])
def test_names_of_loopback_are_answered(host: str) -> None:
    """A forwarded port may have another number, so the number is not looked at."""
    cookie = f"serin-console-8090={Settings(TOKEN).cookie}"

    assert ask("GET", "/", {"Host": host, "Cookie": cookie}).status_code == 200


@pytest.mark.parametrize(
    "origin",
    [None, "null", "http://evil.example", "https://127.0.0.1:8090", "http://127.0.0.1:8091"],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_a_change_from_another_page_is_refused(method: str, origin: str | None) -> None:
    """Also with the cookie, which a browser would not send."""
    headers = {"Origin": origin} if origin is not None else {}

    assert ask(method, "/models/iris/try", headers, content=b"").status_code == 403


def test_a_change_from_its_own_page_is_let_in() -> None:
    """Its length is known."""
    answer = ask("POST", "/x", {"Origin": BASE}, content=b"f0.0=1")

    assert (answer.status_code, answer.text) == (200, "inside 6")


def test_a_body_without_length_or_too_long_is_not_read() -> None:
    """411 and 413."""
    long = {"Origin": BASE, "Content-Length": str(BODY_BYTES + 1)}

    assert ask("POST", "/x", {"Origin": BASE}).status_code in {200, 411}
    assert ask("POST", "/x", {"Origin": BASE, "Content-Length": "1e3"}).status_code == 411
    assert ask("POST", "/x", {"Origin": BASE, "Content-Length": "9" * 5000}).status_code == 413
    assert ask("POST", "/x", long, content=b"x").status_code == 413


@pytest.mark.parametrize("path", ["/", "/static/console.css", "/nothing"])
def test_every_answer_forbids_what_is_not_its_own(path: str) -> None:
    """Also a refusal."""
    for answer in (ask("GET", path), ask("GET", path, known=False)):
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'self';")
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in policy
