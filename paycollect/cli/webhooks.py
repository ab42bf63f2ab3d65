"""Commands about what comes in: webhook verify, explain and send; callback."""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Final

import typer

from paycollect import ipn
from paycollect._signing import SCHEMES
from paycollect.cli import endpoint, samples, settings, show
from paycollect.cli.as_json import Json, to_json
from paycollect.cli.exits import Exit, UsageError
from paycollect.cli.local import Envelope, Scheme, Shapes
from paycollect.cli.options import AsJson, end
from paycollect.cli.run import guarded, run
from paycollect.demo.screen import printable

File = Annotated[str, typer.Argument(metavar="FILE", help='The body as received; "-" for stdin.')]

_MOST_BYTES: Final = 1024 * 1024
_GENUINE: Final = "The signature matches: "

webhook: Final = typer.Typer(no_args_is_help=True, help="Prove, explain and send webhooks.")


@webhook.command("verify")
def verify(
    file: File,
    scheme: Annotated[Scheme | None, typer.Option(help="Accept only this recipe.")] = None,
    as_json: AsJson = False,
) -> None:
    """Prove that a webhook body was signed with your secret, and read it; exit code 1 if not."""

    def work() -> Exit:
        body, secret = _read(file), settings.setting(settings.WEBHOOK_SECRET)
        event = ipn.parse_webhook(
            body, secret=secret, schemes=(scheme,) if scheme else SCHEMES, allow_test=True
        )
        if as_json:
            event_json = {**_object(event), "dedup_key": event.dedup_key}
            return show.one({"genuine": True, "event": event_json}, as_json=True)
        show.line(f"Genuine: signed with your secret, recipe {event.scheme!r}.", "green")
        if event.is_test:
            show.line("It is a test delivery: acknowledge it, and fulfil nothing.", "yellow")
        show.record(event)
        return Exit.OK

    end(guarded(work, as_json=as_json))


@webhook.command("explain")
def explain(file: File, as_json: AsJson = False) -> None:
    """Say in words why a signature does not match; exit code 1 if it does not."""

    def work() -> Exit:
        body = _read(file)
        words = ipn.explain(body, secret=settings.setting(settings.WEBHOOK_SECRET))
        genuine = words.startswith(_GENUINE)
        code = Exit.OK if genuine else Exit.NO
        if as_json:
            return show.one({"genuine": genuine, "explanation": words}, as_json=True, code=code)
        show.line(words)
        return code

    end(guarded(work, as_json=as_json))


@webhook.command("send")
def send(
    url: Annotated[str, typer.Argument(help="Your own endpoint.")],
    *,
    event: Annotated[str, typer.Option(help="Name of the event.")] = "collection.received",
    status: Annotated[str, typer.Option(help="State of the payment.")] = "COMPLETED",
    amount: Annotated[str, typer.Option(help="In USD.")] = "25.00",
    order_id: Annotated[str, typer.Option(help="Your id of the order.")] = samples.ORDER_ID,
    collection_id: Annotated[str, typer.Option(help="The provider's id.")] = samples.COLLECTION_ID,
    test: Annotated[
        bool, typer.Option(help="Mark it as a test delivery, which nobody must fulfil.")
    ] = True,
    forged: Annotated[bool, typer.Option("--forged", help="Sign it with a wrong secret.")] = False,
    shapes: Annotated[Shapes, typer.Option(help="Form of the data.")] = "events",
    scheme: Annotated[Scheme, typer.Option(help="Recipe of the signature.")] = "raw",
    envelope: Annotated[Envelope, typer.Option(help="Form of the envelope.")] = "3.0",
    as_json: AsJson = False,
) -> None:
    """Send a signed sample event to your own endpoint; show its answer and how long it took.

    Exit code 0 for any 2xx within 10 seconds, as that is what the provider takes for success.
    """

    def start() -> Coroutine[None, None, Exit]:
        body = samples.body(
            settings.setting(settings.WEBHOOK_SECRET),
            event=event,
            status=status,
            amount=amount,
            order_id=order_id,
            collection_id=collection_id,
            is_test=test,
            forged=forged,
            shapes=shapes,
            scheme=scheme,
            envelope=envelope,
        )
        return _send(url, body, as_json=as_json)

    end(run(start, as_json=as_json))


def callback(
    url: Annotated[str, typer.Argument(help="The URL on which the browser came back.")],
    as_json: AsJson = False,
) -> None:
    """Read a callback URL. Nothing in it is signed: only the provider knows what was paid."""

    def work() -> Exit:
        read = ipn.parse_callback(url)
        show.one(read, as_json=as_json)
        if not as_json:
            show.line("Nobody signed this. To know: paycollect checkout get", "yellow")
        return Exit.OK

    end(guarded(work, as_json=as_json))


async def _send(url: str, body: bytes, *, as_json: bool) -> Exit:
    async with settings.notices().waiting("waiting for the answer"):
        reply = await endpoint.post(url, body)
    code = Exit.OK if reply.taken else Exit.NO if reply.status else Exit.UNKNOWN
    if as_json:
        return show.one({**_object(reply), "taken": reply.taken}, as_json=True, code=code)
    show.line(f"sent {len(body)} bytes to {printable(url)}")
    show.line(f"got  {reply}", "green" if reply.taken else "red")
    if reply.answer:
        show.line(f"     {printable(reply.answer)}", "dim")
    if not reply.taken:
        show.line("The provider would send it again after 1, 5 and 30 minutes.")
    return code


def _read(file: str) -> bytes:
    try:
        if file == "-":
            return sys.stdin.buffer.read(_MOST_BYTES + 1)
        with Path(file).open("rb") as stream:
            return stream.read(_MOST_BYTES + 1)
    except OSError as error:
        reason = error.strerror
    raise UsageError(f"FILE: {printable(file)} cannot be read: {reason}")


def _object(value: object) -> dict[str, Json]:
    found = to_json(value)
    return found if isinstance(found, dict) else {}
