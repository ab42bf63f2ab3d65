"""Who may do what: tokens by client credentials, their life, and a log of what happened to them.

A token lives 24 hours and can be exchanged for a new one until 5 minutes after its end (provider
docs: auth). Invariants: no I/O; the time comes from the caller.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from paycollect.sandbox.provider.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SCOPES: Final = ("collect:write", "collect:read", "payout:write", "payout:read")
LIFETIME: Final = timedelta(hours=24)
_GRACE: Final = timedelta(minutes=5)
_KEPT: Final = timedelta(days=1)
"""How long a token is known after its end, for a better answer than "unknown"."""
_ACTIVITIES_KEPT: Final = 200


@dataclass(slots=True, kw_only=True)
class TokenRecord:
    """An access token as the provider keeps it; moments are UTC."""

    value: str = field(repr=False)
    issued_at: datetime
    expires_at: datetime
    scopes: tuple[str, ...]
    revoked: bool = False

    @property
    def hint(self) -> str:
        """The end of the token: enough to tell two apart, too little to use."""
        return f"…{self.value[-6:]}"


@dataclass(frozen=True, slots=True)
class Activity:
    """What happened to a token, when, and to which."""

    at: datetime
    what: str
    hint: str = ""


class Tokens:
    """The provider's door: gives tokens to the one app it knows, and checks them."""

    def __init__(self, app_id: str, secret_key: str, *, refresh_revokes: bool = False) -> None:
        self.app_id = app_id
        self.secret_key = secret_key
        self.activity: deque[Activity] = deque(maxlen=_ACTIVITIES_KEPT)
        self._refresh_revokes = refresh_revokes
        self._tokens: dict[str, TokenRecord] = {}
        self._key = secrets.token_bytes(32)

    def authenticate(
        self, app_id: str, secret_key: str, now: datetime, scopes: Iterable[str] = SCOPES
    ) -> TokenRecord:
        """Issue a token for credentials.

        Raises:
            RefusedError: AUTH_INVALID_CREDENTIALS.

        """
        # Both are compared in any case, so that the time taken tells nothing.
        known = [
            hmac.compare_digest(given.encode(), right.encode())
            for given, right in ((app_id, self.app_id), (secret_key, self.secret_key))
        ]
        if not all(known):
            self.activity.append(Activity(now, "refused credentials"))
            raise _unauthorised("AUTH_INVALID_CREDENTIALS", "Invalid app ID or secret key")
        return self._issue("issued", now, scopes)

    def refresh(
        self, authorization: str | None, now: datetime, scopes: Iterable[str] = SCOPES
    ) -> TokenRecord:
        """Exchange a token for a new one, at the latest 5 minutes after its end.

        Raises:
            RefusedError: AUTH_TOKEN_MISSING, AUTH_TOKEN_INVALID, AUTH_TOKEN_REFRESH_FAILED.

        """
        token = self._find(authorization, now)
        if now >= token.expires_at + _GRACE:
            self.activity.append(Activity(now, "refused refresh", token.hint))
            raise _unauthorised("AUTH_TOKEN_REFRESH_FAILED", "Token is too old to be refreshed")
        token.revoked = self._refresh_revokes
        return self._issue("refreshed", now, scopes)

    def revoke(self, authorization: str | None, now: datetime) -> None:
        """Revoke a token; an expired one cannot be revoked.

        Raises:
            RefusedError: AUTH_TOKEN_MISSING, AUTH_TOKEN_INVALID.

        """
        token = self._valid(authorization, now)
        token.revoked = True
        self.activity.append(Activity(now, "revoked", token.hint))

    def admit(self, authorization: str | None, scope: str, now: datetime) -> None:
        """Let a request in if its token is good and has the scope.

        Raises:
            RefusedError: AUTH_TOKEN_MISSING, AUTH_TOKEN_INVALID, AUTH_SCOPE_DENIED.

        """
        token = self._valid(authorization, now)
        if scope not in token.scopes:
            self.activity.append(Activity(now, f"denied {scope}", token.hint))
            raise RefusedError(
                HTTPStatus.FORBIDDEN, "AUTH_SCOPE_DENIED", f"The token lacks the scope {scope}"
            )

    def __iter__(self) -> Iterator[TokenRecord]:
        return iter(self._tokens.values())

    def restore(self, tokens: Iterable[TokenRecord]) -> None:
        """Know the tokens of an earlier life."""
        self._tokens |= {token.value: token for token in tokens}

    def lookup(self, authorization: str | None) -> TokenRecord | None:
        """Find the token of a request, whatever its state."""
        scheme, _, value = (authorization or "").partition(" ")
        return self._tokens.get(value) if scheme.lower() == "bearer" else None

    def _valid(self, authorization: str | None, now: datetime) -> TokenRecord:
        token = self._find(authorization, now)
        if now >= token.expires_at:
            self.activity.append(Activity(now, "refused, expired", token.hint))
            raise _unauthorised("AUTH_TOKEN_INVALID", "Token is invalid or expired")
        return token

    def _find(self, authorization: str | None, now: datetime) -> TokenRecord:
        if not authorization:
            raise _unauthorised("AUTH_TOKEN_MISSING", "Authorization header is missing")
        token = self.lookup(authorization)
        if token is None or token.revoked:
            what, hint = ("refused, revoked", token.hint) if token else ("refused, unknown", "")
            self.activity.append(Activity(now, what, hint))
            raise _unauthorised("AUTH_TOKEN_INVALID", "Token is invalid or expired")
        return token

    def _issue(self, what: str, now: datetime, scopes: Iterable[str]) -> TokenRecord:
        token = TokenRecord(
            value=self._jwt(now, tuple(scopes)),
            issued_at=now,
            expires_at=now + LIFETIME,
            scopes=tuple(scopes),
        )
        self._forget(now)
        self._tokens[token.value] = token
        self.activity.append(Activity(now, what, token.hint))
        return token

    def _forget(self, now: datetime) -> None:
        # They are issued in the order in which they end.
        while self._tokens:
            oldest = next(iter(self._tokens.values()))
            if now < oldest.expires_at + _KEPT:
                break
            del self._tokens[oldest.value]

    def _jwt(self, now: datetime, scopes: tuple[str, ...]) -> str:
        header = {"typ": "JWT", "alg": "HS256"}
        claims = {
            "sub": self.app_id,
            "type": "collection",
            "scopes": scopes,
            "iat": int(now.timestamp()),
            "exp": int((now + LIFETIME).timestamp()),
            "jti": f"jwt_{secrets.token_hex(8)}",
        }
        message = f"{_base64(json.dumps(header).encode())}.{_base64(json.dumps(claims).encode())}"
        signature = hmac.digest(self._key, message.encode(), hashlib.sha256)
        return f"{message}.{_base64(signature)}"


def _unauthorised(code: str, message: str) -> RefusedError:
    return RefusedError(HTTPStatus.UNAUTHORIZED, code, message)


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
