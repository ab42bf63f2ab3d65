"""`paycollect demo`: one payment from the order to the proof, on this machine, in a second."""

from __future__ import annotations

import asyncio
import webbrowser
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from paycollect.demo.payer import Browser
from paycollect.demo.shop import Shop
from paycollect.demo.story import Story
from paycollect.demo.teller import NotPaidError, Stage, StepFailedError
from paycollect.retry import RetryPolicy
from paycollect.sandbox import Sandbox, drop_after_commit
from paycollect.session import SessionManager

if TYPE_CHECKING:
    from collections.abc import Callable

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

    async def open_page(url: str) -> bool:
        return await asyncio.to_thread(
            show, url
        )  # a text browser would stop the loop until it ends

    seconds = (LIMIT_BY_HAND if by_hand else LIMIT) if limit is None else limit
    try:
        async with asyncio.timeout(seconds), AsyncExitStack() as stack:
            sandbox = await stack.enter_async_context(Sandbox(merchant="Example Shop"))
            browser = Browser()
            stack.push_async_callback(browser.aclose)
            pay = await stack.enter_async_context(
                SessionManager(
                    app_id=sandbox.app_id,
                    secret_key=sandbox.secret_key,
                    base_url=sandbox.base_url,
                    retry=_RETRY,
                )
            )
            shop = await stack.enter_async_context(Shop(pay, sandbox.webhook_secret).open())
            if lost_answer:
                sandbox.faults.next("POST /collections", drop_after_commit())
            stage = Stage(
                screen=screen,
                sandbox=sandbox,
                shop=shop,
                browser=browser,
                open_page=open_page if by_hand else None,
            )
            await Story(stage).tell(lost_answer=lost_answer)
    except TimeoutError:
        if by_hand:
            raise NotPaidError(f"the checkout was not paid within {seconds:g} s") from None
        raise StepFailedError(f"the demo did not come to its end within {seconds:g} s") from None
