"""`paycollect demo`: one payment from the order to the proof, on this machine, in a second."""

from __future__ import annotations

import asyncio
import webbrowser
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

from paycollect.demo.payer import Browser
from paycollect.demo.shop import Shop
from paycollect.demo.story import Story
from paycollect.demo.teller import NotPaidError, Stage, StepFailedError
from paycollect.retry import RetryPolicy
from paycollect.sandbox import Sandbox, drop_after_commit
from paycollect.session import SessionManager

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from paycollect.demo.screen import Screen

__all__ = ["NotPaidError", "StepFailedError", "run"]

LIMIT: Final = 10.0
LIMIT_BY_HAND: Final = 600.0
# A real client waits up to a second before it repeats; nobody should wait for a demo.
_RETRY: Final = RetryPolicy(backoff_base=0.2)


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
        PayCollectError: a call failed.

    """
    seconds = (LIMIT_BY_HAND if by_hand else LIMIT) if limit is None else limit
    try:
        async with asyncio.timeout(seconds), _stage(screen, show if by_hand else None) as stage:
            if lost_answer:
                stage.sandbox.faults.next("POST /collections", drop_after_commit())
            await Story(stage).tell(lost_answer=lost_answer)
    except TimeoutError:
        if by_hand:
            raise NotPaidError(f"the checkout was not paid within {seconds:g} s") from None
        raise StepFailedError(f"the demo did not come to its end within {seconds:g} s") from None


@asynccontextmanager
async def _stage(screen: Screen, show: Callable[[str], bool] | None) -> AsyncIterator[Stage]:
    """Start everybody who takes part, and send them home afterwards."""
    async with Sandbox(merchant="Example Shop") as sandbox, AsyncExitStack() as stack:
        credentials = (sandbox.app_id, sandbox.secret_key, sandbox.base_url)
        pay = await stack.enter_async_context(_session(*credentials))
        shop = await stack.enter_async_context(Shop(pay, sandbox.webhook_secret).open())
        browser = Browser()
        stack.push_async_callback(browser.aclose)
        yield Stage(
            screen=screen,
            sandbox=sandbox,
            shop=shop,
            browser=browser,
            open_page=None if show is None else _in_thread(show),
        )


def _session(app_id: str, secret_key: str, base_url: str) -> SessionManager:
    return SessionManager(app_id=app_id, secret_key=secret_key, base_url=base_url, retry=_RETRY)


def _in_thread(show: Callable[[str], bool]) -> Callable[[str], Awaitable[bool]]:
    """Keep the loop going: a text browser returns only when it is left."""
    return lambda url: asyncio.to_thread(show, url)
