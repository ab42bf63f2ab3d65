"""Commands about where webhooks go and what they are signed with: webhook config."""

from __future__ import annotations

import os
import sys
from collections.abc import Coroutine
from typing import Annotated, Final

import typer

from paycollect.cli import endpoint, samples, settings, show
from paycollect.cli.command import AsJson, Commands, ask, asking, carry_out, end, settled
from paycollect.cli.exits import About, Exit, UsageError
from paycollect.cli.run import run
from paycollect.cli.terminal import notices
from paycollect.models import WebhookConfig, WebhookSecret

_OLD: Final = f"{settings.WEBHOOK_SECRET}_OLD"
_GET: Final = "`paycollect webhook config get`"
_AGAIN: Final = "repeat it: a further new secret takes the place of one that was lost"

config: Final = Commands(help="Where the provider sends webhooks, and what it signs them with.")


@config.command("get")
def get(as_json: AsJson = False) -> None:
    """Show where the provider sends the webhooks of this app."""

    def answer(found: WebhookConfig) -> Exit:
        if as_json or found.webhook_url is not None:
            return show.one(found, as_json=as_json)
        show.line("The provider has no webhook URL for this app. To set one:")
        show.verbatim("paycollect webhook config set URL")
        return Exit.OK

    ask(lambda pay: pay.get_webhook_config(), answer, About(as_json=as_json))


@config.command("set")
def set_(
    url: Annotated[
        str | None, typer.Argument(metavar="URL", help="Your endpoint, by https.")
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="Send no webhooks any more.")] = False,
    as_json: AsJson = False,
) -> None:
    """Set where webhooks go. The first URL ever set is answered with the secret: keep it."""

    def start() -> Coroutine[None, None, Exit]:
        if (url is None) is not none:
            raise UsageError("either URL or --none is needed")
        return asking(
            lambda pay: pay.update_webhook_config(url),
            lambda now: show.one(now, as_json=as_json),
            made=lambda _: "where webhooks go is changed",
        )

    carry_out(start, About(writes=True, shows=_GET, as_json=as_json))


@config.command("rotate")
def rotate(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether it is meant.")] = False,
    as_json: AsJson = False,
) -> None:
    """Get a new webhook secret, and be led through the change; the old one is dead at once.

    Until your service knows the new secret it refuses all webhooks. The provider repeats them
    after 1, 5 and 30 minutes: those that were signed before need the old secret then.
    """
    about = About(writes=True, shows=_GET, later=_AGAIN, as_json=as_json)
    new: list[str] = []
    code = run(lambda: _replace(new, yes=yes, as_json=as_json), about)
    if code is Exit.OK and not as_json and sys.stdin.isatty():
        code = run(lambda: _check_both(new[0]), About(shows=_GET))
    end(code)


def _replace(new: list[str], *, yes: bool, as_json: bool) -> Coroutine[None, None, Exit]:
    if not yes and not settings.agreed("Replace the webhook secret? The old one is dead at once."):
        show.line("Nothing was changed.")
        return settled(Exit.NO)

    def answer(made: WebhookSecret) -> Exit:
        new.append(made.webhook_secret)
        known = {settings.WEBHOOK_SECRET: made.webhook_secret, _OLD: _old()}
        both = {name: value for name, value in known.items() if value}
        if as_json:
            return show.one(both, as_json=True)
        for name, value in both.items():
            show.verbatim(f"export {name}={value}")
        notices().text(
            "The new secret is not shown again. Give your service these settings now: with both,"
            " Receiver.from_env() takes what either of them signed. After an hour nothing comes any"
            f" more that the old one signed: remove {_OLD}."
        )
        return Exit.OK

    return asking(
        lambda pay: pay.regenerate_webhook_secret(),
        answer,
        made=lambda _: "the webhook secret is replaced",
    )


def _check_both(new: str) -> Coroutine[None, None, Exit]:
    """Find out whether the service knows both secrets, once a person says that it should."""
    settings.pause("Press Enter when your service runs with them, to have it checked.")

    async def answer(found: WebhookConfig) -> Exit:
        if found.webhook_url is None:
            show.line("The provider has no webhook URL for this app: check with paycollect doctor.")
            return Exit.OK
        taken = [
            await _takes(found.webhook_url, secret, which)
            for which, secret in (("new", new), ("old", _old()))
            if secret
        ]
        return Exit.OK if all(taken) else Exit.NO

    async def command() -> Exit:
        async with settings.session() as pay:
            return await answer(await pay.get_webhook_config())

    return command()


async def _takes(url: str, secret: str, which: str) -> bool:
    async with notices().waiting(f"sending a test event signed with the {which} secret"):
        reply = await endpoint.post(url, samples.body(secret))
    show.line(f"signed with the {which} secret: {reply}", "green" if reply.taken else "red")
    return reply.taken


def _old() -> str:
    return os.environ.get(settings.WEBHOOK_SECRET, "")
