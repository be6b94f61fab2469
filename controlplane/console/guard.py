"""Who may come in, before anything is read: the address, the token, where a request comes from.

A console on loopback is reached by every page that the person's browser has open, and by every
program of the machine. So: a name that is not loopback's is refused (a foreign name may be made to
lead here); the address printed by `serin up` has a token, which is traded for a cookie that scripts
cannot read and other sites cannot send; what changes something must come from the console's own
pages.
"""

import hmac
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controlplane.console.settings import Settings

BODY_BYTES = 8 * 2**20
_DIGITS = 15  # Python refuses to convert thousands of them
HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
OPEN = "/static/"
"""Nothing below this tells anything of the platform."""
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: browsers would then send `Origin: null` with the console's own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_ASK = (
    "This console opens by its whole address, with the token: ./serin status prints it; in a "
    "cluster the pod's log does.\n"
)


class Guard:
    """Stands before the application."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        headers = Headers(scope=scope)
        answer = self._refused(scope, headers) or self._entering(scope, headers)
        if answer is not None:
            await answer(scope, receive, sealed)
            return
        await self._app(scope, _measured(receive), sealed)

    def _refused(self, scope: Scope, headers: Mapping[str, str]) -> Response | None:
        """Why a request is not even looked at."""
        host = headers.get("host", "").lower()
        if host.rpartition(":")[0] not in HOSTS and host not in HOSTS:
            return _text(403, "The console answers to 127.0.0.1 and localhost alone.")
        if scope["method"] in {"GET", "HEAD"}:
            return None
        if headers.get("origin", "").lower() != f"http://{host}":
            return _text(403, "A request that changes something must come from the console itself.")
        length = headers.get("content-length", "")
        if not length.isdecimal():
            return _text(411, "Say the request's length.")
        if len(length) > _DIGITS or int(length) > BODY_BYTES:
            return _text(413, f"A request has at most {BODY_BYTES:,} bytes.")
        return None

    def _entering(self, scope: Scope, headers: Mapping[str, str]) -> Response | None:
        """Trade the address's token for the cookie; ask for it where there is neither."""
        if scope["path"].startswith(OPEN):
            return None
        name = cookie_name(headers["host"])
        asked = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        token = next((value for key, value in asked if key == "token"), None)
        if token is not None and scope["method"] == "GET":
            if not _same(token, self._settings.token):
                return _text(403, _ASK)
            rest = urlencode([(key, value) for key, value in asked if key != "token"])
            path = scope["raw_path"].decode("latin-1").partition("?")[0]
            # One slash: two would begin the name of another host.
            target = "/" + path.lstrip("/\\") + (f"?{rest}" if rest else "")
            answer = RedirectResponse(target, 303)
            answer.set_cookie(
                name, self._settings.cookie, httponly=True, samesite="strict", path="/"
            )
            return answer
        if _same(_cookie(headers, name), self._settings.cookie):
            return None
        return _text(403, _ASK)


def cookie_name(host: str) -> str:
    """A console's own: browsers send cookies to every port of a host."""
    return f"serin-console-{host.rpartition(':')[2]}"


def _measured(receive: Receive) -> Receive:
    """Bodies that are longer than they say end here."""
    read = 0

    async def measured() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > BODY_BYTES:
            return {"type": "http.disconnect"}
        return message

    return measured


def _cookie(headers: Mapping[str, str], name: str) -> str:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _same(said: str, known: str) -> bool:
    return hmac.compare_digest(said.encode("utf-8", "replace"), known.encode())


def _text(status: int, sentence: str) -> Response:
    return PlainTextResponse(sentence.rstrip("\n") + "\n", status)
