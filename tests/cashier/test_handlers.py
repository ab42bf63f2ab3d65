"""Registering handlers: mistakes are errors when the service starts."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from paycollect.cashier import Cashier, Handlers, Payment, SqliteStore
from paycollect.cashier.handlers import HandlerFailedError
from paycollect.ipn import Receiver
from tests.cashier.conftest import World, order


def test_a_second_handler_of_one_kind() -> None:
    """Two would be two deliveries."""
    shop: Handlers[Any] = Handlers()

    @shop.on_paid
    def ship(payment: Payment) -> None: ...

    with pytest.raises(ValueError, match="there is a handler already"):
        shop.on_paid(ship)
    assert shop.kinds == ("on_paid",)


@pytest.mark.parametrize("kind", ["on_paid", "on_closed", "on_refunded", "after_paid", "on_held"])
def test_what_is_no_handler(kind: str) -> None:
    """Not a function, or one that takes too much or too little."""
    shop: Any = Handlers()
    with pytest.raises(TypeError, match=f"{kind}: a function is needed, not str"):
        getattr(shop, kind)("ship")
    for wrong in (lambda: None, lambda a, b, c: None):
        with pytest.raises(TypeError, match=f"{kind}: a handler that takes"):
            getattr(shop, kind)(wrong)
    getattr(shop, kind)(lambda value, more=1: None)


@pytest.mark.parametrize("kind", ["on_paid", "on_closed", "on_refunded", "after_paid", "on_held"])
def test_a_function_with_yield_is_no_handler(kind: str) -> None:
    """Calling it does nothing: the order would count as delivered."""

    def ship(value: object) -> Any:
        yield

    async def send(value: object) -> Any:
        yield

    shop: Any = Handlers()
    for handler in (ship, send):
        with pytest.raises(TypeError, match=f"{kind}: a function with `yield` does nothing when"):
            getattr(shop, kind)(handler)
    assert shop.kinds == ()


def test_after_paid_has_no_transaction() -> None:
    """It runs outside of one."""
    shop: Any = Handlers()
    with pytest.raises(TypeError, match="takes one value"):
        shop.after_paid(lambda tx, payment: None)


async def test_async_handlers_in_the_writers_thread(world: World) -> None:
    """Refused when the cashier is made, and when they are added later; after_paid may be async."""

    async def ship(payment: Payment) -> None: ...

    class Ship:
        async def __call__(self, payment: Payment) -> None: ...

    for handler in (ship, Ship()):
        shop: Any = Handlers()
        shop.on_paid(handler)
        with pytest.raises(TypeError, match="await what is outside of the database in after_paid"):
            world.cashier(handlers=shop)
        cashier = world.cashier(handlers=Handlers())
        with pytest.raises(TypeError, match="needs a plain function"):
            cashier.on_paid(handler)
        cashier.after_paid(handler)
        assert cashier.handlers.kinds == ("after_paid",)


async def test_stores_that_want_other_handlers(world: World) -> None:
    """Each store says what it can call."""
    store: Any = SqliteStore(world.path)
    store.sync_handlers, store.async_handlers, store.passes_tx = False, True, False
    cashier = world.cashier(handlers=None, store=store)
    with pytest.raises(TypeError, match="needs a coroutine function"):
        cashier.on_paid(lambda payment: None)

    async def ship(tx: object, payment: Payment) -> None: ...

    with pytest.raises(TypeError, match="a handler takes one value"):
        cashier.on_paid(ship)


async def test_short_cuts(world: World) -> None:
    """`@cashier.on_paid` and the others add to the cashier's own handlers."""
    told: list[str] = []
    async with world.life(handlers=None) as cashier:

        @cashier.on_paid
        def ship(tx: sqlite3.Connection, payment: Payment) -> None:
            tx.execute("INSERT INTO parcels VALUES (?)", [payment.order_id])

        @cashier.after_paid
        def tell(payment: Payment) -> None:
            told.append(payment.order_id)

        cashier.on_closed(lambda closed: None)
        cashier.on_refunded(lambda refunded: None)
        cashier.on_held(lambda held: None)
        assert len(cashier.handlers.kinds) == 5
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        await cashier.replay("A")
        await cashier.run_until_idle()
    assert (world.parcels, told) == (["A"], ["A"])


def test_an_error_keeps_its_type_and_its_place_only() -> None:
    """The text may hold personal data."""
    with pytest.raises(ValueError, match="ada") as caught:
        int("ada@example.com has no stock")
    error = HandlerFailedError("on_paid", caught.value)
    assert "ada" not in str(error)
    assert error.problem.startswith("on_paid: ValueError at test_handlers.py:")
    assert HandlerFailedError("on_paid", TimeoutError()).problem == "on_paid: TimeoutError"


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "pay": ({"pay": object()}, "pay: object has no create_checkout"),
    "receiver": ({"receiver": "whsec_x"}, "receiver: a Receiver is needed"),
    "store": ({"store": object()}, "store: object has no run"),
    "handlers": ({"handlers": []}, "handlers: a Handlers is needed"),
    "clock": ({"clock": object()}, "clock: object has no monotonic"),
    "patience": ({"patience": 0}, "patience: must be more than 0"),
    "max_deliveries": ({"max_deliveries": 0}, "max_deliveries: must be 1"),
    "handler_timeout": ({"handler_timeout": "1"}, "handler_timeout: seconds are needed"),
    "max_age": (
        {"receiver": Receiver(secrets="whsec_x", max_age=44 * 60)},
        "max_age must be at least 45 minutes",
    ),
}


@pytest.mark.parametrize("name", BAD)
async def test_settings(world: World, name: str) -> None:
    """A setting that cannot work is refused at once."""
    given, text = BAD[name]
    settings: dict[str, Any] = {
        "pay": world.pay,
        "receiver": Receiver(secrets="whsec_x", max_age=45 * 60),
        "store": world.path,
    }
    Cashier(**settings)
    with pytest.raises((TypeError, ValueError), match=text):
        Cashier(**(settings | given))
