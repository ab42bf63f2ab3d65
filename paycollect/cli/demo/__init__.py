"""`paycollect demo`: from the order to the delivery, once, whatever happens; on this machine.

    story      the steps: what is done, shown and proven
    shop       the merchant's service, a program of its own; process: started, killed, started again
    payer      the customer's browser
    failures   how the demo can fail

Needs no extra.
"""

from __future__ import annotations

import asyncio
import webbrowser
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

from paycollect.cli import run as _run
from paycollect.cli.demo.failures import NotPaidError, StepFailedError
from paycollect.cli.demo.payer import Browser
from paycollect.cli.demo.process import ShopProcess
from paycollect.cli.demo.story import Story
from paycollect.cli.exits import Exit
from paycollect.cli.terminal import results
from paycollect.sandbox import Sandbox, drop_after_commit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from paycollect.cli.terminal import Screen

__all__ = ["NotPaidError", "StepFailedError", "command", "run"]

LIMIT: Final = 30.0
LIMIT_BY_HAND: Final = 600.0
LOST_ANSWER: Final = "lost-answer"


def command(*, by_hand: bool, lost_answer: bool) -> Exit:
    """Carry out `paycollect demo`."""

    async def show() -> Exit:
        await run(results(), by_hand=by_hand, lost_answer=lost_answer)
        return Exit.OK

    return _run.run(show)


async def run(
    screen: Screen,
    *,
    by_hand: bool = False,
    lost_answer: bool = False,
    limit: float | None = None,
    show: Callable[[str], bool] = webbrowser.open,
) -> None:
    """Run the demo; when this returns, every step has succeeded and nothing is left running.

    Args:
        screen: where to tell it.
        by_hand: let a person pay in their browser.
        lost_answer: let the answer to the create get lost.
        limit: seconds until it is given up.
        show: opens a URL in a browser; tells whether it could.

    Raises:
        StepFailedError: a step did not succeed, or it took too long.
        NotPaidError: the person who was to pay did not.

    """
    seconds = (LIMIT_BY_HAND if by_hand else LIMIT) if limit is None else limit
    try:
        async with (
            asyncio.timeout(seconds),
            _prepared(screen, show if by_hand else None, lost_answer=lost_answer) as story,
        ):
            await story.tell(lost_answer=lost_answer)
    except TimeoutError:
        if by_hand:
            raise NotPaidError(f"the checkout was not paid within {seconds:g} s") from None
        raise StepFailedError(f"the demo did not come to its end within {seconds:g} s") from None


@asynccontextmanager
async def _prepared(
    screen: Screen, show: Callable[[str], bool] | None, *, lost_answer: bool
) -> AsyncIterator[Story]:
    """Start everybody who takes part; stop them afterwards."""
    async with Sandbox(merchant="Example Shop") as sandbox, AsyncExitStack() as stack:
        if lost_answer:
            sandbox.faults.next("POST /collections", drop_after_commit())
        async with screen.waiting("starting the shop"):
            shop = await stack.enter_async_context(ShopProcess(sandbox.clock, settings(sandbox)))
        browser = Browser()
        stack.push_async_callback(browser.aclose)
        yield Story(
            screen,
            sandbox=sandbox,
            shop=shop,
            browser=browser,
            open_page=None if show is None else _in_thread(show),
        )


def settings(sandbox: Sandbox) -> dict[str, str]:
    """Give the environment variables that a service needs to use the sandbox."""
    return {
        "PAYCOLLECT_APP_ID": sandbox.app_id,
        "PAYCOLLECT_SECRET_KEY": sandbox.secret_key,
        "PAYCOLLECT_BASE_URL": sandbox.base_url,
        "PAYCOLLECT_WEBHOOK_SECRET": sandbox.webhook_secret,
    }


def _in_thread(show: Callable[[str], bool]) -> Callable[[str], Awaitable[bool]]:
    """Keep the loop going: a text browser returns only when it is left."""
    return lambda url: asyncio.to_thread(show, url)
