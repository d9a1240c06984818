"""Who may ask: tokens, the session of a page, and refusal of what other web pages send.

A server without tokens listens on loopback only. There, any web page could still send requests through the browser of
the user, or point a name of its own at 127.0.0.1 (DNS rebinding): so the `Host` must be a name of this machine, and a
request that a page sends must come from the server's own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.requests import Request

from upres.serve.problems import Problem
from upres.serve.settings import Settings, is_loopback

SESSION_S = 30 * 86400
_SAFE = ("GET", "HEAD", "OPTIONS")


class Access:
    """The rules of one server.

    settings: Its tokens, names and origins.
    key: Signs sessions; the same after a restart.
    one_time_token: Opens one session, whose jobs belong to nobody in particular.
    """

    def __init__(self, settings: Settings, key: bytes, one_time_token: str | None = None) -> None:
        self._settings, self._key, self._one_time = settings, key, one_time_token
        self._for_one = one_time_token is not None  # a session of nobody in particular is taken
        self._owners = settings.owners
        self.needs_token = bool(self._owners) or one_time_token is not None
        # Browsers share cookies among the ports of a host: each data folder has a name of its own.
        self.cookie = f"upres_{hashlib.sha256(key).hexdigest()[:12]}"

    def check_sender(self, request: Request) -> None:
        """Refuse other hosts and other web pages. Raises `Problem`."""
        host = request.headers.get("host", "")
        name = host_name(host)
        if not self._owners and not is_loopback(name) and name not in self._settings.hosts:
            raise Problem(
                "foreign_host", f"this server does not answer to the name {name!r}; its setting hosts allows names"
            )
        origin = request.headers.get("origin")
        if origin is None or request.method in _SAFE or origin in self._settings.origins:
            return
        if urlsplit(origin).netloc.lower() != host.lower():
            raise Problem(
                "foreign_origin", f"the page {origin} may not use this server; its setting origins allows pages"
            )

    def owner(self, request: Request) -> str:
        """The owner of the token or session of a request. Raises `Problem`."""
        owner = self.known(request)
        if owner is None:
            raise Problem("unauthorized", "a token is needed: Authorization: Bearer TOKEN")
        return owner

    def known(self, request: Request) -> str | None:
        """As `owner`, but None where there is none."""
        if not self.needs_token:
            return ""
        token = _token_in(request.headers.get("authorization", ""))
        if token is not None:
            return self._owner_of(token)
        return self._owner_of_session(request.headers.get("cookie", ""))

    def open_session(self, request: Request) -> str:
        """The value of the cookie for the token of a request; a one-time token is used up. Raises `Problem`."""
        token = _token_in(request.headers.get("authorization", ""))
        once = self._one_time
        if token is not None and once is not None and hmac.compare_digest(_bytes(token), _bytes(once)):
            self._one_time = secrets.token_urlsafe(32)  # nobody knows it
            return self._sign("")
        owner = None if token is None else self._owner_of(token)
        if owner is None:
            raise Problem("unauthorized", "the token is wrong, or was used before")
        return self._sign(owner)

    def _owner_of(self, token: str) -> str | None:
        """Compares with every token, in constant time."""
        found = None
        for secret, owner in self._owners.items():
            if hmac.compare_digest(_bytes(token), _bytes(secret)):
                found = owner
        return found

    def _sign(self, owner: str) -> str:
        text = f"{int(time.time()) + SESSION_S}.{base64.urlsafe_b64encode(owner.encode()).decode().rstrip('=')}"
        return f"{text}.{self._digest(text)}"

    def _digest(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), "sha256").hexdigest()

    def _owner_of_session(self, cookies: str) -> str | None:
        try:
            morsel = SimpleCookie(cookies).get(self.cookie)
        except CookieError:
            return None
        text, _, digest = ("" if morsel is None else morsel.value).rpartition(".")
        if not text or not hmac.compare_digest(_bytes(digest), _bytes(self._digest(text))):
            return None
        until, _, name = text.partition(".")
        owner = base64.urlsafe_b64decode(name + "=" * (-len(name) % 4)).decode()
        known = owner in self._owners.values() or (not owner and self._for_one)
        if int(until) < time.time() or not known:
            return None
        return owner


def host_name(host: str) -> str:
    """The name in a Host header, without its port, in lower case."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _token_in(header: str) -> str | None:
    """The token of an Authorization header: a bearer's, or the password of Basic, which existing clients send."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
