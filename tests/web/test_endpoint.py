"""What an endpoint does, whatever the framework: `Webhook`, and those that users write."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from paycollect import web
from paycollect.ipn import Receiver, WebhookEvent
from paycollect.testing import sign_webhook
from paycollect.web import Answer, Webhook
from paycollect.web._endpoint import answer, answer_async, both_forms, check_endpoint

SECRET = "whsec_of_these_tests"
RECEIVER = Receiver(secrets=SECRET)
GENUINE = sign_webhook({"orderId": "A", "status": "COMPLETED"}, SECRET)
TEST = sign_webhook({"orderId": "A", "status": "COMPLETED", "_test": True}, SECRET)
FORGED = GENUINE.replace(b'"A"', b'"B"')


async def ask(endpoint: Any, body: bytes = GENUINE) -> Answer:
    """Ask as an adapter for event loops does."""

    async def read() -> bytes:
        return body

    return await answer_async(endpoint, read)


def ask_blocking(endpoint: Any, body: bytes = GENUINE) -> Answer:
    """Ask as an adapter without an event loop does."""
    return answer(endpoint, lambda: body)


async def ask_there(endpoint: Any, body: bytes = GENUINE) -> Answer:
    """The same, from a thread without an event loop."""
    return await asyncio.to_thread(ask_blocking, endpoint, body)


WAYS = pytest.mark.parametrize("way", [ask, ask_there])
Way = Callable[..., Awaitable[Answer]]


class Recorder:
    """Functions for events, of all kinds there are."""

    def __init__(self) -> None:
        self.events: list[WebhookEvent] = []

    def plain(self, event: WebhookEvent) -> None:
        """Record."""
        self.events.append(event)

    async def coroutine(self, event: WebhookEvent) -> None:
        """Record, after a moment."""
        await asyncio.sleep(0)
        self.events.append(event)

    async def __call__(self, event: WebhookEvent) -> None:
        """Record, as an object that is called."""
        await self.coroutine(event)


@WAYS
@pytest.mark.parametrize(
    "make",
    [
        lambda recorder: recorder.plain,
        lambda recorder: recorder.coroutine,
        lambda recorder: recorder,
        lambda recorder: partial(recorder.coroutine),
        lambda recorder: lambda event: recorder.coroutine(event),  # noqa: PLW0108  is the point
    ],
    ids=["function", "coroutine function", "object", "partial", "lambda around a coroutine"],
)
async def test_a_function_gets_what_is_proven(way: Way, make: Callable[[Any], Any]) -> None:
    """Each kind of function gets the events that are genuine and not tests, and no others."""
    recorder = Recorder()
    webhook = Webhook(RECEIVER, make(recorder))
    answers = [await way(webhook, body) for body in (GENUINE, TEST, FORGED, b"{}", b"x" * 2**21)]
    assert [one.status for one in answers] == [200, 200, 401, 400, 413]
    assert [event.order_id for event in recorder.events] == ["A"]
    assert recorder.events[0].verified


@WAYS
@pytest.mark.parametrize("kind", ["function", "coroutine function", "lambda"])
async def test_a_function_that_fails(way: Way, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """The provider is asked to deliver again, and the log says why."""

    def plain(event: WebhookEvent) -> None:
        raise RuntimeError("the database is gone")

    async def coroutine(event: WebhookEvent) -> None:
        plain(event)

    functions: dict[str, Any] = {
        "function": plain,
        "coroutine function": coroutine,
        "lambda": lambda event: coroutine(event),  # noqa: PLW0108  is the point
    }
    given = await way(Webhook(RECEIVER, functions[kind]))
    assert (given.status, given.headers["Retry-After"]) == (503, "30")
    assert b"database" not in given.body
    assert "the function for webhook events failed" in caplog.text
    assert "RuntimeError: the database is gone" in caplog.text


async def test_what_receive_gives() -> None:
    """`receive` gives an answer, or a coroutine where the function is one; always of one kind."""
    recorder = Recorder()
    blocking = Webhook(RECEIVER, recorder.plain)
    waiting = Webhook(RECEIVER, recorder.coroutine)
    for body, status in [(GENUINE, 200), (TEST, 200), (FORGED, 401)]:
        given = blocking.receive(body)
        assert isinstance(given, Answer)
        coroutine = waiting.receive(body)
        assert inspect.iscoroutine(coroutine)
        assert (given.status, (await coroutine).status) == (status, status)


def test_a_parsed_body_is_refused() -> None:
    """Whoever hands over what a framework parsed is told to hand over the bytes."""
    parsed: Any = {"event": "collection.received"}
    with pytest.raises(TypeError, match="the bytes of the request are needed, not dict"):
        Webhook(RECEIVER, print).receive(parsed)


@pytest.mark.parametrize("allow_test", [False, True])
async def test_a_receiver_may_allow_tests(allow_test: bool) -> None:
    """A test delivery is an event like any other only where the receiver says so."""
    recorder = Recorder()
    webhook = Webhook(Receiver(secrets=SECRET, allow_test=allow_test), recorder.plain)
    assert (await ask(webhook, TEST)).status == 200
    assert len(recorder.events) == allow_test


def test_a_webhook_checks_what_it_is_made_of() -> None:
    """A mistake is told when the service starts."""
    secret: Any = "whsec_x"
    with pytest.raises(TypeError, match=r"an ipn\.Receiver is needed, not str"):
        Webhook(secret, print)
    nothing: Any = None
    with pytest.raises(TypeError, match="on_event: a function is needed, not NoneType"):
        Webhook(RECEIVER, nothing)


def test_a_refusal_is_logged_without_the_body(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever has set up a wrong secret reads so in the log; what a stranger sends is not there."""
    assert ask_blocking(Webhook(RECEIVER, print), FORGED).status == 401
    assert "webhook refused, HTTP 401: the signature does not match" in caplog.text
    assert "COMPLETED" not in caplog.text


async def test_a_function_that_blocks_has_a_thread() -> None:
    """It does not stop the event loop; one that is awaited stays on it."""
    threads: list[object] = []

    def plain(_: WebhookEvent) -> None:
        threads.append(threading.current_thread())

    async def coroutine(event: WebhookEvent) -> None:
        plain(event)

    await ask(Webhook(RECEIVER, plain))
    await ask(Webhook(RECEIVER, coroutine))
    here = threading.current_thread()
    assert [one is here for one in threads] == [False, True]


class Own:
    """An endpoint of the user's."""

    def __init__(self, result: Any) -> None:
        self.result = result

    def receive(self, body: bytes) -> Answer:
        """Give the result."""
        given: Answer = self.result
        return given


class OwnAsync(Own):
    """The same, async."""

    async def receive(self, body: bytes) -> Answer:  # type: ignore[override]  # another endpoint
        """Give the result."""
        await asyncio.sleep(0)
        given: Answer = self.result
        return given


@WAYS
@pytest.mark.parametrize("kind", [Own, OwnAsync])
async def test_an_endpoint_of_ones_own(
    way: Way, kind: type[Own], caplog: pytest.LogCaptureFixture
) -> None:
    """Its answer is given as it is; anything else is an error that says so, never a 200."""
    own = Answer(202, {"X-Own": "1"}, b"kept")
    assert await way(kind(own)) is own
    assert (await way(kind({"status": 200}))).status == 503
    assert "receive() gave dict: a web.Answer is needed" in caplog.text


def test_endpoints_are_checked() -> None:
    """Whatever has no `receive` is refused when the service starts."""
    nothing: Any = print
    with pytest.raises(TypeError, match=r"receive\(body\) is needed, not builtin_function"):
        check_endpoint(nothing)


@pytest.mark.parametrize(
    ("path", "forms"),
    [("/a/b", ("/a/b", "/a/b/")), ("/a/b/", ("/a/b", "/a/b/")), ("/", ("/",))],
)
def test_both_forms(path: str, forms: tuple[str, ...]) -> None:
    """A path is served with and without its last slash, whichever was named."""
    assert both_forms(path) == forms


def test_a_path_begins_with_a_slash() -> None:
    """Any other is a mistake."""
    with pytest.raises(ValueError, match="path: must begin with /"):
        both_forms("webhook")


async def test_a_handler_that_is_cancelled() -> None:
    """Some servers cancel the handler of a client that hangs up: the event is stored all the same."""
    begun, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(_: WebhookEvent) -> None:
        begun.set()
        await go_on.wait()
        done.set()

    handler = asyncio.create_task(ask(Webhook(RECEIVER, slow)))
    await begun.wait()
    handler.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handler
    go_on.set()
    await asyncio.wait_for(done.wait(), 5)


async def test_work_that_is_cancelled() -> None:
    """As the end of an event loop cancels all that is under way: nobody waits for ever."""
    begun = asyncio.Event()

    async def slow(_: WebhookEvent) -> None:
        begun.set()
        await asyncio.Event().wait()

    handler = asyncio.create_task(ask(Webhook(RECEIVER, slow)))
    await begun.wait()
    for task in asyncio.all_tasks() - {asyncio.current_task(), handler}:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handler


async def test_a_death_reaches_who_waits() -> None:
    """What is no Exception, such as the death of a crash test, is no failure of the endpoint."""

    class Death(BaseException):
        """As a crash test raises it."""

    async def dies(_: WebhookEvent) -> None:
        raise Death

    with pytest.raises(Death):
        await ask(Webhook(RECEIVER, dies))


def test_an_answer_has_defaults() -> None:
    """A status is enough."""
    assert Answer(204) == Answer(204, {}, b"")


LOADED = """
import sys
import paycollect.web
frameworks = "aiohttp", "cattrs", "django", "flask", "starlette", "paycollect.session"
print([name for name in frameworks if name in sys.modules])
paycollect.web.wsgi.WebhookApp, paycollect.web.asgi.WebhookApp
print([name for name in frameworks if name in sys.modules])
paycollect.web.flask.webhook_blueprint
print([name for name in frameworks if name in sys.modules])
"""


def test_no_framework_is_loaded_before_its_adapter() -> None:
    """Adapters are there by attribute, and each loads its own framework only."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[]", "[]", "['flask']"]


def test_a_name_that_is_not_there() -> None:
    """It is refused as any module does."""
    with pytest.raises(AttributeError, match=r"'paycollect\.web' has no attribute 'tornado'"):
        web.tornado  # noqa: B018  # pyright: ignore


def test_an_adapter_is_loaded_when_it_is_asked_for() -> None:
    """Each is an attribute of the package, and nothing else is."""
    assert str(web.__getattr__("flask")).startswith("<module 'paycollect.web.flask'")
    with pytest.raises(AttributeError, match="no attribute 'tornado'"):
        _ = web.tornado
