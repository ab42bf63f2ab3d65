"""The demo: it tells the truth, ends, and fails when a step fails."""

from __future__ import annotations

import asyncio
import io
import os
import queue
import sqlite3
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from paycollect.cli import demo, show
from paycollect.cli.demo import NotPaidError, StepFailedError, shop, story
from paycollect.cli.demo.payer import Browser, read_form
from paycollect.cli.demo.process import ShopProcess
from paycollect.cli.demo.story import Story
from paycollect.cli.terminal import Screen
from paycollect.errors import ResponseLostError
from paycollect.sandbox import Clock, Sandbox, reordered, respond
from paycollect.sandbox.options import WEBHOOK_SECRET
from paycollect.testing import sign_webhook
from tests.cli.conftest import Terminal


class Recorder(io.StringIO):
    """A stream with an encoding of its own choice."""

    def __init__(self, encoding: str | None = "utf-8", *, terminal: bool = False) -> None:
        super().__init__()
        self._encoding, self._terminal = encoding, terminal

    @property
    def encoding(self) -> str | None:  # type: ignore[override]  # some streams have none
        """The encoding."""
        return self._encoding

    def isatty(self) -> bool:
        """Whether it pretends to be a terminal."""
        return self._terminal


def test_the_demo_tells_what_was_sent_received_and_proven(terminal: Terminal) -> None:
    """A newcomer sees each step, and the summary has what was proven."""
    assert terminal("demo") == 0
    for words in (
        "POST /collections",
        "cashier.create_checkout",
        "[Pay $25.00]",
        "webhook_routes",
        "HTTP 200  COMPLETED, 25.00 USD",
        "the amount altered: HTTP 401",
        "cashier.returned",
        "There is no payment for order",
        "(kill -9), while it asked the provider",
        "the order was delivered once, although the shop had died",
        "noticed by the sweep",
        "What was proven",
    ):
        assert words in terminal.out
    assert "\x1b" not in terminal.out
    assert terminal.err == ""


def test_a_lost_answer_is_recovered(terminal: Terminal) -> None:
    """The repeat is answered with 409, and the first attempt's checkout is found."""
    assert terminal("demo", "--fault", "lost-answer") == 0
    assert "done, but no answer" in terminal.out
    assert "HTTP 409" in terminal.out
    assert "a lost answer is looked up, not repeated" in " ".join(terminal.out.split())
    assert terminal.err == ""


class Person:
    """Somebody at a browser, who presses a button; called in a thread."""

    def __init__(self, button: str, *, opened: bool = True) -> None:
        self._button, self._opened = button, opened

    def __call__(self, url: str) -> bool:
        """Open the page, press the button, and follow."""
        with urllib.request.urlopen(url, timeout=5) as response:
            form = read_form(response.read().decode())
        fields = {**form.fields, form.buttons[self._button][0]: self._button}
        data = urllib.parse.urlencode(fields).encode()
        with urllib.request.urlopen(
            urllib.parse.urljoin(url, form.action), data=data, timeout=5
        ) as response:
            assert b"You can go back to the terminal." in response.read()
        return self._opened


@pytest.mark.parametrize(("opened", "word"), [(True, "opened"), (False, "open ")])
async def test_a_person_can_pay_by_hand(opened: bool, word: str) -> None:
    """The URL is shown in any case, as not every machine has a browser."""
    stream = Recorder()
    await demo.run(Screen(stream), by_hand=True, show=Person("pay", opened=opened))
    assert f"{word}" in stream.getvalue()
    assert "ended as COMPLETED" in stream.getvalue()
    assert asyncio.all_tasks() == {asyncio.current_task()}, "something is left running"


async def test_a_person_who_declines_ends_the_demo() -> None:
    """Not paid is not a success."""
    with pytest.raises(NotPaidError, match="ended as FAILED"):
        await demo.run(Screen(Recorder()), by_hand=True, show=Person("decline"))


async def test_the_demo_ends_by_itself() -> None:
    """Nobody waits for ever, and the limit is named."""
    with pytest.raises(StepFailedError, match="within 0 s"):
        await demo.run(Screen(Recorder()), limit=0.0)


async def test_a_person_who_does_not_come_ends_the_demo() -> None:
    """There is a limit for people, too."""
    with pytest.raises(NotPaidError, match=r"not paid within 0\.05 s"):
        await demo.run(Screen(Recorder()), by_hand=True, limit=0.05, show=lambda _: False)


def test_control_characters_do_not_reach_the_terminal() -> None:
    """Whatever a text holds, it cannot steer the terminal."""
    stream = Recorder()
    Screen(stream).failed("its status is \x1b[2J\u202e")
    assert stream.getvalue() == "   ✗ its status is \ufffd[2J\ufffd\n"


async def test_a_refused_webhook_fails_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """A webhook that cannot be proven is no success, whatever the person's own settings are."""
    monkeypatch.setenv("PAYCOLLECT_WEBHOOK_SECRET_OLD", WEBHOOK_SECRET)
    monkeypatch.setattr(Sandbox, "webhook_secret", "whsec_another")
    with pytest.raises(StepFailedError, match="the webhook was not taken: HTTP 401"):
        await demo.run(Screen(Recorder()))


async def test_an_accepted_forgery_fails_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo does not say "refused" of what was not: here the secret has been guessed."""

    def guess(data: Any, _: str) -> bytes:
        return sign_webhook(data, WEBHOOK_SECRET)

    monkeypatch.setattr(story, "sign_webhook", guess)
    with pytest.raises(StepFailedError, match=r"not refused: signed with a guessed secret"):
        await demo.run(Screen(Recorder()))


async def test_a_delivery_too_many_fails_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is told as proven is compared."""
    looked = ShopProcess.parcels
    monkeypatch.setattr(ShopProcess, "parcels", lambda self, order: 2 * looked(self, order))
    with pytest.raises(StepFailedError, match="not so: it was delivered once"):
        await demo.run(Screen(Recorder()))


def test_a_failed_step_is_told_without_a_traceback(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code is not 0, and the message says what failed."""
    monkeypatch.setattr(Sandbox, "webhook_secret", "whsec_another")
    assert terminal("demo") == 1
    assert "the webhook was not taken" in terminal.err
    assert "Traceback" not in terminal.err


async def test_a_shop_that_does_not_start_says_why() -> None:
    """The last line that it wrote is told, and nothing of it is left."""
    with pytest.raises(StepFailedError, match=r"did not start: .*PAYCOLLECT_APP_ID"):
        async with ShopProcess(Clock(), {"PAYCOLLECT_APP_ID": ""}):
            pass


async def test_a_shop_that_cannot_sell_says_why() -> None:
    """Nobody is sent to a checkout that is not there."""
    async with Sandbox() as sandbox:
        sandbox.faults.next("POST /collections", respond(400))
        async with ShopProcess(sandbox.clock, demo.settings(sandbox)) as process:
            browser = Browser()
            teller = Story(Screen(Recorder()), sandbox=sandbox, shop=process, browser=browser)
            with pytest.raises(StepFailedError, match="HTTP 503 from the shop: Payment is not"):
                await teller.tell(lost_answer=False)
            await browser.aclose()
            await process.kill()
            with pytest.raises(StepFailedError, match="does not run"):
                _ = process.pid


class Commands(io.StringIO):
    """What the shop is told: some lines, and an end when the test is done."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def say(self, line: str) -> None:
        """Tell it something; "" is the end."""
        self._lines.put(line)

    def __iter__(self) -> Iterator[str]:  # type: ignore[override]  # a stream that can be waited for
        return iter(self._lines.get, "")


async def test_the_shop_sells_delivers_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a part of this process, where it can be looked into."""
    commands, output, browser = Commands(), io.StringIO(), Browser()
    async with Sandbox() as sandbox:
        for name, value in demo.settings(sandbox).items():
            monkeypatch.setenv(name, value)
        database = tmp_path / "shop.db"
        argv = (str(database), "0", str(sandbox.clock.time()))
        running = asyncio.create_task(shop.run(argv, commands, output))
        async with asyncio.timeout(10):
            while not output.getvalue():  # noqa: ASYNC110  # a stream tells nobody
                await asyncio.sleep(0.01)
            url = f"http://127.0.0.1:{int(output.getvalue())}"
            answer = await browser.post(f"{url}/buy", b"")
            collection_id = (answer.location or "").rpartition("=")[2]
            sandbox.faults.always("webhook", reordered())
            await sandbox.pay(collection_id)
            commands.say("200\n")
            with closing(sqlite3.connect(database)) as db:
                while not (found := db.execute("SELECT * FROM parcels").fetchall()):  # noqa: ASYNC110  # a thread writes it
                    await asyncio.sleep(0.01)
            assert found == [(sandbox.collections[0].order.order_id, "sweep")]
            page = await browser.get(f"{url}/return?batch={collection_id}&status=COMPLETED")
            assert "Thank you" in page.page
            unknown = await browser.get(f"{url}/return?batch=SCI1&status=COMPLETED")
            assert "could not find out yet" in unknown.page
            sandbox.faults.next("POST /collections", respond(400))
            assert (await browser.post(f"{url}/buy", b"")).status == 503
            commands.say("")
            await running
    await browser.aclose()


def test_a_page_without_a_form_is_none() -> None:
    """The customer cannot press a button that is not there."""
    with pytest.raises(ValueError, match="no form"):
        read_form("<h1>Sorry</h1><input><button>Lost</button>")


def test_colours_and_spinner_are_for_terminals_only() -> None:
    """A pipe gets text, a terminal colours unless NO_COLOR is set."""
    for stream, environ, coloured in (
        (Recorder(), {}, False),
        (Recorder(terminal=True), {}, True),
        (Recorder(terminal=True), {"NO_COLOR": "1"}, False),
        (Recorder(terminal=True), {"TERM": "dumb"}, False),
    ):
        screen = Screen.on(stream, environ)
        screen.proven("it works")
        assert ("\x1b[32m" in stream.getvalue()) is coloured


@pytest.mark.parametrize("encoding", ["ascii", None, "no-such-encoding"])
def test_a_terminal_without_unicode_gets_ascii(encoding: str | None) -> None:
    """No sign can make the demo fail."""
    stream = Recorder(encoding)
    Screen(stream).check("it works")
    assert stream.getvalue() == "   + it works\n"


async def test_the_spinner_leaves_no_trace() -> None:
    """While it waits it turns; then its line is cleared."""
    stream = Recorder(terminal=True)
    async with Screen.on(stream, {}).waiting("waiting for you"):
        await asyncio.sleep(0)
    assert "waiting for you 0 s" in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[2K")


async def test_the_spinner_stops_when_something_fails() -> None:
    """An error passes through, and no task is left."""

    async def fail() -> None:
        async with Screen.on(Recorder(terminal=True), {}).waiting("waiting"):
            await asyncio.sleep(0)
            raise ResponseLostError

    with pytest.raises(ResponseLostError):
        await fail()
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_a_screen_is_as_wide_as_its_own_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output may go to a file while errors are read in a narrow window."""
    monkeypatch.delenv("COLUMNS", raising=False)
    asked: list[int] = []

    def size(descriptor: int) -> os.terminal_size:
        asked.append(descriptor)
        return os.terminal_size((40, 24))

    monkeypatch.setattr(os, "get_terminal_size", size)
    stream = Recorder(terminal=True)
    monkeypatch.setattr(stream, "fileno", lambda: 7)
    Screen.on(stream, {"NO_COLOR": "1"}).text("twelve words " * 7)
    assert asked == [7]
    assert max(map(len, stream.getvalue().splitlines())) <= 40


def test_a_sentence_is_wrapped_only_in_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe has no edge, and a line that is to be copied none either."""
    words = "export " + "x" * 60
    for terminal, parts in ((True, 2), (False, 1)):
        stream = Recorder(terminal=terminal)
        monkeypatch.setenv("COLUMNS", "60")
        monkeypatch.setattr(sys, "stdout", stream)
        show.line(words)
        assert len(stream.getvalue().splitlines()) == parts
        show.verbatim(words)
        assert words in stream.getvalue()
