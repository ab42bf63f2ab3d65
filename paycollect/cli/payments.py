"""Commands about payments: checkout create, get, list and find; wait."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import date
from typing import Annotated, Final, Literal

import typer

from paycollect import _arguments as check
from paycollect.cli import progress, settings, show
from paycollect.cli.command import PAYMENTS, AsJson, CollectionId, Commands, ask, asking, carry_out
from paycollect.cli.exits import About, CommandError, Exit, UsageError
from paycollect.errors import DeadlineExceededError, NotFoundError
from paycollect.models import Collection
from paycollect.session import SessionManager
from paycollect.status import PaymentStatus

From = Annotated[str | None, typer.Option("--from", metavar="YYYY-MM-DD", help="From this day on.")]
To = Annotated[str | None, typer.Option("--to", metavar="YYYY-MM-DD", help="Up to this day.")]
PageNumber = Annotated[int, typer.Option(metavar="NUMBER", min=1, help="Which page.")]
Limit = Annotated[
    int, typer.Option(metavar="NUMBER", min=1, max=100, help="Entries on a page, at most 100.")
]

checkout: Final = Commands(help="Create and look up checkouts.")
commands: Final = Commands(panel=PAYMENTS)


@checkout.command("create")
def create(
    *,
    amount: Annotated[str, typer.Option(metavar="USD", help="What it costs, such as 25.00.")],
    order_id: Annotated[
        str, typer.Option(metavar="ID", help="Your own id of the order; each can be used once.")
    ],
    description: Annotated[
        str, typer.Option(metavar="TEXT", help="What it is for; the customer sees it.")
    ],
    callback_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Your page that the browser returns to after payment."),
    ] = None,
    webhook_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Your endpoint that is told when it was paid."),
    ] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Kept with it; can be given more than once."),
    ] = None,
    if_exists: Annotated[
        Literal["raise", "return"],
        typer.Option(
            help="If the order id was used before: refuse (raise), or show its checkout (return)."
        ),
    ] = "raise",
    as_json: AsJson = False,
) -> None:
    """Create a checkout: a page to send the customer to, who pays there.

    Safe to repeat: an order id is never used twice, and a lost answer is looked up.
    """
    ask(
        lambda pay: pay.create_checkout(
            amount=amount,
            order_id=order_id,
            description=description,
            callback_url=callback_url,
            webhook_url=webhook_url,
            metadata=_pairs(metadata or []),
            if_exists=if_exists,
        ),
        lambda created: show.one(created, as_json=as_json),
        About(order=order_id, writes=True, as_json=as_json),
        made=lambda made: f"the checkout {made.collection_id} of order {made.order_id} is made",
    )


@checkout.command("get")
def get(collection_id: CollectionId, as_json: AsJson = False) -> None:
    """Show one collection: the provider's own record of a checkout."""
    ask(
        lambda pay: pay.get_collection(collection_id),
        lambda collection: show.one(collection, as_json=as_json),
        About(collection=collection_id, as_json=as_json),
    )


@checkout.command("find")
def find(
    order_id: Annotated[
        str, typer.Argument(metavar="ORDER_ID", help="Your own id of the order, in full.")
    ],
    as_json: AsJson = False,
) -> None:
    """Show the collection of exactly this order id; exit code 1 if there is none."""

    def answer(found: Collection | None) -> Exit:
        if found is not None or as_json:
            return show.one(found, as_json=as_json, code=Exit.OK if found else Exit.NO)
        show.line("There is no collection with this order id.")
        return Exit.NO

    ask(lambda pay: _find(pay, order_id), answer, About(order=order_id, as_json=as_json))


async def _find(pay: SessionManager, order_id: str) -> Collection | None:
    """Find it in the list, and get the record in full, of which the list shows only a part."""
    found = await pay.find_by_order_id(order_id)
    if found is None:
        return None
    try:
        return await pay.get_collection(found.collection_id)
    except NotFoundError:
        return found


@checkout.command("list")
def list_(
    *,
    status: Annotated[
        str | None, typer.Option(metavar="STATE", help="Only in this state, such as PENDING.")
    ] = None,
    order_id: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only order ids with this in them.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only references with this in them.")
    ] = None,
    date_from: From = None,
    date_to: To = None,
    page: PageNumber = 1,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List collections, a page at a time, the newest first."""
    filters = {
        "status": status,
        "order_id": order_id,
        "reference": reference,
        "date_from": date_from,
        "date_to": date_to,
    }
    given = {name: value for name, value in filters.items() if value is not None}

    def start() -> Coroutine[None, None, Exit]:
        check_days(date_from, date_to)
        return asking(
            lambda pay: pay.list_collections(page=page, limit=limit, **given),  # type: ignore[arg-type]  # texts only
            lambda found: show.page(found, as_json=as_json),
        )

    carry_out(start, About(as_json=as_json))


def check_days(first: str | None, last: str | None) -> None:
    """Refuse a time that ends before it begins.

    Raises:
        UsageError: it does.

    """
    try:
        swapped = first and last and date.fromisoformat(first) > date.fromisoformat(last)
    except ValueError:
        return  # the SDK says which of them is no day
    if swapped:
        raise UsageError("--from is after --to: no day is in between")


@commands.command("wait")
def wait(
    collection_id: CollectionId,
    *,
    amount: Annotated[
        str | None, typer.Option(metavar="USD", help="What must have been paid.")
    ] = None,
    order_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Of which order it must be; with --amount.")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="How long to wait; as long as a customer can pay if absent."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Wait until the customer has paid, or can no longer pay; exit code 0 only if paid."""

    def start() -> Coroutine[None, None, Exit]:
        if order_id is not None and amount is None:
            raise UsageError("--order-id needs --amount")
        if amount is not None:
            check.amount(amount)
        if timeout is not None:
            check.seconds(timeout, "timeout")
        pay = settings.session()

        async def command() -> Exit:
            async with pay:
                collection = await _wait(pay, collection_id, timeout, amount, order_id)
            code = Exit.OK if collection.status is PaymentStatus.COMPLETED else Exit.NO
            return show.one(collection, as_json=as_json, code=code)

        return command()

    carry_out(start, About(collection=collection_id, as_json=as_json))


class NotYetError(CommandError):
    """No end was seen in the time that was given."""

    fault = "nobody's: the customer may still pay"
    code = Exit.UNKNOWN

    def __init__(self, message: str, collection_id: str) -> None:
        super().__init__(message)
        self.advice = (
            f"`paycollect wait {collection_id}` goes on waiting; `paycollect checkout get"
            f" {collection_id}` shows how it stands"
        )


async def _wait(
    pay: SessionManager,
    collection_id: str,
    timeout: float | None,  # noqa: ASYNC109  handed on
    amount: str | None,
    order_id: str | None,
) -> Collection:
    try:
        collection = await progress.wait(pay, collection_id, timeout)
    except DeadlineExceededError as error:
        raise NotYetError(str(error.args[0]), collection_id) from None
    if amount is None:
        return collection
    return await pay.confirm(collection_id, expected_amount=amount, order_id=order_id)


def _pairs(texts: list[str]) -> dict[str, str] | None:
    if not all("=" in text for text in texts):
        raise UsageError("--metadata: NAME=VALUE is needed")
    return dict(text.split("=", 1) for text in texts) or None
