"""Nothing forged gets in, and nothing genuine is lost."""

from __future__ import annotations

import json
import pickle
import tracemalloc
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

import pytest

from paycollect import ipn
from paycollect._signing import serialise, sign
from paycollect.clock import Clock
from paycollect.testing import sign_webhook

from .helpers import SECRET, VECTORS, resigned, sample, signed

PAID = '{"collectionId":"SCI1","orderId":"A/1","amount":25.00,"status":"COMPLETED"}'
OTHER = "whsec_other"
NOW = datetime(2026, 1, 8, 12, 0, tzinfo=UTC)


def test_published_vector() -> None:
    """The body that the provider publishes with its secret proves genuine, pretty-printed or not.

    Its page signs the compact text, which the re-serialisation finds behind the line breaks.
    """
    body = sample("webhook_card_funded_v3_published_vector")
    event = ipn.parse_webhook(body, secret=SECRET)
    assert (event.verified, event.scheme, event.key_index) == (True, "compact", 0)
    compact = json.dumps(json.loads(body), separators=(",", ":")).encode()
    assert ipn.parse_webhook(compact, secret=SECRET).scheme == "raw"


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["name"])
def test_vectors_as_bodies(vector: dict[str, str]) -> None:
    """Each vector proves genuine in a body that holds its message."""
    body = signed(vector["message"], sign=f'"{vector["sign"]}"')
    assert ipn.parse_webhook(body, secret=SECRET).data == json.loads(vector["message"])


@pytest.mark.parametrize(
    ("scheme", "message"),
    [
        ("raw", '{ "a": "é/", "amount": 25.00, "e": {} }'),
        ("compact", '{"a":"é/","amount":25,"e":{}}'),
        ("php", '{"a":"\\u00e9\\/","amount":25,"e":[]}'),
        ("php", '{"a":"\\u00e9\\/","amount":25,"e":{}}'),
    ],
)
def test_each_scheme(scheme: str, message: str) -> None:
    """All published schemes are understood, each can be pinned, and the event says which it was."""
    body = signed('{ "a": "é/", "amount": 25.00, "e": {} }', message=message)
    assert ipn.parse_webhook(body, secret=SECRET).scheme == scheme
    assert ipn.verify_webhook(body, secret=SECRET, schemes=[scheme]).scheme == scheme
    for other in {"raw", "compact", "php"} - {scheme}:
        with pytest.raises(ipn.SignatureError):
            ipn.parse_webhook(body, secret=SECRET, schemes=(other,))


def test_what_is_returned_is_what_was_signed() -> None:
    """A number that only rounds to the signed one is not handed on."""
    body = signed('{"amount":25.0000000000000001}', message='{"amount":25}')
    assert ipn.parse_webhook(body, secret=SECRET).data == {"amount": 25}


def test_php_list_in_place_of_data() -> None:
    """PHP signs [] for empty data: that is genuine, but says nothing."""
    with pytest.raises(ipn.PayloadError):
        ipn.parse_webhook(signed("{}", message="[]"), secret=SECRET)


def test_numbers_that_php_cannot_write() -> None:
    """A number beyond a double has no PHP text: the scheme does not apply."""
    with pytest.raises(ipn.SignatureError):
        ipn.parse_webhook(signed('{"a":1E400}', message=""), secret=SECRET)


def test_upper_case_sign() -> None:
    """The case of the hex digits does not matter."""
    body = signed(PAID, sign=f'"{sign(PAID.encode(), SECRET).upper()}"')
    assert ipn.verify_webhook(body, secret=SECRET) == ipn.Proof(scheme="raw", key_index=0)


GENUINE = sign(PAID.encode(), SECRET)


@pytest.mark.parametrize(
    "value",
    [
        "null",
        "1",
        "true",
        "[]",
        '""',
        f'["{GENUINE}"]',
        f'"{GENUINE[:32]}"',
        f'"{GENUINE} "',
        f'" {GENUINE[:63]}"',
        f'"{GENUINE[:-1]}"',
        f'"{GENUINE[:-1]}g"',
        f'"{GENUINE[:62]}  "',
        f'"{GENUINE[:-1]}\\u0661"',
        f'"{GENUINE[:-1]}é"',
        '"' + "0" * 64 + '"',
        f'"{sign(PAID.encode(), OTHER)}"',
    ],
)
def test_refuses_a_sign_that_is_none(value: str) -> None:
    """Anything but the right 64 hex digits is refused, never another exception."""
    with pytest.raises(ipn.SignatureError) as caught:
        ipn.parse_webhook(signed(PAID, sign=value), secret=SECRET)
    assert caught.value.status_hint == 401


def test_refuses_the_unsigned_form() -> None:
    """One published form has no sign: it must not be trusted."""
    with pytest.raises(ipn.SignatureError, match="not signed"):
        ipn.parse_webhook(sample("webhook_collection_completed_bare"), secret=SECRET)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{}",
        b"[]",
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf{}",
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-32"),
        signed("null"),
        signed("[]"),
        signed('"{}"'),
        signed(PAID) + b"{}",
        signed(PAID, event="null"),
        signed(PAID, event='""'),
        signed(PAID, event="7"),
        signed(PAID, event="[]"),
        signed(PAID, version="2.0"),
        signed(PAID, eventId="{}"),
        '{"a":"\ud800"}',
    ],
)
def test_refuses_malformed_bodies(body: Any) -> None:
    """A malformed body is our own error, with the status to answer."""
    with pytest.raises(ipn.PayloadError) as caught:
        ipn.parse_webhook(body, secret=SECRET)
    assert caught.value.status_hint == 400
    assert not isinstance(caught.value.__context__, UnicodeError)


@pytest.mark.parametrize(
    "make",
    [bytes, bytearray, memoryview, lambda body: body.decode(), lambda body: memoryview(body)[::1]],
)
def test_kinds_of_body(make: Any) -> None:
    """All that web frameworks hand out is understood, UTF-8 included."""
    body = signed('{"name":"José 😀"}')
    assert ipn.parse_webhook(make(body), secret=SECRET).data["name"] == "José 😀"


def test_a_view_of_any_shape() -> None:
    """A memoryview need not be flat."""
    body = signed(PAID)
    body += b" " * (-len(body) % 2)
    view = memoryview(body).cast("B", [2, len(body) // 2])
    assert ipn.verify_webhook(view, secret=SECRET).scheme == "raw"
    assert ipn.verify_webhook(memoryview(body)[::-1][::-1], secret=SECRET).scheme == "raw"


def test_a_parsed_body_is_a_mistake_of_the_caller() -> None:
    """The message explains why the bytes are needed."""
    with pytest.raises(TypeError, match="bytes of the request"):
        ipn.parse_webhook(json.loads(signed(PAID)), secret=SECRET)


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview, lambda body: body.decode()])
def test_size(make: Any) -> None:
    """A body of the limit is read, one more byte is not."""
    body = signed(PAID)
    ipn.Receiver(secrets=SECRET, max_size=len(body)).verify(make(body))
    with pytest.raises(ipn.PayloadError) as caught:
        ipn.Receiver(secrets=SECRET, max_size=len(body) - 1).verify(make(body))
    assert caught.value.status_hint == 413


@pytest.mark.parametrize("make", [bytearray, memoryview, lambda body: body.decode()])
def test_size_is_looked_at_before_the_copy(make: Any) -> None:
    """What is too large is refused without a copy of it, which a stranger could have us make."""
    body = make(b" " * 4_000_000)
    receiver = ipn.Receiver(secrets=SECRET)
    tracemalloc.start()
    try:
        with pytest.raises(ipn.PayloadError):
            receiver.parse(body)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_size_counts_bytes() -> None:
    """A text is measured as what it is in UTF-8."""
    body = signed('{"name":"éééé"}').decode()
    with pytest.raises(ipn.PayloadError, match="larger"):
        ipn.Receiver(secrets=SECRET, max_size=len(body)).verify(body)


def test_rotation() -> None:
    """Several secrets hold at once, and the event tells which one matched."""
    receiver = ipn.Receiver(secrets=[OTHER, SECRET])
    assert receiver.parse(signed(PAID)).key_index == 1
    assert receiver.verify(signed(PAID, OTHER)).key_index == 0
    assert ipn.parse_webhook(signed(PAID), secret=(OTHER, SECRET)).key_index == 1


@pytest.mark.parametrize("secret", ["", " ", "\n\t", [], [SECRET, ""], [SECRET, " "], "\ud800", ()])
def test_refuses_blank_secrets_at_once(secret: Any) -> None:
    """With a blank key everybody could sign: it is refused before the first webhook."""
    for call in (
        lambda: ipn.Receiver(secrets=secret),
        lambda: ipn.parse_webhook(b"", secret=secret),
        lambda: ipn.verify_webhook(b"", secret=secret),
    ):
        with pytest.raises(ValueError, match=r"^secret: ") as caught:
            call()
        assert caught.value.__context__ is None


@pytest.mark.parametrize("secret", [None, 5, b"bytes", {"a": 1}, {SECRET}, [None], [b"x"], [["x"]]])
def test_refuses_secrets_that_are_no_texts(secret: Any) -> None:
    """A secret is a text: what the provider shows."""
    with pytest.raises(TypeError, match=r"^secret: "):
        ipn.parse_webhook(b"", secret=secret)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"schemes": "raw"}, TypeError),
        ({"schemes": 5}, TypeError),
        ({"schemes": ()}, ValueError),
        ({"schemes": ("xml",)}, ValueError),
        ({"schemes": ("php-object",)}, ValueError),
        ({"schemes": ([],)}, ValueError),
        ({"app_id": 5}, TypeError),
        ({"app_id": " "}, ValueError),
        ({"max_age": "5"}, TypeError),
        ({"max_age": True}, TypeError),
        ({"max_age": 0}, ValueError),
        ({"max_age": -1}, ValueError),
        ({"max_age": 1e300}, ValueError),
        ({"max_age": float("nan")}, ValueError),
        ({"require_app_id": True}, ValueError),
        ({"require_app_id": "yes", "app_id": "A"}, TypeError),
        ({"clock": 5}, TypeError),
        ({"clock": NOW.isoformat()}, TypeError),
        ({"max_size": 0}, ValueError),
        ({"max_size": 1.5}, TypeError),
        ({"max_size": True}, TypeError),
    ],
)
def test_refuses_wrong_settings(settings: Any, error: type[Exception]) -> None:
    """A wrong setting names itself when the service starts."""
    with pytest.raises(error, match=next(iter(settings))):
        ipn.Receiver(secrets=SECRET, **settings)


def test_repr_shows_no_secret() -> None:
    """A receiver can be logged."""
    receiver = ipn.Receiver(secrets=[SECRET, OTHER])
    assert repr(receiver) == "Receiver(2 secrets, schemes=('raw', 'compact', 'php'))"
    assert repr(ipn.Receiver(secrets=SECRET)).startswith("Receiver(1 secret,")


def test_a_receiver_does_not_pickle() -> None:
    """Secrets do not travel by accident."""
    with pytest.raises(TypeError):
        pickle.dumps(ipn.Receiver(secrets=SECRET))


def test_another_app() -> None:
    """What is signed for another app is refused; a form that names no app is not."""
    receiver = ipn.Receiver(secrets=SECRET, app_id="D0H6R7Z6R1C2N5O5")
    receiver.parse(resigned("webhook_collection_received_v2"))
    receiver.parse(signed(PAID))
    for app_id in ('"OTHER"', "5", "[]", "{}", '""'):
        with pytest.raises(ipn.SignatureError, match="another app"):
            receiver.parse(signed(f'{{"appId":{app_id}}}'))
        with pytest.raises(ipn.SignatureError, match="another app"):
            receiver.verify(signed(f'{{"appId":{app_id}}}'))


def test_an_app_that_must_be_named() -> None:
    """Where it is required, a message that names no app is refused, too."""
    receiver = ipn.Receiver(secrets=SECRET, app_id="D0H6R7Z6R1C2N5O5", require_app_id=True)
    receiver.parse(resigned("webhook_collection_received_v2"))
    for data in (PAID, '{"appId":null}'):
        with pytest.raises(ipn.SignatureError, match="does not name"):
            receiver.parse(signed(data))
    with pytest.raises(ipn.SignatureError, match="another app"):
        receiver.verify(signed('{"appId":"OTHER"}'))


@pytest.mark.parametrize("settings", [{}, {"max_age": 60, "clock": lambda: NOW}])
def test_any_app_where_none_was_named(settings: Any) -> None:
    """Without `app_id` no app is refused, whatever else is checked."""
    receiver = ipn.Receiver(secrets=SECRET, **settings)
    body = signed(f'{{"appId":"ANY","timestamp":"{NOW.isoformat()}"}}')
    assert receiver.parse(body).app_id == "ANY"
    assert receiver.verify(body).scheme == "raw"


NAME = "PAYCOLLECT_WEBHOOK_SECRET"


def test_from_env(monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret comes from the environment, the old one too while it is replaced; options as ever."""
    monkeypatch.setenv(NAME, SECRET)
    for old in (None, "", " "):
        if old is not None:
            monkeypatch.setenv(f"{NAME}_OLD", old)
        receiver = ipn.Receiver.from_env()
        assert receiver.parse(signed(PAID)).key_index == 0
        with pytest.raises(ipn.SignatureError):
            receiver.parse(signed(PAID, OTHER))
    monkeypatch.setenv(f"{NAME}_OLD", OTHER)
    receiver = ipn.Receiver.from_env(schemes=["raw"], max_size=500)
    assert receiver.parse(signed(PAID, OTHER)).key_index == 1
    assert repr(receiver) == "Receiver(2 secrets, schemes=('raw',))"
    with pytest.raises(ipn.PayloadError):
        receiver.parse(b" " * 501)


@pytest.mark.parametrize("secret", [None, "", "  ", "whsec_x\n", "whsec_\udcff"])
def test_from_env_names_the_variable(monkeypatch: pytest.MonkeyPatch, secret: str | None) -> None:
    """A variable that is missing or wrong is named when the service starts; its value is not shown."""
    monkeypatch.delenv(NAME, raising=False)
    if secret is not None:
        monkeypatch.setenv(NAME, secret)
    with pytest.raises(ValueError, match=f"^{NAME}:") as caught:
        ipn.Receiver.from_env()
    assert "whsec_" not in str(caught.value)
    monkeypatch.setenv(NAME, SECRET)
    if secret is not None and secret.strip():
        monkeypatch.setenv(f"{NAME}_OLD", secret)
        with pytest.raises(ValueError, match=f"^{NAME}_OLD:"):
            ipn.Receiver.from_env()


@pytest.mark.parametrize("field", ["timestamp", "completedAt"])
@pytest.mark.parametrize("max_age", [60, 60.0, timedelta(minutes=1)])
def test_age(field: str, max_age: Any) -> None:
    """With a limit set, neither old messages nor such from the future are accepted."""
    receiver = ipn.Receiver(secrets=SECRET, max_age=max_age, clock=lambda: NOW)
    for seconds in (-60, 0, 60):
        moment = (NOW + timedelta(seconds=seconds)).isoformat()
        receiver.parse(signed(f'{{"{field}":"{moment}"}}'))
    for seconds, words in ((-61, "too old: signed 61 s ago"), (61, "from the future: signed 61 s")):
        moment = (NOW + timedelta(seconds=seconds)).isoformat()
        for take in (receiver.parse, receiver.verify):
            with pytest.raises(
                ipn.SignatureError, match=f"{words}.* max_age allows 60 s"
            ) as caught:
                take(signed(f'{{"{field}":"{moment}"}}'))
            assert caught.value.status_hint == 401


@pytest.mark.parametrize("data", ["{}", '{"timestamp":"soon"}', '{"timestamp":5}'])
def test_age_without_a_time(data: str) -> None:
    """Where no time was signed, the age is unknown, which is not young enough."""
    receiver = ipn.Receiver(secrets=SECRET, max_age=60)
    with pytest.raises(ipn.SignatureError, match="no time"):
        receiver.parse(signed(data))


def test_the_projects_clocks() -> None:
    """One clock serves all: anything that tells the seconds since 1970 does, and so does a function."""

    class Noon(Clock):
        def time(self) -> float:
            return NOW.timestamp()

    stale = signed('{"timestamp":"2026-01-08T11:58:59Z"}')
    fresh = signed('{"timestamp":"2026-01-08T11:59:00Z"}')
    for clock in (Noon(), lambda: NOW):
        receiver = ipn.Receiver(secrets=SECRET, max_age=60, clock=clock)
        receiver.parse(fresh)
        with pytest.raises(ipn.SignatureError, match="too old"):
            receiver.parse(stale)


def test_limits_can_be_asked_for() -> None:
    """Whoever is handed a receiver can see what it reads, and whether it would lose redeliveries."""
    assert ipn.Receiver(secrets=SECRET, max_size=500).max_size == 500
    assert ipn.Receiver(secrets=SECRET).max_age is None
    assert ipn.Receiver(secrets=SECRET, max_age=60).max_age == timedelta(minutes=1)


def test_age_by_the_real_clock() -> None:
    """Without a clock of one's own, the time is the machine's."""
    moment = datetime.now(UTC).isoformat()
    ipn.Receiver(secrets=SECRET, max_age=600).parse(signed(f'{{"timestamp":"{moment}"}}'))


@pytest.mark.parametrize("mark", ["true", "1", '"yes"', '{"a":1}'])
def test_test_deliveries(mark: str) -> None:
    """A validly signed simulation is acknowledged but is no event, unless asked for."""
    body = signed(f'{{"_test":{mark},"collectionId":"X","status":"COMPLETED"}}')
    with pytest.raises(ipn.TestEventError) as caught:
        ipn.parse_webhook(body, secret=SECRET)
    assert caught.value.status_hint == 200
    for secret in (SECRET, [OTHER, SECRET]):
        assert ipn.parse_webhook(body, secret=secret, allow_test=True).is_test
    ipn.verify_webhook(body, secret=SECRET)


def test_test_deliveries_by_their_id() -> None:
    """The ids of simulations begin with TEST_ (provider docs: api-reference/webhooks/test)."""
    body = signed('{"collectionId":"TEST_COL1","status":"COMPLETED"}')
    with pytest.raises(ipn.TestEventError):
        ipn.parse_webhook(body, secret=SECRET)


def test_unsigned_test_deliveries_are_unsigned() -> None:
    """The answer to a forged simulation tells nothing: the signature comes first."""
    with pytest.raises(ipn.SignatureError):
        ipn.parse_webhook(signed('{"_test":true}', OTHER), secret=SECRET)


def test_unverified() -> None:
    """Reading without proof says so, whatever the body claims."""
    event = ipn.parse_unverified(sample("webhook_collection_completed_bare"))
    assert (event.verified, event.scheme, event.key_index) == (False, None, None)
    assert event.amount == Decimal(25)
    with pytest.raises(ipn.PayloadError, match="larger"):
        ipn.parse_unverified(b"{}  ", max_size=3)


def test_escaped_names_are_the_names() -> None:
    """A name spelled with escapes is that name, as it is for every JSON parser."""
    body = signed(PAID).replace(b'"sign"', rb'"s\u0069gn"').replace(b'"data"', rb'"d\u0061ta"')
    assert ipn.parse_webhook(body, secret=SECRET).collection_id == "SCI1"


@pytest.mark.parametrize(
    "forged",
    [
        b'"data":{"amount":1},',
        rb'"d\u0061ta":{"amount":1},',
        b'"sign":"' + b"0" * 64 + b'",',
        b'"event":"x",',
    ],
)
def test_a_second_name_is_refused(forged: bytes) -> None:
    """A second `data`, in either place and spelling, cannot ride along with a signed one."""
    body = signed(PAID)
    for forgery in (body.replace(b"{", b"{" + forged, 1), body[:-1] + b"," + forged[:-1] + b"}"):
        with pytest.raises(ipn.PayloadError, match="twice"):
            ipn.parse_webhook(forgery, secret=SECRET)


@pytest.mark.parametrize(
    "data", ['{"x":{"data":1}}', '{"x":"\\"data\\":{}"}', '{"data":{"data":1}}']
)
def test_data_inside_data(data: str) -> None:
    """Only the member of the body itself counts."""
    body = signed(data, note='{"data":{"forged":true},"sign":"x"}')
    assert ipn.parse_webhook(body, secret=SECRET).data == json.loads(data)


def test_errors_show_nothing_of_the_body() -> None:
    """Errors can be logged: they hold no personal data, secret or signature, also by context."""
    data = '{"collectionId":"C","status":"COMPLETED","payer":{"email":5,"name":"Alice Secret"}}'
    for body in (signed(data), signed(data, OTHER), signed(data)[:-9]):
        with pytest.raises(ipn.IpnError) as caught:
            ipn.parse_webhook(body, secret=SECRET)
        error: BaseException | None = caught.value
        while error is not None:
            assert "Alice" not in repr(error)
            assert SECRET not in repr(error)
            assert sign(data.encode(), SECRET) not in repr(error)
            assert not isinstance(error, json.JSONDecodeError | UnicodeError)
            error = error.__context__


def test_secret_with_letters_beyond_ascii() -> None:
    """The key is the UTF-8 text of the secret, never decoded."""
    assert ipn.verify_webhook(signed(PAID, "größe"), secret="größe").key_index == 0


def test_schemes_are_tried_in_the_given_order() -> None:
    """Where a message is the same in all schemes, the first one is named."""
    body = signed('{"a":"b"}')
    assert ipn.parse_webhook(body, secret=SECRET, schemes=["php", "raw"]).scheme == "php"
    assert serialise({"a": "b"}, "php") == b'{"a":"b"}'


@pytest.mark.parametrize("scheme", ["compact", "php"])
def test_large_data_is_not_written_anew(scheme: Literal["compact", "php"]) -> None:
    """Under the re-serialising schemes data of more than 64 KiB is refused, up to it accepted."""
    fits = sign_webhook({"collectionId": "SCI1", "n": ["a" * 65_000]}, SECRET, scheme)
    assert ipn.parse_webhook(fits, secret=SECRET, schemes=[scheme]).scheme == scheme
    large = sign_webhook({"collectionId": "SCI1", "n": ["a" * 66_000]}, SECRET, scheme)
    with pytest.raises(ipn.SignatureError):
        ipn.parse_webhook(large, secret=SECRET, schemes=[scheme])
