"""Commands about refunds, and the price list: refund create, list and show; pricing."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Annotated, Any, Final

import typer

from paycollect.cli import settings, show
from paycollect.cli.command import (
    PAYMENTS,
    AsJson,
    CollectionId,
    Commands,
    Group,
    ask,
    asking,
    carry_out,
    settled,
)
from paycollect.cli.exits import About, Exit
from paycollect.cli.payments import From, Limit, PageNumber, To, check_days
from paycollect.models import Page, Pricing, Refund


class _CreateIsMeant(Group):
    """Takes `refund COLLECTION_ID` for `refund create COLLECTION_ID`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, *ctx.help_option_names}:
            args = ["create", *args]
        return super().parse_args(ctx, args)


refund: Final = Commands(
    cls=_CreateIsMeant,
    help="Refund collections, and look refunds up.",
    epilog="`paycollect refund COLLECTION_ID` is short for `paycollect refund create"
    " COLLECTION_ID`.",
)
commands: Final = Commands(panel=PAYMENTS)


@refund.command("create")
def create(
    collection_id: CollectionId,
    *,
    amount: Annotated[
        str | None, typer.Option(metavar="USD", help="How much; all that can be if absent.")
    ] = None,
    reason: Annotated[
        str | None, typer.Option(metavar="CODE", help="Why, such as CUSTOMER_REQUEST.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether it is meant.")] = False,
    as_json: AsJson = False,
) -> None:
    """Refund a completed collection, in full or in part: once, ever, and for good."""

    def start() -> Coroutine[None, None, Exit]:
        what = "all" if amount is None else f"{amount} USD"
        if not yes and not settings.agreed(f"Refund {what} of {collection_id}?"):
            show.line("Nothing was refunded.")
            return settled(Exit.NO)
        return asking(
            lambda pay: pay.create_refund(collection_id, amount=amount, reason=reason),
            lambda made: show.one(made, as_json=as_json),
            made=lambda made: f"the refund {made.refund_id} of {made.collection_id} is made",
        )

    carry_out(start, About(collection=collection_id, writes=True, as_json=as_json))


@refund.command("list")
def list_(
    *,
    status: Annotated[
        str | None, typer.Option(metavar="STATE", help="Only in this state, such as PENDING.")
    ] = None,
    date_from: From = None,
    date_to: To = None,
    page: PageNumber = 1,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List refunds, a page at a time."""
    filters = {"status": status, "date_from": date_from, "date_to": date_to}
    given = {name: value for name, value in filters.items() if value is not None}

    def start() -> Coroutine[None, None, Exit]:
        check_days(date_from, date_to)
        return asking(
            lambda pay: pay.list_refunds(page=page, limit=limit, **given),  # type: ignore[arg-type]  # texts only
            lambda found: show.page(found, as_json=as_json),
        )

    carry_out(start, About(as_json=as_json))


@refund.command("show")
def show_(collection_id: CollectionId, as_json: AsJson = False) -> None:
    """Show the one refund of a collection; exit code 1 if there is none."""

    def answer(found: Page[Refund]) -> Exit:
        # An entry of another collection would mean that the filter was not heeded.
        made = next((one for one in found.items if one.collection_id == collection_id), None)
        if made is not None or as_json:
            return show.one(made, as_json=as_json, code=Exit.OK if made else Exit.NO)
        show.line("Nothing of this collection was refunded.")
        return Exit.NO

    ask(
        lambda pay: pay.list_refunds(collection_id=collection_id),
        answer,
        About(collection=collection_id, as_json=as_json),
    )


@commands.command("pricing")
def pricing(as_json: AsJson = False) -> None:
    """Show what the provider charges you."""

    def answer(found: Pricing) -> Exit:
        if as_json:
            return show.one(found, as_json=True)
        show.fees(found.fees)
        return Exit.OK

    ask(lambda pay: pay.get_pricing(), answer, About(as_json=as_json))
