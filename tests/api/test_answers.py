"""Both published shapes of each answer, and what becomes of an answer that is neither."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest

from paycollect import DecodeError, ResponseLostError, RetryPolicy, SessionManager
from paycollect._api.decode import structure
from paycollect.models import Checkout, Collection, Payer, RefundSummary
from tests.provider import faults
from tests.provider.messages import Json, Reply, success
from tests.provider.server import Exchange, Provider

SAMPLES = Path(__file__).parent.parent / "data" / "samples"
ONCE = RetryPolicy(max_retries=0)
GET = "GET /collections/{id}"
LIST = "GET /collections"
CREATE = "POST /collections"
LEAST: Json = {"collectionId": "SCI1", "amount": 25, "currency": "USD", "status": "PENDING"}


def sample(name: str, **changes: Any) -> Any:
    """Give the `data` of a published answer."""
    document = json.loads((SAMPLES / f"{name}.json").read_text("utf-8"), parse_float=Decimal)
    return {**document["data"], **changes}


async def created(pay: SessionManager, provider: Provider, data: object) -> Any:
    """Create the checkout of the published sample, with an answer of our choice."""
    provider.script(CREATE, faults.answers(success(data, 201)))
    return await pay.create_checkout(
        amount=25, order_id="INV-001", description="Premium Subscription", retry=ONCE
    )


async def got(pay: SessionManager, provider: Provider, data: object, asked: str = "SCI1") -> Any:
    """Get a collection, with an answer of our choice."""
    provider.script(GET, faults.answers(success(data)))
    return await pay.get_collection(asked, retry=ONCE)


async def test_the_published_create(pay: SessionManager, provider: Provider) -> None:
    """Each field of the create page arrives under its name."""
    checkout = await created(pay, provider, sample("collection_create"))
    assert checkout.collection_id == "SCI679A1B2C3D4E5"
    assert checkout.reference == "A2B4C6D8E0F2"
    assert checkout.order_id == "INV-001"
    assert (checkout.amount, checkout.fee, checkout.net_amount) == (
        Decimal(25),
        Decimal("0.75"),
        Decimal("24.25"),
    )
    assert (checkout.currency, checkout.status) == ("USD", "PENDING")
    assert checkout.checkout_url.endswith("/sci/checkout?batch=SCI679A1B2C3D4E5")
    assert checkout.expires_at == datetime(2026, 1, 8, 12, 30, tzinfo=UTC)
    assert checkout.recovered is False


@pytest.mark.parametrize(
    ("changes", "name", "value"),
    [
        ({"amount": "25.00"}, "amount", Decimal("25.00")),
        ({"fee": None}, "fee", None),
        ({"netAmount": "24.25"}, "net_amount", Decimal("24.25")),
        ({"expiresAt": "2026-01-08T12:30:00Z"}, "expires_at", datetime(2026, 1, 8, 12, 30, tzinfo=UTC)),
        ({"expiresAt": "2026-01-08T14:30:00+02:00"}, "expires_at", datetime(2026, 1, 8, 12, 30, tzinfo=UTC)),
        ({"expiresAt": "2026-01-08T12:30:00"}, "expires_at", datetime(2026, 1, 8, 12, 30, tzinfo=UTC)),
        ({"checkoutUrl": "https://checkout.fyatu.com?batch=S"}, "checkout_url", "https://checkout.fyatu.com?batch=S"),
        ({"checkoutUrl": "http://127.0.0.1:80/x"}, "checkout_url", "http://127.0.0.1:80/x"),
        ({"status": "UNDER_REVIEW"}, "status", "UNDER_REVIEW"),
        ({"recovered": True}, "recovered", False),
        ({"brandNew": {"x": [1]}}, "currency", "USD"),
    ],
)  # fmt: skip
async def test_variants_of_a_create(
    pay: SessionManager, provider: Provider, changes: Json, name: str, value: object
) -> None:
    """What may be absent, comes in two forms, or is new does no harm."""
    checkout = await created(pay, provider, sample("collection_create", **changes))
    assert getattr(checkout, name) == value


@pytest.mark.parametrize(
    "changes",
    [{"orderId": "INV-0010"}, {"orderId": ""}, {"amount": 26}, {"amount": "25.01"}, {"currency": "EUR"}],
)  # fmt: skip
async def test_an_answer_to_another_create(
    pay: SessionManager, provider: Provider, changes: Json
) -> None:
    """An answer about another order, amount or currency is not the answer: it is lost."""
    with pytest.raises(ResponseLostError) as caught:
        await created(pay, provider, sample("collection_create", **changes))
    assert (caught.value.outcome, caught.value.order_id) == ("unknown", "INV-001")


async def test_a_stray_answer_is_recovered_from(pay: SessionManager, provider: Provider) -> None:
    """A create that gets another request's answer is repeated, and ends with its own order."""

    async def stray(exchange: Exchange) -> None:
        exchange.commit()
        await exchange.send(success(sample("collection_create"), 201))

    provider.script(CREATE, stray)
    checkout = await pay.create_checkout(amount=7, order_id="INV-007", description="d")
    assert (checkout.order_id, checkout.recovered) == ("INV-007", True)
    assert list(provider.orders) == ["INV-007"]


@pytest.mark.parametrize("asked", ["SCI1", "B1"])
async def test_an_answer_to_the_right_get(
    pay: SessionManager, provider: Provider, asked: str
) -> None:
    """A collection is the right one by its collection id or by its batch."""
    collection = await got(pay, provider, {**LEAST, "batch": "B1"}, asked)
    assert collection.collection_id == "SCI1"


async def test_an_answer_to_another_get(pay: SessionManager, provider: Provider) -> None:
    """A collection with another id is not the answer."""
    with pytest.raises(ResponseLostError):
        await got(pay, provider, {**LEAST, "collectionId": "SCI2"})


@pytest.mark.parametrize(
    ("amount", "data"),
    [
        (None, {"collectionId": "SCI2"}),
        ("10.00", {"amount": 11}),
        ("10.00", {"collectionId": "SCI2", "amount": 10}),
    ],
)
async def test_an_answer_to_another_refund(
    pay: SessionManager, provider: Provider, amount: str | None, data: Json
) -> None:
    """A refund of another collection or amount is not the answer."""
    reply = success(sample("refund_create", **{"collectionId": "SCI1", **data}), 201)
    provider.script("POST /collections/{id}/refund", faults.answers(reply))
    with pytest.raises(ResponseLostError):
        await pay.create_refund("SCI1", amount=amount, retry=ONCE)


async def test_the_published_collection(pay: SessionManager, provider: Provider) -> None:
    """Each field of the get page and its schema arrives under its name."""
    data = sample("collection_get", collectionId="SCI1", metadata={"a": Decimal("1.50"), "b": [1]})
    data |= {"statusReason": "why", "checkoutUrl": "https://x.example/", "currency": "USD"}
    collection = await got(pay, provider, data)
    assert collection.payer == Payer(name="<string>", client_id="<string>")
    assert collection.refunds == RefundSummary(
        total_refunded=Decimal(123), remaining_refundable=Decimal(123), count=123
    )
    assert (collection.batch, collection.reference, collection.order_id) == ("<string>",) * 3
    assert (collection.callback_url, collection.webhook_url) == ("<string>", "<string>")
    assert (collection.description, collection.status_reason) == ("<string>", "why")
    assert collection.checkout_url == "https://x.example/"
    assert dict(collection.metadata) == {"a": Decimal("1.50"), "b": [1]}
    moment = datetime(2023, 11, 7, 5, 31, 56, tzinfo=UTC)
    assert (collection.created_at, collection.completed_at) == (moment, moment)
    assert (collection.expires_at, collection.amount) == (moment, Decimal(123))


async def test_a_collection_with_the_least(pay: SessionManager, provider: Provider) -> None:
    """Only id, amount, currency and status are needed; all else may be absent or null."""
    bare = await got(pay, provider, LEAST)
    optional = ("batch", "orderId", "fee", "netAmount", "payer", "refunds", "metadata", "createdAt")
    nulls = await got(pay, provider, {**LEAST, **dict.fromkeys(optional)})
    assert bare == nulls
    assert (bare.order_id, bare.payer, dict(bare.metadata)) == (None, None, {})


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"payer": None}, None),
        ({"payer": {}}, None),
        ({"payer": []}, None),
        ({"payer": {"name": "A", "email": "a@b.c"}}, Payer(name="A", email="a@b.c")),
        ({"payer": {"accountName": "A", "clientId": "C"}}, Payer(account_name="A", client_id="C")),
        ({"payer": {"accountName": "A"}, "payerName": "B"}, Payer(account_name="A")),
        ({"payerName": "A", "payerEmail": "a@b.c"}, Payer(name="A", email="a@b.c")),
        ({"payerName": "A", "payerClientId": "C"}, Payer(name="A", client_id="C")),
        ({"payerName": None, "payerEmail": None}, None),
        ({"payer": [], "payerName": "A"}, Payer(name="A")),
    ],
)
async def test_every_shape_of_a_payer(
    pay: SessionManager, provider: Provider, data: Json, expected: Payer | None
) -> None:
    """The payer is read in the form of the get page and in both forms of the list page."""
    assert (await got(pay, provider, {**LEAST, **data})).payer == expected


@pytest.mark.parametrize("empty", [[], {}])
async def test_php_writes_an_empty_object_as_an_array(
    pay: SessionManager, provider: Provider, empty: object
) -> None:
    """An empty array stands for an empty object."""
    collection = await got(pay, provider, {**LEAST, "metadata": empty, "refunds": empty})
    assert (dict(collection.metadata), collection.refunds) == ({}, RefundSummary())


@pytest.mark.parametrize("table", [False, True], ids=["schema", "table"])
async def test_both_shapes_of_pagination(
    pay: SessionManager, provider: Provider, table: bool
) -> None:
    """A page says which it is in the words of the schema or in those of the table."""
    provider.table_pagination = table
    for number in range(5):
        provider.add_order(f"INV-{number}")
    page = await pay.list_collections(page=2, limit=2)
    assert [collection.order_id for collection in page.items] == ["INV-2", "INV-3"]
    assert (page.page, page.per_page, page.total_items, page.total_pages) == (2, 2, 5, 3)
    assert page.has_next
    assert not (await pay.list_collections(page=3, limit=2)).has_next


BAD: dict[str, tuple[str, Any]] = {
    "no id": ("data.collectionId: missing", {"collectionId": ...}),
    "no amount": ("data.amount: missing", {"amount": ...}),
    "no currency": ("data.currency: missing", {"currency": ...}),
    "no status": ("data.status: missing", {"status": ...}),
    "null amount": ("data.amount: expected a number", {"amount": None}),
    "bool amount": ("data.amount: expected a number", {"amount": True}),
    "bad amount": ("data.amount: expected a number", {"amount": "25,00"}),
    "text amount": ("data.amount: expected a number", {"amount": "NaN"}),
    "huge amount": ("data.amount: too large, or too many digits", {"amount": 10**50}),
    "id as number": ("data.collectionId: expected a text", {"collectionId": 5}),
    "status as number": ("data.status: expected a text", {"status": 5}),
    "status null": ("data.status: expected a text", {"status": None}),
    "bad instant": ("data.createdAt: expected an ISO 8601 instant", {"createdAt": "yesterday"}),
    "date only": ("data.createdAt: expected an ISO 8601 instant", {"createdAt": "2026-01-01"}),
    "epoch": ("data.createdAt: expected an ISO 8601 instant", {"createdAt": 1767225600}),
    "first instant": (
        "data.createdAt: expected an ISO 8601 instant",
        {"createdAt": "0001-01-01T00:00:00+23:00"},
    ),
    "payer as text": ("data.payer: expected an object", {"payer": "alice@example.com"}),
    "payer's name": ("data.payer.name: expected a text", {"payer": {"name": 5}}),
    "metadata": ("data.metadata: expected an object", {"metadata": "alice@example.com"}),
    "count as text": ("data.refunds.count: expected a whole number", {"refunds": {"count": "5"}}),
    "count as bool": ("data.refunds.count: expected a whole number", {"refunds": {"count": True}}),
}


@pytest.mark.parametrize(("problem", "changes"), BAD.values(), ids=BAD)
async def test_an_undocumented_collection(
    pay: SessionManager, provider: Provider, problem: str, changes: Json
) -> None:
    """A wrong or missing field is named with its place, without its value, and the request id."""
    data = {name: value for name, value in {**LEAST, **changes}.items() if value is not ...}
    with pytest.raises(DecodeError) as caught:
        await got(pay, provider, data)
    assert str(caught.value.args[0]).endswith(problem)
    assert caught.value.path == problem.split(":", 1)[0]
    assert caught.value.request_id == "req_ok1"
    assert "alice" not in repr(caught.value)


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (None, "data"),
        ([], "data"),
        ({}, "data.pagination"),
        ({"collections": [], "pagination": []}, "data.pagination"),
        ({"collections": [], "pagination": {}}, "data.pagination.page"),
        ({"collections": [], "pagination": {"page": "1"}}, "data.pagination.page"),
        ({"collections": [], "pagination": {"page": True}}, "data.pagination.page"),
        ({"collections": {}, "pagination": {}}, "data.collections"),
        ({"collections": [LEAST, {**LEAST, "amount": None}], "pagination": {}}, "data.collections[1].amount"),
        ({"collections": [5], "pagination": {}}, "data.collections[0]"),
    ],
)  # fmt: skip
async def test_an_undocumented_list(
    pay: SessionManager, provider: Provider, data: Any, path: str
) -> None:
    """A list that is not as documented is named with its place."""
    if isinstance(data, dict) and data.get("pagination") == {} and path != "data.pagination.page":
        data["pagination"] = {"page": 1, "perPage": 1, "totalItems": 1, "totalPages": 1}
    provider.script(LIST, faults.answers(success(data)))
    with pytest.raises(DecodeError) as caught:
        await pay.list_collections(retry=ONCE)
    assert caught.value.path == path


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, {"success": True, "data": LEAST}),
        Reply(200, {"success": True, "status": "x", "meta": [], "data": LEAST}),
    ],
)
async def test_a_sparse_envelope(pay: SessionManager, provider: Provider, reply: Reply) -> None:
    """Of the envelope of a success only `success` and `data` are needed."""
    provider.script(GET, faults.answers(reply))
    assert (await pay.get_collection("SCI1", retry=ONCE)).amount == 25


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (sample("collection_create"), Checkout),
        (sample("collection_get"), Collection),
        (LEAST, Collection),
    ],
)
def test_a_value_is_as_if_its_class_had_made_it(data: Json, kind: type[Any]) -> None:
    """Every attribute is set, and it is equal, with the same hash and the same text."""
    value = structure(data, kind)
    made = kind(**{field.name: getattr(value, field.name) for field in attrs.fields(kind)})
    assert (value, hash(value), repr(value)) == (made, hash(made), repr(made))
