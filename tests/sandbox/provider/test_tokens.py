"""Tokens over HTTP: issued, refreshed, revoked, refused."""

import base64
import json

import pytest

from paycollect.sandbox import Sandbox, lost_scopes
from tests.sandbox.conftest import Caller

DAY = 24 * 3600


async def _token(call: Caller) -> str:
    return str((await call.authenticate()).data["accessToken"])


async def _refresh(call: Caller, token: str) -> tuple[int, str]:
    reply = await call("POST", "/auth/refresh", token=token)
    return reply.status, reply.code if reply.status != 200 else ""


async def test_a_token_has_all_that_the_docs_show(call: Caller) -> None:
    """24 hours, four scopes, and the envelope of success."""
    reply = await call.authenticate()
    assert reply.json["success"] is True
    assert reply.json["status"] == reply.status == 200
    assert reply.json["meta"]["requestId"].startswith("req_")
    assert reply.data.keys() == {
        "accessToken", "tokenType", "expiresIn", "expiresAt", "appType", "scopes",
    }  # fmt: skip
    assert (reply.data["tokenType"], reply.data["expiresIn"]) == ("Bearer", 86400)
    assert reply.data["scopes"] == ["collect:write", "collect:read", "payout:write", "payout:read"]


async def test_a_token_looks_like_a_jwt(call: Caller) -> None:
    """Three parts, the second with the app and its scopes."""
    _, claims, _ = (await _token(call)).split(".")
    decoded = json.loads(base64.urlsafe_b64decode(claims + "=="))
    assert decoded["sub"] == call.sandbox.app_id
    assert decoded["exp"] - decoded["iat"] == DAY


@pytest.mark.parametrize("wrong", [{"appId": "ANOTHER-APP"}, {"secretKey": "wrong" * 5}])
async def test_wrong_credentials_are_refused(call: Caller, wrong: dict[str, str]) -> None:
    """Both halves must be right."""
    reply = await call.authenticate(**wrong)
    assert (reply.status, reply.code) == (401, "AUTH_INVALID_CREDENTIALS")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"appId": "short"}, "appId"),
        ({"appId": None}, "appId"),
        ({"secretKey": "too-short"}, "secretKey"),
        ({"secretKey": 1234567890123456}, "secretKey"),
        ({"grantType": "password"}, "grantType"),
        ({"grantType": None}, "grantType"),
    ],
)
async def test_malformed_credentials_name_the_field(
    call: Caller, wrong: dict[str, object], field: str
) -> None:
    """A request that cannot be right is a 400, not a 401."""
    reply = await call.authenticate(**wrong)
    assert (reply.status, reply.code, list(reply.fields)) == (400, "VALIDATION_ERROR", [field])


async def test_a_call_needs_a_token(call: Caller) -> None:
    """Without the header the code says so."""
    reply = await call.send("GET", f"{call.sandbox.base_url}/collections")
    assert (reply.status, reply.code) == (401, "AUTH_TOKEN_MISSING")


@pytest.mark.parametrize("header", ["Bearer nonsense", "Basic abc", "Bearer"])
async def test_a_wrong_header_is_an_invalid_token(call: Caller, header: str) -> None:
    """Whatever is not one of our tokens is refused."""
    url, headers = f"{call.sandbox.base_url}/collections", {"Authorization": header}
    reply = await call.send("GET", url, headers=headers)
    assert (reply.status, reply.code) == (401, "AUTH_TOKEN_INVALID")


async def test_a_token_dies_after_a_day(call: Caller, sandbox: Sandbox) -> None:
    """One second earlier it still serves."""
    token = await _token(call)
    sandbox.clock.advance(DAY - 1)
    assert (await call("GET", "/refunds/reasons", token=token)).status == 200
    sandbox.clock.advance(1)
    assert (await call("GET", "/refunds/reasons", token=token)).code == "AUTH_TOKEN_INVALID"


async def test_a_token_can_be_refreshed_until_five_minutes_after_its_end(
    call: Caller, sandbox: Sandbox
) -> None:
    """Later only the credentials serve."""
    token = await _token(call)
    sandbox.clock.advance(DAY + 299)
    assert await _refresh(call, token) == (200, "")
    sandbox.clock.advance(1)
    assert await _refresh(call, token) == (401, "AUTH_TOKEN_REFRESH_FAILED")


async def test_the_old_token_outlives_a_refresh(call: Caller) -> None:
    """The provider does not say; by default both serve."""
    token = await _token(call)
    await _refresh(call, token)
    assert (await call("GET", "/refunds/reasons", token=token)).status == 200


async def test_a_refresh_can_kill_the_old_token(http: object) -> None:
    """The other reading, on demand."""
    async with Sandbox(refresh_revokes=True) as sandbox:
        call = Caller(sandbox, http)  # type: ignore[arg-type]  # a client session
        token = await _token(call)
        await _refresh(call, token)
        assert (await call("GET", "/refunds/reasons", token=token)).code == "AUTH_TOKEN_INVALID"


async def test_a_revoked_token_is_dead(call: Caller) -> None:
    """For calls, for a refresh, and for a second revocation."""
    token = await _token(call)
    reply = await call("POST", "/auth/revoke", token=token)
    assert (reply.status, reply.data) == (200, {"revoked": True})
    for method, path in (
        ("GET", "/collections"),
        ("POST", "/auth/refresh"),
        ("POST", "/auth/revoke"),
    ):
        assert (await call(method, path, token=token)).code == "AUTH_TOKEN_INVALID"


async def test_an_expired_token_cannot_be_revoked(call: Caller, sandbox: Sandbox) -> None:
    """It is an error, not a no-op (provider docs: auth/revoke)."""
    token = await _token(call)
    sandbox.clock.advance(DAY)
    assert (await call("POST", "/auth/revoke", token=token)).code == "AUTH_TOKEN_INVALID"


async def test_a_token_without_the_scope_is_denied(call: Caller, sandbox: Sandbox) -> None:
    """403, as another token of the same app might serve."""
    sandbox.faults.next("POST /auth/token", lost_scopes())
    token = await _token(call)
    reply = await call("GET", "/collections", token=token)
    assert (reply.status, reply.code) == (403, "AUTH_SCOPE_DENIED")


async def test_what_happens_to_tokens_is_on_record(call: Caller, sandbox: Sandbox) -> None:
    """Issued, refreshed, revoked and refused, with no more of a token than its end."""
    token = await _token(call)
    await _refresh(call, token)
    await call("POST", "/auth/revoke", token=token)
    await call("GET", "/collections", token=token)
    await call("GET", "/collections", token="unknown")
    await call.authenticate(secretKey="wrong" * 5)
    told = [entry.what for entry in sandbox.token_activity]
    assert told == [
        "issued", "refreshed", "revoked", "refused, revoked", "refused, unknown",
        "refused credentials",
    ]  # fmt: skip
    assert all(len(entry.hint) <= 7 for entry in sandbox.token_activity)
