"""The demo: it tells the truth, ends, and fails when a step fails."""

from __future__ import annotations

import asyncio
import io
import urllib.parse
import urllib.request

import pytest

from paycollect import demo, ipn
from paycollect.demo import NotPaidError, StepFailedError, shop
from paycollect.demo.payer import read_form
from paycollect.demo.screen import Screen
from paycollect.errors import CallbackError, ResponseLostError
from paycollect.sandbox import Sandbox
from paycollect.session import SessionManager
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
        "pay.create_checkout",
        "[Pay $25.00]",
        "ipn.parse_webhook",
        "the amount altered: HTTP 401",
        "ipn.parse_callback",
        "PaymentNotConfirmedError",
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
    assert "recovered=True" in terminal.out
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
    assert "says COMPLETED" in stream.getvalue()


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


async def test_nothing_is_left_running() -> None:
    """No task outlives the demo."""
    await demo.run(Screen(Recorder()))
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_refused_webhook_fails_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """A webhook that cannot be proven is no success."""
    monkeypatch.setattr(Sandbox, "webhook_secret", "whsec_another")
    with pytest.raises(StepFailedError, match="the webhook was refused"):
        await demo.run(Screen(Recorder()))


async def test_an_accepted_forgery_fails_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo does not say "refused" of what was not."""

    def careless(body: bytes, *, secret: str) -> ipn.WebhookEvent:
        assert secret
        return ipn.parse_unverified(body)

    monkeypatch.setattr(ipn, "parse_webhook", careless)
    with pytest.raises(StepFailedError, match="not so: the webhook was signed"):
        await demo.run(Screen(Recorder()))


async def test_a_forgery_must_be_answered_with_401(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other answer to a forgery fails the demo."""
    monkeypatch.setattr("paycollect.errors.SignatureError.status_hint", 200)
    with pytest.raises(StepFailedError, match="forged webhook was not refused"):
        await demo.run(Screen(Recorder()))


async def test_a_callback_that_is_not_understood_fails_the_demo(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The refusal is told."""

    def refuse(_: str) -> ipn.Callback:
        raise CallbackError("batch: missing")

    monkeypatch.setattr(ipn, "parse_callback", refuse)
    with pytest.raises(StepFailedError, match="batch: missing"):
        await demo.run(Screen(Recorder()))


def test_a_failed_step_is_told_without_a_traceback(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code is not 0, and the message says what failed."""
    monkeypatch.setattr(Sandbox, "webhook_secret", "whsec_another")
    assert terminal("demo") == 1
    assert "the webhook was refused" in terminal.err
    assert "Traceback" not in terminal.err


async def test_the_shop_does_not_say_unpaid_when_it_does_not_know() -> None:
    """An unknown order, or a lost answer, is neither thanked for nor refused."""
    async with (
        SessionManager(app_id="SANDBOX0APP00001", secret_key="k" * 16) as pay,
        shop.Shop(pay, "whsec_x").open() as merchant,
    ):
        url = f"{merchant.url}/return?batch=SCI1&status=COMPLETED"
        page = await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=5).read())
    assert b"could not find out yet" in page


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
