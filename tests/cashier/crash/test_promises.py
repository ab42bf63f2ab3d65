"""What is said of an end that is wrong: each promise, by the rows of a store that broke it."""

from __future__ import annotations

from typing import Any

import pytest

from paycollect.cashier import Cashier, Handlers, SqliteStore
from paycollect.crash.life import Memory, Row
from paycollect.crash.promises import broken_promises, went_back
from paycollect.crash.world import Effect, Outside, Shop, WorldClock

ROW = {
    "order_id": "A",
    "state": "fulfilled",
    "held_reason": "",
    "hold_id": "",
    "alarm_at": None,
    "after_at": None,
    "closed_why": "",
    "last_error": "",
}


class History(Outside):
    """A provider that tells any history."""

    told: tuple[str, ...] = ("PENDING", "COMPLETED")

    def statuses(self, order_id: str) -> list[str]:
        """Tell it."""
        return list(self.told)


def row(**more: Any) -> Row:
    """A row of a store."""
    return Row(**(ROW | more))


async def problems(
    *rows: Row,
    delivered: int = 1,
    statuses: tuple[str, ...] = ("PENDING", "COMPLETED"),
    waiting: int = 0,
    memory: Memory | None = None,
    effects: tuple[Effect, ...] = (),
    has_after_paid: bool = False,
    **counts: Any,
) -> str:
    """What is said about an end."""
    outside = History(WorldClock())
    outside.told = statuses
    outside.effects += effects
    handlers: Handlers[Any] = Handlers()

    @handlers.on_held
    async def on_held(held: object) -> None:
        pass

    if has_after_paid:

        @handlers.after_paid
        async def after_paid(payment: object) -> None:
            pass

    world = outside.world(None)  # type: ignore[arg-type]  # no files in these tests
    cashier = Cashier(world.pay, world.receiver, SqliteStore(":memory:"), handlers=handlers)
    shop = Shop(cashier=cashier, delivered=lambda _: delivered, **counts)
    found = await broken_promises(
        shop, outside, memory or Memory(), rows=rows, waiting=waiting, orders=["A"]
    )
    return "\n".join(found)


async def test_a_right_end_is_right() -> None:
    """Delivered once; or closed; or refunded before it was delivered; or held and told."""
    assert not await problems(row())
    assert not await problems(row(state="closed"), delivered=0, statuses=("PENDING", "EXPIRED"))
    closed = row(state="closed", closed_why="refunded")
    assert not await problems(closed, delivered=0, statuses=("COMPLETED", "REFUNDED"))
    held = row(state="closed", held_reason="too_late", hold_id="h")
    assert not await problems(held, delivered=0, memory=Memory(alarms={"h"}))
    assert not await problems(delivered=0, statuses=())


@pytest.mark.parametrize(
    ("end", "what"),
    [
        ({"delivered": 2}, "delivered 2 x"),
        ({"delivered": 0}, "never delivered"),
        ({"delivered": 1, "statuses": ("PENDING",)}, "was not paid, and delivered 1 x"),
        ({"has_after_paid": True}, "after_paid was never called"),
        ({"waiting": 3}, "3 webhooks were never handled"),
        ({"gave_back": lambda _: 1}, "on_closed has worked 1 x"),
        ({"took_back": lambda _: 1}, "on_refunded has worked 1 x"),
        ({"memory": Memory(keys={"A": {"one", "two"}})}, "after_paid was called for A with 2 keys"),
        ({"memory": Memory(swallowed={"on_paid"})}, "on_paid has caught the death"),
        ({"effects": (Effect("mail", "k", "on_paid"),) * 2}, "on_paid has done 'mail' (k) 2 x"),
    ],
)
async def test_a_delivered_order(end: dict[str, Any], what: str) -> None:
    """Delivered, and something is wrong beside it."""
    assert what in await problems(row(), **end)


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"state": "open"}, "was delivered, and is open"),
        ({"state": "paid", "last_error": "on_paid: OSError"}, "left paid (on_paid: OSError) after"),
        ({"after_at": 5}, "after_paid was never done"),
        ({"state": "closed", "held_reason": "stuck"}, "held (stuck), though only processes"),
        (
            {"state": "closed", "held_reason": "too_late", "hold_id": "h"},
            "held (too_late), and nobody was told",
        ),
    ],
)
async def test_a_wrong_row(wrong: dict[str, Any], what: str) -> None:
    """The row itself is not as it must be."""
    assert what in await problems(row(**wrong))


async def test_an_order_that_is_not_there() -> None:
    """Paid, and unknown to the store; or known, and neither delivered nor held."""
    assert "is not in the store" in await problems()
    assert "neither delivered nor held: closed" in await problems(row(state="closed"), delivered=0)


async def test_outside_effects_after_a_delivery_may_repeat() -> None:
    """`after_paid` is at least once; and one effect in a transaction may be luck, or wanted."""
    told = (Effect("mail", "k", "after_paid"),) * 3 + (Effect("log", "k", "on_paid"),)
    assert not await problems(row(), effects=told)


def test_states_go_only_forward() -> None:
    """From one look to the next; and no order vanishes."""
    assert not went_back([row(state="open")], [row(state="fulfilled"), row(order_id="B")])
    assert went_back([row(state="paid")], [row(state="open")]) == ["A went back from paid to open"]
    assert went_back([row(state="closed")], [row(state="fulfilled")])
    assert went_back([row()], []) == ["A has vanished from the store"]
