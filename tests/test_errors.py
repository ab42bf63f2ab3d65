"""Errors as values: a tree, pickled and copied whole, and fit for a log."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paycollect import errors
from paycollect.errors import NotConfirmedReason, Outcome, PayCollectError
from paycollect.models import Collection, ReadOnlyDict, Refund
from paycollect.status import PaymentStatus, RefundStatus

COLLECTION = Collection(
    collection_id="SCI1",
    amount=Decimal("25.00"),
    currency="USD",
    status=PaymentStatus("ON_HOLD"),
    metadata=ReadOnlyDict({"a": Decimal(1)}),
)
REFUND = Refund(
    refund_id="R1",
    collection_id="SCI1",
    amount=Decimal(5),
    currency="USD",
    status=RefundStatus.PENDING,
)
KINDS = [
    kind
    for _, kind in sorted(vars(errors).items())
    if inspect.isclass(kind) and issubclass(kind, PayCollectError)
]
JWT = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJBMUIyQzNENEU1RjZHN0g4In0.xK2pM7nV3wL8"


def full(kind: type[PayCollectError]) -> PayCollectError:
    """Make an error with all that it can carry."""
    if issubclass(kind, errors.ApiError):
        error: Any = kind(
            "No.", status=418, code="CODE", request_id="req_1", fields={"amount": "too small"}
        )
    elif issubclass(kind, errors.DecodeError):
        error = kind("Odd.", path="data.amount", request_id="req_1")
    elif issubclass(kind, errors.PaymentNotConfirmedError):
        error = kind("No.", reason=NotConfirmedReason.AMOUNT_MISMATCH, collection=COLLECTION)
    elif issubclass(kind, errors.PayloadError):
        error = kind("Odd.", status_hint=413)
    else:
        error = kind("Oh.")
    error.outcome, error.attempts, error.elapsed = Outcome.UNKNOWN, 3, 1.25
    error.order_id = "INV-001"
    for name, value in (("retry_after", 7.0), ("collection", COLLECTION)):
        if hasattr(kind, name):
            setattr(error, name, value)
    if hasattr(kind, "existing"):
        error.existing = REFUND if kind is errors.AlreadyRefundedError else COLLECTION
    return error  # type: ignore[no-any-return]  # its class is a parameter


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    "clone",
    [copy.copy, copy.deepcopy]
    + [lambda e, p=p: pickle.loads(pickle.dumps(e, p)) for p in range(2, pickle.HIGHEST_PROTOCOL + 1)],
    ids=["copy", "deepcopy", *(f"pickle {p}" for p in range(2, pickle.HIGHEST_PROTOCOL + 1))],
)  # fmt: skip
def test_a_clone_has_it_all(kind: type[PayCollectError], clone: Any) -> None:
    """A copied or pickled error is of the same kind, text and attributes."""
    error = full(kind)
    twin = clone(error)
    assert type(twin) is kind
    assert (str(twin), repr(twin), twin.args) == (str(error), repr(error), error.args)
    assert vars(twin) == vars(error)
    assert twin is not error


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_can_be_made_of_a_text(kind: type[PayCollectError]) -> None:
    """Any error can be made of nothing, and of a text, and has the common attributes."""
    for error in (kind(), kind("Oh.")):
        assert isinstance(error.outcome, Outcome)
        assert isinstance(error.is_retryable, bool)
        assert (error.attempts, error.elapsed, error.order_id) == (0, 0.0, None)
    assert "Oh." in str(kind("Oh."))


def test_the_tree_is_as_drawn() -> None:
    """The tree in the docstring of the room is the tree of the classes."""
    parents: list[str] = []
    drawn = {}
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"    ([| ]*)(?:[|`]-- )?(\w+Error) ", line):
            depth = (match.start(2) - 4) // 4
            parents[depth:] = [match[2]]
            drawn[match[2]] = parents[depth - 1] if depth else "Exception"
    assert drawn == {kind.__name__: kind.__bases__[0].__name__ for kind in KINDS}


@pytest.mark.parametrize(
    ("kind", "outcome", "retryable"),
    [
        (errors.ConnectError, Outcome.NOT_SENT, True),
        (errors.ResponseLostError, Outcome.UNKNOWN, True),
        (errors.AuthenticationError, Outcome.REJECTED, False),
        (errors.PermissionDeniedError, Outcome.REJECTED, False),
        (errors.NotFoundError, Outcome.REJECTED, False),
        (errors.RequestTimeoutError, Outcome.UNKNOWN, True),
        (errors.ConflictError, Outcome.REJECTED, False),
        (errors.DuplicateOrderError, Outcome.REJECTED, False),
        (errors.InvalidRequestError, Outcome.REJECTED, False),
        (errors.InsufficientBalanceError, Outcome.REJECTED, False),
        (errors.RateLimitError, Outcome.REJECTED, True),
        (errors.ServerError, Outcome.UNKNOWN, True),
        (errors.DecodeError, Outcome.UNKNOWN, False),
        (errors.DeadlineExceededError, Outcome.UNKNOWN, True),
        (errors.ClosedError, Outcome.NOT_SENT, False),
        (errors.EventLoopError, Outcome.NOT_SENT, False),
        (errors.PaymentNotConfirmedError, Outcome.REJECTED, False),
        (errors.IpnError, Outcome.REJECTED, False),
    ],
)
def test_what_each_kind_says(
    kind: type[PayCollectError], outcome: Outcome, retryable: bool
) -> None:
    """Each kind says by itself whether it may have taken effect, and whether to try again."""
    assert (kind().outcome, kind().is_retryable) == (outcome, retryable)


def test_the_text_of_an_api_error() -> None:
    """The text of a refusal has all that one would tell the provider's support."""
    error = full(errors.InvalidRequestError)
    assert str(error) == (
        "No. (amount: too small; HTTP 418 CODE; request req_1; order INV-001; 3 attempts in 1.2 s;"
        " outcome unknown: the request may have taken effect)"
    )
    assert repr(error) == f"InvalidRequestError({str(error)!r})"


@pytest.mark.parametrize(
    "secret",
    [
        "alice@example.com",
        "ALICE.B+tag@sub.example.co.uk",
        JWT,
        JWT[:40],
        "whsec_a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6",
        "Bearer abc.def-ghi",
        "bearer\tabc",
        "0123456789abcdef0123456789abcdef",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef0123456789",
    ],
)
def test_what_the_provider_says_is_cleaned(secret: str) -> None:
    """Whatever the provider puts into its texts, no secret or address gets into the error."""
    error = errors.ApiError(
        f"Oh {secret} no",
        status=400,
        code=f"C {secret}",
        request_id=f"r {secret}",
        fields={f"f {secret}": f"v {secret}"},
    )
    shown = f"{error} {error!r} {error.message} {error.code} {error.request_id} {error.fields}"
    for part in secret.split():
        assert len(part) < 8 or part not in shown
    assert "[redacted]" in shown


@pytest.mark.parametrize(
    "request_id", ["req_9f3e2a1b4c5d67e8", "0198c0de-7e57-7000-8000-000000000000", "a" * 40]
)
def test_a_request_id_is_kept(request_id: str) -> None:
    """An id that looks like one is kept whole, however long."""
    assert errors.ApiError(request_id=request_id).request_id == request_id


@given(st.text(), st.text(), st.text())
def test_texts_are_short_and_of_one_line(message: str, code: str, order_id: str) -> None:
    """Whatever the provider says, the text of an error is one printable line of bounded length."""
    error = errors.ApiError(message, status=400, code=code, request_id=code, fields={code: message})
    error.order_id = order_id
    assert len(str(error)) < 2500
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u2028\u2029" for c in str(error))
    str(error).encode()


@given(st.binary(max_size=400).map(lambda data: data.decode("latin-1")))
def test_cleaning_makes_it_short(text: str) -> None:
    """A text of any length is cut to a few hundred characters."""
    assert len(errors.clean(text * 2000)) <= 300


@pytest.mark.parametrize("value", [None, 5, b"x", ["x"]])
def test_what_is_no_text_is_left_out(value: object) -> None:
    """Something other than a text is shown as nothing."""
    assert errors.clean(value) == ""
    assert errors.clean_id(value) is None


@pytest.mark.parametrize("attribute", ["http_statuses", "codes"])
def test_what_an_error_is_told_by_is_said_once(attribute: str) -> None:
    """A status or code is named by one class only, and a subclass takes none from its parent."""
    table = errors.BY_STATUS if attribute == "http_statuses" else errors.BY_CODE
    said = [value for kind in KINDS for value in vars(kind).get(attribute, ())]
    assert sorted(said, key=str) == sorted(table, key=str)
    assert all(value in vars(kind)[attribute] for value, kind in table.items())


def test_the_statuses_of_the_drawing_are_those_of_the_classes() -> None:
    """What the tree says about HTTP statuses is what the classes say."""
    for kind in KINDS:
        statuses = vars(kind).get("http_statuses", ())
        line = next(
            one for one in (errors.__doc__ or "").splitlines() if f" {kind.__name__} " in one
        )
        drawn = {int(text) for text in re.findall(r"\b[45]\d\d\b", line)}
        assert drawn == (set() if kind is errors.ServerError else set(statuses))
    assert "ServerError                5xx" in (errors.__doc__ or "")
    assert set(errors.ServerError.http_statuses) == set(range(500, 600))


def test_a_thing_that_is_not_there_is_named() -> None:
    """The text of a 404 says what was asked for."""
    error = errors.NotFoundError("No such thing.", status=404, code="RESOURCE_NOT_FOUND")
    assert str(error) == "No such thing. (HTTP 404 RESOURCE_NOT_FOUND)"
    error.path = "/collections/SCI1"
    assert str(error) == (
        "No such thing. (asked for /collections/SCI1; HTTP 404 RESOURCE_NOT_FOUND)"
    )
