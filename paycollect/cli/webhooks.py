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
from paycollect.cli.command import RECEIVING, AsJson, Commands, carry_out, do
from paycollect.cli.exits import About, Exit, UsageError
from paycollect.cli.show import Json, to_json
from paycollect.cli.terminal import notices
from paycollect.sandbox.options import EnvelopeVersion, Scheme, Shapes
from paycollect.testing import COLLECTION_ID

File = Annotated[
    str, typer.Argument(metavar="FILE", help='The body as it was received; "-" for standard input.')
]

_MOST_BYTES: Final = 1024 * 1024

webhook: Final = Commands(help="Prove, explain and send webhooks; set where they go.")
commands: Final = Commands(panel=RECEIVING)


@webhook.command("verify")
def verify(
    file: File,
    scheme: Annotated[Scheme | None, typer.Option(help="Accept only this way of signing.")] = None,
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
        show.line(f"Genuine: signed with your secret, scheme {event.scheme!r}.", "green")
        if event.is_test:
            show.line("It is a test delivery: acknowledge it, and fulfil nothing.", "yellow")
        show.record(event)
        return Exit.OK

    do(work, About(as_json=as_json))


@webhook.command("explain")
def explain(file: File, as_json: AsJson = False) -> None:
    """Say in words why a signature does not match; exit code 1 if it does not."""

    def work() -> Exit:
        body = _read(file)
        found = ipn.explain(body, secret=settings.setting(settings.WEBHOOK_SECRET))
        code = Exit.OK if found.matches else Exit.NO
        if as_json:
            answer = {"genuine": found.matches, "explanation": str(found)}
            return show.one(answer, as_json=True, code=code)
        show.line(str(found))
        return code

    do(work, About(as_json=as_json))


@webhook.command("send")
def send(
    url: Annotated[str, typer.Argument(metavar="URL", help="Your own endpoint.")],
    *,
    event: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the event.")
    ] = "collection.received",
    status: Annotated[
        str, typer.Option(metavar="STATE", help="State of the payment.")
    ] = "COMPLETED",
    amount: Annotated[str, typer.Option(metavar="USD", help="What was paid.")] = "25.00",
    order_id: Annotated[
        str, typer.Option(metavar="ID", help="Your id of the order.")
    ] = samples.ORDER_ID,
    collection_id: Annotated[
        str, typer.Option(metavar="ID", help="The provider's id of the payment.")
    ] = COLLECTION_ID,
    test: Annotated[
        bool, typer.Option(help="Mark it as a test delivery, which nobody must fulfil.")
    ] = True,
    forged: Annotated[bool, typer.Option("--forged", help="Sign it with a wrong secret.")] = False,
    shapes: Annotated[
        Shapes, typer.Option(help="Which of the published forms the data has.")
    ] = "events",
    scheme: Annotated[Scheme, typer.Option(help="How it is signed.")] = "raw",
    envelope: Annotated[
        EnvelopeVersion, typer.Option(help="Version of the form around it.")
    ] = "3.0",
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

    carry_out(start, About(as_json=as_json))


@commands.command("callback")
def callback(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="The address on which the browser came back.")
    ],
    as_json: AsJson = False,
) -> None:
    """Read a callback URL. Nothing in it is signed: only the provider knows what was paid."""

    def work() -> Exit:
        read = ipn.parse_callback(url)
        show.one(read, as_json=as_json)
        if not as_json:
            command = f"paycollect checkout get {read.collection_id}"
            show.line(f"Nobody signed this. To know what was paid: {command}", "yellow")
        return Exit.OK

    do(work, About(as_json=as_json))


async def _send(url: str, body: bytes, *, as_json: bool) -> Exit:
    async with notices().waiting("waiting for the answer"):
        reply = await endpoint.post(url, body)
    code = _code(reply)
    if as_json:
        return show.one({**_object(reply), "taken": reply.taken}, as_json=True, code=code)
    show.line(f"sent {len(body)} bytes to {url}")
    show.line(f"got  {reply}", "green" if reply.taken else "red")
    if reply.answer:
        show.line(f"     {reply.answer}", "dim")
    if not reply.taken:
        show.line("The provider would send it again after 1, 5 and 30 minutes.")
    return code


def _code(reply: endpoint.Reply) -> Exit:
    if reply.status is not None:
        return Exit.OK if reply.taken else Exit.NO
    return Exit.UNKNOWN if reply.reached else Exit.NOT_SENT


def _read(file: str) -> bytes:
    try:
        if file == "-":
            return sys.stdin.buffer.read(_MOST_BYTES + 1)
        with Path(file).open("rb") as stream:
            return stream.read(_MOST_BYTES + 1)
    except OSError as error:
        reason = error.strerror
    raise UsageError(f"FILE: {file} cannot be read: {reason}")


def _object(value: object) -> dict[str, Json]:
    found = to_json(value)
    return found if isinstance(found, dict) else {}
