"""Commands about payments: checkout create, get, list and find; refund; wait."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Annotated, Final, Literal

import typer

from paycollect.cli import progress, settings, show
from paycollect.cli.exits import Exit, UsageError
from paycollect.cli.options import AsJson, CollectionId, end
from paycollect.cli.run import run
from paycollect.models import Collection, Page
from paycollect.session import SessionManager
from paycollect.status import PaymentStatus

checkout: Final = typer.Typer(no_args_is_help=True, help="Create and look up checkouts.")


@checkout.command("create")
def create(
    *,
    amount: Annotated[str, typer.Option(help='In USD, such as "25.00".')],
    order_id: Annotated[str, typer.Option(help="Your own id of the order; unique per app.")],
    description: Annotated[str, typer.Option(help="Shown to the customer.")],
    callback_url: Annotated[
        str | None, typer.Option(help="Where the browser returns to after payment.")
    ] = None,
    webhook_url: Annotated[
        str | None, typer.Option(help="Where the provider posts the signed notice.")
    ] = None,
    metadata: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Kept with it; repeatable.")
    ] = None,
    if_exists: Annotated[
        Literal["raise", "return"],
        typer.Option(help="What to do if the order id is taken: refuse, or show its checkout."),
    ] = "raise",
    as_json: AsJson = False,
) -> None:
    """Create a checkout: where to send the customer to pay.

    Safe to repeat: an order id is never used twice, and a lost answer is looked up.
    """
    end(
        settings.ask(
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
            as_json=as_json,
        )
    )


@checkout.command("get")
def get(collection_id: CollectionId, as_json: AsJson = False) -> None:
    """Show one collection: the provider's own record."""
    end(
        settings.ask(
            lambda pay: pay.get_collection(collection_id),
            lambda collection: show.one(collection, as_json=as_json),
            as_json=as_json,
        )
    )


@checkout.command("find")
def find(
    order_id: Annotated[str, typer.Argument(help="Your own id of the order, in full.")],
    as_json: AsJson = False,
) -> None:
    """Find the collection of exactly this order id; exit code 1 if there is none."""

    def answer(found: Collection | None) -> Exit:
        if found is not None or as_json:
            return show.one(found, as_json=as_json, code=Exit.OK if found else Exit.NO)
        show.line("There is no collection with this order id.")
        return Exit.NO

    end(settings.ask(lambda pay: pay.find_by_order_id(order_id), answer, as_json=as_json))


@checkout.command("list")
def list_(
    *,
    status: Annotated[str | None, typer.Option(help="Only in this state.")] = None,
    order_id: Annotated[str | None, typer.Option(help="Only order ids with this in them.")] = None,
    reference: Annotated[
        str | None, typer.Option(help="Only references with this in them.")
    ] = None,
    date_from: Annotated[str | None, typer.Option("--from", help="From this day on.")] = None,
    date_to: Annotated[str | None, typer.Option("--to", help="Up to this day.")] = None,
    page: Annotated[int, typer.Option(min=1, help="Which page.")] = 1,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Entries per page.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List collections, a page at a time; days are YYYY-MM-DD."""
    filters = {
        "status": status,
        "order_id": order_id,
        "reference": reference,
        "date_from": date_from,
        "date_to": date_to,
    }
    given = {name: value for name, value in filters.items() if value is not None}

    def answer(found: Page[Collection]) -> Exit:
        if as_json:
            return show.one(found, as_json=True)
        show.collections(found.items)
        show.line(f"page {found.page} of {found.total_pages}, {found.total_items} in all", "dim")
        return Exit.OK

    end(
        settings.ask(
            lambda pay: pay.list_collections(page=page, limit=limit, **given),  # type: ignore[arg-type]  # texts only
            answer,
            as_json=as_json,
        )
    )


def refund(
    collection_id: CollectionId,
    *,
    amount: Annotated[str | None, typer.Option(help="In USD; all that can be if absent.")] = None,
    reason: Annotated[str | None, typer.Option(help="A code, such as CUSTOMER_REQUEST.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether it is meant.")] = False,
    as_json: AsJson = False,
) -> None:
    """Refund a completed collection, in full or in part: once, ever, and for good."""

    def start() -> Coroutine[None, None, Exit]:
        if not yes and not settings.agreed(f"Refund {amount or 'all'} of {collection_id}?"):
            show.line("Nothing was refunded.")
            return _nothing()
        return settings.asking(
            lambda pay: pay.create_refund(collection_id, amount=amount, reason=reason),
            lambda made: show.one(made, as_json=as_json),
        )

    end(run(start, as_json=as_json))


def wait(
    collection_id: CollectionId,
    *,
    amount: Annotated[str | None, typer.Option(help="What must have been paid, in USD.")] = None,
    order_id: Annotated[str | None, typer.Option(help="Of which order; with --amount.")] = None,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds; as long as a customer can pay if absent.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Wait until the customer has paid, or can no longer pay; exit code 0 only if paid."""

    def start() -> Coroutine[None, None, Exit]:
        if order_id is not None and amount is None:
            raise UsageError("--order-id needs --amount")
        pay = settings.session()

        async def command() -> Exit:
            async with pay:
                collection = await _wait(pay, collection_id, timeout, amount, order_id)
            code = Exit.OK if collection.status is PaymentStatus.COMPLETED else Exit.NO
            return show.one(collection, as_json=as_json, code=code)

        return command()

    end(run(start, as_json=as_json))


async def _wait(
    pay: SessionManager,
    collection_id: str,
    timeout: float | None,  # noqa: ASYNC109  handed on
    amount: str | None,
    order_id: str | None,
) -> Collection:
    collection = await progress.wait(pay, collection_id, timeout)
    if amount is None:
        return collection
    return await pay.confirm(collection_id, expected_amount=amount, order_id=order_id)


def _pairs(texts: list[str]) -> dict[str, str] | None:
    if not all("=" in text for text in texts):
        raise UsageError("--metadata: NAME=VALUE is needed")
    return dict(text.split("=", 1) for text in texts) or None


async def _nothing() -> Exit:
    return Exit.NO
