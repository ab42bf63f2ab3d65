"""What a user would write without an event loop, for mypy --strict and pyright; it is not run."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import assert_type

from paycollect import (
    Checkout,
    Collection,
    FileTokenStore,
    RetryPolicy,
    SessionManager,
    Timeout,
    ipn,
    sync,
    web,
)
from paycollect.cashier import Done, Handlers, Held, Payment, Returned, SqliteStore
from paycollect.models import JsonValue, Page, Pricing, Refund, RefundReason


def construct() -> None:
    """The constructor knows its arguments."""
    with sync.SessionManager(
        app_id="A1B2C3D4E5F6G7H8",
        secret_key="not_a_real_secret_key",
        timeout=Timeout(connect=2, read=10),
        retry=RetryPolicy(max_retries=1),
        token_store=FileTokenStore("token.json"),
    ) as pay:
        assert_type(pay, sync.SessionManager)
    assert_type(sync.SessionManager.from_env(timeout=10), sync.SessionManager)
    sync.SessionManager(app_id="A1B2C3D4E5F6G7H8")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # no key
    sync.SessionManager(app_id=5, secret_key="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sync.SessionManager.from_env(time_out=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def call(pay: sync.SessionManager, event: ipn.WebhookEvent, callback: ipn.Callback) -> None:
    """Every method knows its arguments and its result."""
    checkout = pay.create_checkout(amount="25.00", order_id="A", description="x", deadline=5)
    assert_type(checkout, Checkout)
    assert_type(pay.confirm(event, expected_amount=25), Collection)
    assert_type(pay.confirm(callback, expected_amount=25, order_id="A"), Collection)
    assert_type(pay.wait_for_payment(checkout.collection_id, timeout=60), Collection)
    assert_type(pay.find_by_order_id("A"), Collection | None)
    assert_type(pay.list_collections(status="PENDING"), Page[Collection])
    assert_type(pay.iter_collections(), Iterator[Collection])
    assert_type(pay.iter_refunds(), Iterator[Refund])
    assert_type(pay.list_refund_reasons(), tuple[RefundReason, ...])
    assert_type(pay.get_pricing(), Pricing)
    assert_type(pay.request("GET", "/x"), JsonValue)
    pay.create_checkout(amount=25.0, order_id="A", description="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    pay.create_checkout(amount=25, order_id="A")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    pay.confirm(callback, expected_amount=25)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    pay.get_collection()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def prices(pay: SessionManager, currency: str) -> Pricing:
    """Ask for prices."""
    del currency
    return await pay.get_pricing()


def run(pay: SessionManager) -> None:
    """`run` knows the arguments of what it runs."""
    assert_type(sync.run(prices, pay, currency="USD"), Pricing)
    sync.run(prices, pay, currency=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def cashier(pay: sync.SessionManager, receiver: ipn.Receiver, tx: sqlite3.Connection) -> None:
    """The cashier knows what its handlers are given, its arguments and its results."""
    shop: Handlers[sqlite3.Connection] = Handlers()

    @shop.on_paid
    def ship(tx: sqlite3.Connection, payment: Payment) -> None:
        tx.execute("INSERT INTO parcels VALUES (?)", (payment.order_id,))

    with sync.Cashier(pay, receiver, SqliteStore("shop.db"), handlers=shop) as cashier:
        assert_type(cashier, sync.Cashier[sqlite3.Connection])
        assert_type(
            cashier.create_checkout(amount=25, order_id="A", description="x", deadline=5), Checkout
        )
        cashier.intend(tx, amount=25, order_id="A", description="x")
        assert_type(cashier.checkout_for("A", timeout=5), Checkout)
        assert_type(cashier.receive(b"{}"), web.Answer)
        assert_type(cashier.returned("?batch=A&status=COMPLETED"), Returned)
        assert_type(cashier.run_until_idle(limit=5), Done)
        assert_type(cashier.held(), list[Held])
        cashier.create_checkout(amount=25.0, order_id="A", description="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        cashier.create_checkout(amount=25, order_id="A")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        cashier.intend("tx", amount=25, order_id="A", description="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sync.Cashier(pay, receiver, "shop.db", patience="long")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sync.Cashier(pay, receiver)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
