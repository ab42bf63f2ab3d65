"""The cashier's desk: status, list, show; release, dismiss, attribute, replay; prune, schema, work.

Invariants: looking changes nothing, and makes no table; a decision is written down with the name of
whoever made it.
"""

from __future__ import annotations

import asyncio
import getpass
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Annotated, Any, Final, NoReturn

import typer
from rich.text import Text

from paycollect.cashier import (
    Cashier,
    CashierError,
    Done,
    Held,
    OrderState,
    StoreError,
    schema,
)
from paycollect.cashier.cashier import desk_of
from paycollect.cashier.orders import Order
from paycollect.cashier.values import instant
from paycollect.cli import settings, show, stores, tables, timeline
from paycollect.cli.command import AsJson, Commands, carry_out, do
from paycollect.cli.exits import About, CommandError, Exit
from paycollect.cli.stores import AppOption, StoreOption
from paycollect.cli.terminal import notices
from paycollect.errors import Outcome

desk: Final = Commands(help="Look after orders: what waits for a person, what happened, deciding.")

OrderId = Annotated[str, typer.Argument(metavar="ORDER", help="Your own id of the order.")]
By = Annotated[
    str | None, typer.Option(metavar="NAME", help="Who decides, for the timeline; you if absent.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask whether it is meant.")]
Work = Callable[[Cashier[Any]], Coroutine[Any, Any, Exit]]


@desk.command("status")
def status(store: StoreOption = None, app: AppOption = None, as_json: AsJson = False) -> None:
    """Tell how the cashier fares; exit code 1 if something waits for a person."""

    async def work(cashier: Cashier[Any]) -> Exit:
        stats = await cashier.stats()
        code = Exit.NO if stats.held else Exit.OK
        if as_json:
            return show.one(stats, as_json=True, code=code)
        share = stats.found_by_sweep
        lost = "-" if share is None else f"{share:.1%}"
        show.facts(
            [
                _row("orders that can be paid", stats.open),
                _row("waiting for a person", stats.held, "yellow" if stats.held else ""),
                _row("paid within a day", stats.deliveries),
                _row("their webhooks that were lost", lost),
                _row("from payment to webhook", _seconds(stats.webhook_lag)),
                _row("webhooks to be handled", stats.webhooks_due),
                _row("after_paid to be called", stats.after_due),
                _row("the oldest of what is due waits", _seconds(stats.oldest_undone)),
            ]
        )
        if stats.held:
            show.line("`paycollect cashier list` shows what waits for a person.", "yellow")
        return code

    _with(work, store, app, as_json=as_json)


@desk.command("list")
def list_(
    store: StoreOption = None,
    app: AppOption = None,
    state: Annotated[
        OrderState,
        typer.Option(metavar="STATE", help="Which orders, such as open or fulfilled."),
    ] = OrderState.HELD,
    limit: Annotated[int, typer.Option(metavar="NUMBER", min=1, help="How many, at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List what waits for a person; with --state the orders in another state, newest first."""

    async def work(cashier: Cashier[Any]) -> Exit:
        if state is OrderState.HELD:
            held = (await cashier.held())[:limit]
            rows = [_held_row(one) for one in held]
            values: list[Any] = list(map(_held_json, held))
        else:
            orders = await (await desk_of(cashier)).orders(state, limit)
            rows, values = list(map(_order_row, orders)), list(map(_order_json, orders))
        if as_json:
            return show.one(values, as_json=True)
        if not rows:
            nothing = "Nothing waits for a person." if state is OrderState.HELD else "None."
            show.line(nothing, "green")
        show.table(rows)
        if rows and state is OrderState.HELD:
            show.line("`paycollect cashier show ORDER` tells what happened, and what can be done.")
        return Exit.OK

    _with(work, store, app, as_json=as_json)


@desk.command("show")
def show_(
    order_id: OrderId, store: StoreOption = None, app: AppOption = None, as_json: AsJson = False
) -> None:
    """Tell what happened to one order, from its beginning."""

    async def work(cashier: Cashier[Any]) -> Exit:
        order = await (await desk_of(cashier)).order(order_id)
        entries = await cashier.timeline(order_id)
        if as_json:
            return show.one({**_order_json(order), "timeline": entries}, as_json=True)
        rows = [
            _row("order", order.order_id),
            _row("amount", f"{order.amount} {order.currency}"),
            _row("collection", order.collection_id or ""),
            _row("state", order.shown),
            _row("because", timeline.reason(order.held_reason), "yellow"),
            _row("next", timeline.ADVICE.get(order.held_reason, "")),
            _row("problem", order.last_error),
        ]
        show.facts([(label, value) for label, value in rows if value.plain])
        show.line("")
        show.facts(
            [
                (Text(f"{entry.at:%Y-%m-%d %H:%M:%S}", "dim"), show.text(timeline.sentence(entry)))
                for entry in entries
            ]
        )
        show.line("Times are in UTC.", "dim")
        return Exit.OK

    _with(work, store, app, as_json=as_json)


@desk.command("release")
def release(
    order_id: OrderId,
    *,
    accept: Annotated[
        bool, typer.Option("--accept", help="Deliver in spite of the reason it is held for.")
    ] = False,
    by: By = None,
    yes: Yes = False,
    store: StoreOption = None,
    app: AppOption = None,
    as_json: AsJson = False,
) -> None:
    """Settle a hold: the order is checked again, and delivered if all is well."""

    async def work(cashier: Cashier[Any]) -> Exit:
        await cashier.release(order_id, accept=accept, by=_who(by))
        return _decided({"order_id": order_id, "released": True}, "Released.", as_json=as_json)

    question = f"Deliver {order_id} in spite of the reason it is held for?"
    _with(work, store, app, as_json=as_json, question=question if accept and not yes else "")


@desk.command("dismiss")
def dismiss(
    name: Annotated[
        str,
        typer.Argument(
            metavar="ORDER", help="Your order id; of a payment without an order its collection id."
        ),
    ],
    *,
    note: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the timeline.")],
    by: By = None,
    yes: Yes = False,
    store: StoreOption = None,
    app: AppOption = None,
    as_json: AsJson = False,
) -> None:
    """Settle a hold without a delivery."""

    async def work(cashier: Cashier[Any]) -> Exit:
        await cashier.dismiss(name, note, by=_who(by))
        return _decided({"order_id": name, "dismissed": True}, "Dismissed.", as_json=as_json)

    question = "" if yes else f"Dismiss {name}, which will not be delivered?"
    _with(work, store, app, as_json=as_json, question=question)


@desk.command("attribute")
def attribute(
    collection_id: Annotated[
        str, typer.Argument(metavar="COLLECTION_ID", help="The payment that belongs to no order.")
    ],
    order_id: OrderId,
    *,
    by: By = None,
    store: StoreOption = None,
    app: AppOption = None,
    as_json: AsJson = False,
) -> None:
    """Say that a payment is for an order; it is confirmed and delivered as any other."""

    async def work(cashier: Cashier[Any]) -> Exit:
        return _done(await cashier.attribute(collection_id, order_id, by=_who(by)), as_json)

    _with(work, store, app, as_json=as_json, asks=True)


@desk.command("replay")
def replay(
    order_id: OrderId,
    *,
    after_paid: Annotated[
        bool, typer.Option("--after-paid", help="Call after_paid again for a delivered order.")
    ] = False,
    app: AppOption = None,
    as_json: AsJson = False,
) -> None:
    """Confirm an order once more and do what follows; nothing is delivered twice."""

    async def work(cashier: Cashier[Any]) -> Exit:
        again = "after_paid" if after_paid else None
        return _done(await cashier.replay(order_id, again), as_json)

    _with(work, None, app, as_json=as_json, needs_handlers=True)


@desk.command("prune")
def prune(
    older_than: Annotated[
        int, typer.Option(metavar="DAYS", min=1, help="How old what is deleted must be.")
    ] = 90,
    store: StoreOption = None,
    app: AppOption = None,
    as_json: AsJson = False,
) -> None:
    """Delete handled webhooks, and old lines of the timelines of finished orders."""

    async def work(cashier: Cashier[Any]) -> Exit:
        gone = await cashier.prune(timedelta(days=older_than))
        if as_json:
            return show.one(gone, as_json=True)
        show.line(f"Deleted: {gone.webhooks} webhooks, {gone.timeline} lines of timelines.")
        return Exit.OK

    _with(work, store, app, as_json=as_json)


@desk.command("schema")
def schema_(
    make: Annotated[bool, typer.Option("--make", help="Make what is missing.")] = False,
    store: StoreOption = None,
) -> None:
    """Print the SQL of the cashier's tables, or make them in a store."""
    if not make:

        def write() -> Exit:
            for line in ";\n".join([*schema.statements(), ""]).splitlines():
                show.verbatim(line)
            return Exit.OK

        do(write)

    async def run() -> Exit:
        name = stores.named(store, None).store
        with _told():
            async with stores.store_of(name, create=True) as opened:
                await opened.open()
                await opened.aclose()
        show.line("The tables are there.", "green")
        return Exit.OK

    carry_out(run, About(shows="`paycollect cashier check`"))


@desk.command("check")
def check(store: StoreOption = None, as_json: AsJson = False) -> None:
    """Compare the tables in a store with those of this release; exit code 1 if they differ."""

    async def run() -> Exit:
        with _told():
            problems = await tables.compare(stores.named(store, None).store)
        code = Exit.NO if problems else Exit.OK
        if as_json:
            return show.one({"same": not problems, "problems": problems}, as_json=True, code=code)
        for problem in problems:
            show.line(problem, "red")
        if not problems:
            show.line("The tables are as they must be.", "green")
        return code

    carry_out(run, About(as_json=as_json, shows="`paycollect cashier schema`"))


@desk.command("work")
def work_(
    app: AppOption = None,
    once: Annotated[
        bool, typer.Option("--once", help="Do what is due, and end: for cron.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run the worker of your service's cashier until Ctrl-C or SIGTERM; any number may run."""

    async def work(cashier: Cashier[Any]) -> Exit:
        if once:
            return _done(await cashier.run_until_idle(), as_json)
        async with cashier:
            notices().text("The worker runs. Ctrl-C ends it.")
            await _until_told()
        return Exit.OK

    _with(work, None, app, as_json=as_json, needs_handlers=True)


async def _until_told() -> None:
    """Wait for the order to end, which lets what is under way come to its end."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows: Ctrl-C interrupts
            loop.add_signal_handler(number, told.set)
    await told.wait()


class _StoreTroubleError(CommandError):
    """The store could not do it."""

    fault = "of the store, or of this machine"
    advice = "correct what is named, then repeat"
    code = Exit.NOT_SENT


class _UnclearError(CommandError):
    """The connection to the store was lost at a commit."""

    fault = "of the store, or of this machine"
    advice = "`paycollect cashier show ORDER` shows whether it was done: look before you repeat it"
    code = Exit.UNKNOWN


class _NotSoError(CommandError):
    """The order does not stand as the command supposes."""

    advice = "`paycollect cashier list` shows what waits for a person"
    code = Exit.NO


@contextmanager
def _told() -> Iterator[None]:
    """Say of an error of the cashier whose fault it is, and what to do."""
    try:
        yield
    except StoreError as error:
        kind = _UnclearError if error.outcome is Outcome.UNKNOWN else _StoreTroubleError
        raise kind(str(error)) from None
    except CashierError as error:
        raise _NotSoError(str(error)) from None


def _with(
    work: Work,
    store: str | None,
    app: str | None,
    *,
    as_json: bool,
    asks: bool = False,
    needs_handlers: bool = False,
    question: str = "",
) -> NoReturn:
    """Open the cashier, do something with it, and end."""

    async def run() -> Exit:
        which = stores.named(store, app, needs_handlers=needs_handlers)
        with _told():
            async with stores.opened(which, asks=asks) as cashier:
                return await work(cashier)

    async def leave() -> Exit:
        await asyncio.sleep(0)
        show.line("Nothing was done.")
        return Exit.NO

    def start() -> Coroutine[None, None, Exit]:
        return run() if not question or settings.agreed(question) else leave()

    carry_out(start, About(as_json=as_json, shows="`paycollect cashier list`"))


def _who(by: str | None) -> str:
    if by is not None:
        return by
    with suppress(OSError, KeyError):  # a process whose user has no name
        return getpass.getuser()
    return ""


def _decided(value: dict[str, Any], words: str, *, as_json: bool) -> Exit:
    if as_json:
        return show.one(value, as_json=True)
    show.line(f"{words} The worker of your service goes on from here.", "green")
    return Exit.OK


def _done(done: Done, as_json: bool) -> Exit:
    if as_json:
        return show.one(done, as_json=True)
    show.line(
        f"{done.confirmed} confirmed, {done.delivered} delivered, {done.held} held,"
        f" {done.closed} closed."
    )
    return Exit.OK


def _row(label: str, value: object, style: str = "") -> tuple[Text, Text]:
    text = show.text(value)
    if style:
        text.stylize(style)
    return Text(label, "dim"), text


def _held_row(held: Held) -> dict[str, Text]:
    payment = held.payment
    return {
        "order": show.text(held.order_id or held.collection_id),
        "since": show.text(held.held_at),
        "amount": show.text("" if payment is None else f"{payment.amount} {payment.currency}"),
        "because": show.text(timeline.reason(str(held.reason))),
    }


def _held_json(held: Held) -> dict[str, object]:
    payment = held.payment
    return {
        "order_id": held.order_id,
        "collection_id": held.collection_id,
        "reason": str(held.reason),
        "held_at": held.held_at,
        "hold_id": held.hold_id,
        "amount": None if payment is None else payment.amount,
        "currency": None if payment is None else payment.currency,
    }


def _order_row(order: Order) -> dict[str, Text]:
    return {
        "order": show.text(order.order_id),
        "created": show.text(instant(order.created_at)),
        "amount": show.text(f"{order.amount} {order.currency}"),
        "state": show.text(order.shown),
    }


def _order_json(order: Order) -> dict[str, object]:
    return {
        "order_id": order.order_id,
        "state": order.state,
        "held_reason": order.held_reason or None,
        "amount": order.amount,
        "currency": order.currency,
        "collection_id": order.collection_id,
        "created_at": instant(order.created_at),
    }


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.0f} s"
