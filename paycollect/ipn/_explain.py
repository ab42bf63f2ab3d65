"""Why a signature does not match, in words.

Invariants: it tries the usual mistakes and names the one that fits. It prints neither a
secret, nor a signature that would be valid, nor anything of the body.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Final, TypeAlias

from attrs import frozen

from paycollect._json import Value
from paycollect._signing import SCHEMES, serialise
from paycollect.errors import IpnError, PayloadError, SignatureError
from paycollect.ipn._body import MAX_SIZE, Body, open_body
from paycollect.ipn._proof import messages
from paycollect.ipn.receiver import Receiver


@frozen(kw_only=True)
class Explanation:
    """Whether a signature matches, and why; `str` gives the words.

    Attributes:
        matches: whether the body is signed with one of the secrets.
        text: why, in sentences that show no secret, no signature and nothing of the body.

    """

    matches: bool
    text: str

    def __str__(self) -> str:
        return self.text


def explain(body: Body, *, secret: str | Sequence[str]) -> Explanation:
    """Say in words why the signature of a webhook body does not match, or that it does.

    A tool for whoever sets up an endpoint: show its answer in a log or a shell, never in an HTTP
    response, as it would tell a forger, too, what is wrong.

    >>> from paycollect.testing import sign_webhook
    >>> found = explain(sign_webhook({"collectionId": "SCI1"}, "whsec_x"), secret="whsec_x ")
    >>> found.matches, str(found)
    (False, 'The secret has white space around it, often a line end: strip it where it is read.')

    Raises:
        TypeError: the body is not bytes or text, or a secret is not a text.
        ValueError: no secret, or a blank one.

    """
    receiver = Receiver(secrets=secret)
    try:
        proof = receiver.verify(body)
    except (PayloadError, SignatureError) as error:
        return Explanation(matches=False, text=_why_not(body, secret, error))
    text = f"The signature matches: scheme {proof.scheme!r}, secret number {proof.key_index}."
    return Explanation(matches=True, text=text)


def _why_not(body: Body, secret: str | Sequence[str], error: IpnError) -> str:
    if isinstance(error, PayloadError):
        return f"This is no webhook body: {error}. {_about_form(body)}".rstrip()
    members, data, message = open_body(body, MAX_SIZE)
    sign = members.get("sign")
    secrets = [secret] if isinstance(secret, str) else list(secret)
    return _about_sign(sign) or _about_mismatch(str(sign), secrets, data, message)


def _about_form(body: Body) -> str:
    text = body if isinstance(body, str) else bytes(body).decode(errors="replace")
    text = text.strip()
    if text.startswith(("\ufeff", "\ufffd")):
        return "It begins with a byte order mark: something transcoded it on the way."
    if text.startswith("{'"):
        return "It is the text of a Python dict: the bytes of the request are needed."
    if text.startswith("{") and not text.endswith("}"):
        return "It has no end: it was truncated on the way, or not read to its end."
    return ""


def _about_sign(sign: object) -> str:
    if sign is None:
        return (
            "The body is not signed: it has no `sign`. One form on the provider's pages has none"
            " and must not be trusted; another of its products signs in the header"
            " X-Fyatu-Signature, which is a different scheme."
        )
    if not isinstance(sign, str):
        return "The `sign` is not a text."
    if re.fullmatch("[0-9a-fA-F]{64}", sign):
        return ""
    if re.fullmatch("[0-9a-fA-F]{32}", sign):
        return (
            "The `sign` has 32 hex digits instead of 64: a placeholder, as in samples of the"
            " provider's pages."
        )
    if re.match("t=[0-9]+,v1=", sign):
        return "The `sign` is of the scheme for the header X-Fyatu-Signature, which is another."
    return f"The `sign` is not 64 hex digits: it has {len(sign)} characters."


def _about_mismatch(
    hex_sign: str, secrets: list[str], data: dict[str, Value], message: bytes
) -> str:
    sign = bytes.fromhex(hex_sign)
    written = [text for scheme in SCHEMES for text in messages(scheme, data, message)]
    for sentence, derive in _WRONG_KEYS:
        if any(_matches(sign, derive(secret), written) for secret in secrets):
            return sentence
    keys = [secret.encode() for secret in secrets]
    for sentence, rewrite in _WRONG_MESSAGES:
        if any(_matches(sign, key, rewrite(data, message)) for key in keys):
            return sentence
    hint = _RESPACED_HINT if _SPACED.search(message) else ""
    return (
        "The signature matches no scheme with this secret. Either the secret is wrong (compare it"
        " with the provider's dashboard; a regenerated secret kills the old one at once), or the"
        f" data was changed after signing{hint}."
    )


def _matches(sign: bytes, key: bytes, written: Iterable[bytes]) -> bool:
    # A blank key has no say: it would match what everybody can sign.
    return bool(key) and any(
        hmac.compare_digest(hmac.digest(key, message, "sha256"), sign) for message in written
    )


def _hex_decoded(secret: str) -> bytes:
    with suppress(ValueError):
        return bytes.fromhex(secret.strip().removeprefix("whsec_"))
    return b""


def _respaced(data: dict[str, Value], _message: bytes) -> Iterator[bytes]:
    yield serialise(data, "raw")


def _as_latin_1(_data: dict[str, Value], message: bytes) -> Iterator[bytes]:
    with suppress(UnicodeEncodeError):
        yield message.decode().encode("latin-1")


def _with_cents(data: dict[str, Value], _message: bytes) -> Iterator[bytes]:
    with suppress(ArithmeticError):
        yield serialise(_cents(data), "raw")


def _cents(value: Value) -> object:
    """Undo what a parser with floats does to 25.00."""
    if isinstance(value, Decimal):
        return value.quantize(Decimal("0.01"))
    if isinstance(value, dict):
        return {name: _cents(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_cents(member) for member in value]
    return value


_Rewrite: TypeAlias = Callable[[dict[str, Value], bytes], Iterator[bytes]]
_RESERIALISED: Final = (
    "The body was re-serialised on the way, by a framework or a proxy: hand over the bytes of the"
    " request as they were received, before anything parses them."
)
_RESPACED_HINT: Final = (
    "; it is spaced as re-serialised JSON is, so make sure that these are the bytes of the request"
)
_SPACED: Final = re.compile(rb'"[ \t\n\r]*:[ \t\n\r]+|,[ \t\n\r]+"')
_WRONG_KEYS: Final[tuple[tuple[str, Callable[[str], bytes]], ...]] = (
    (
        "The secret has white space around it, often a line end: strip it where it is read.",
        lambda secret: secret.strip().encode(),
    ),
    (
        "The signer used the hex-decoded secret as key; the provider uses its text.",
        _hex_decoded,
    ),
    (
        'The signer used the secret without its "whsec_"; the provider uses the whole text.',
        lambda secret: secret.strip().removeprefix("whsec_").encode(),
    ),
    (
        'The secret lacks its "whsec_": copy the whole text from the dashboard.',
        lambda secret: f"whsec_{secret.strip()}".encode(),
    ),
    (
        "The signer used the SHA-256 of the secret, as for the header X-Fyatu-Signature.",
        lambda secret: hashlib.sha256(secret.strip().encode()).hexdigest().encode(),
    ),
)
_WRONG_MESSAGES: Final[tuple[tuple[str, _Rewrite], ...]] = (
    (_RESERIALISED, _respaced),
    (_RESERIALISED, _with_cents),
    (
        "The body was decoded as Latin-1 and encoded again: hand over the bytes of the request.",
        _as_latin_1,
    ),
)
